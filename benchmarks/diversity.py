#!/usr/bin/env python3
"""Guidance distilled with a reward for diversity (`laurel finetune distill-cfg`) against the base's own guidance scales.

  benchmarks/diversity.py check --output runs/diversity      # must hold before anything is trained
  benchmarks/diversity.py run --laurel build/release/bin/laurel --output runs/diversity
  benchmarks/diversity.py report --output runs/diversity --svg docs/images/diversity-front.svg

The front of the base: quality and diversity at several guidance scales, two passes of the network a step but for scale 1.
Students draw without guidance, one pass a step: a student for each --betas and training seed, and merges of the first and
the last of them. All draw the same captions, half of them of combinations that training has seen, 8 images each, from the
same noise. Quality: the oracle, and clip_score. Diversity of a caption's images: `pixels`, the mean distance of their
16 x 16 thumbnails, of 255, which nothing is trained on; `social`, 1 - cosine in the social reward's CLIP, which was tuned
from the CLIP of the trained reward; and `diversity`, that reward itself.

A point is compared with the best quality that the base has at that diversity or more, between two scales in proportion.
Intervals are a bootstrap over captions and training seeds, paired.

`report` tells of the students that are finished. A cell (arm, split) is a folder of images and a .json of what they are worth. What is finished is kept; a stopped run goes on
where it was. Only the standard library is needed.
"""

import argparse
import itertools
import json
import math
import os
import pathlib
import random
import shutil
import statistics
import sys

from guidance import pixels_of, processor_seconds, seeded_captions
from wider_evaluation import call

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPLITS = ("seen", "unseen")
QUALITY, DIVERSITY = ("oracle", "clip_score"), ("pixels", "social", "diversity")
IMAGES, SIDE, THUMBNAIL = 8, 64, 16
TEACHER = 3  # the guidance scale that is imitated: that of the best oracle on unseen combinations
SAMPLER = ["--steps", 10, "--eta", 1, "--sampling-method", "ddim"]
TRAINING = ["--guidance_scale", TEACHER, "--sample_num_steps", 10, "--prompts_per_epoch", 8, "--images_per_prompt", 8, "--num_inner_epochs", 2,
            "--prompts_per_update", 2, "--train", "full", "--lr", "2e-4", "--lr_scheduler", "wsd", "--eval_prompts", 0]
BASE = ROOT / "models" / "tiny-world"


# --- what is drawn


def student_of(options, beta, seed):
    """The model of a student, trained where it is not there yet: the base with another network."""
    folder = options.output / "trained" / f"beta-{beta:g}-seed-{seed}"
    model = folder / "model"
    if model.exists():
        return model
    print(f"train beta {beta:g} seed {seed}", file=sys.stderr, flush=True)
    began = processor_seconds()
    call(options, "finetune", "distill-cfg", "--diversity_scale", beta, "--seed", seed, "--num_epochs", options.epochs, *TRAINING,
         "--resume_from_checkpoint", "latest", "-o", folder)
    (folder / "seconds.txt").write_text(f"{processor_seconds() - began:.0f}\n")
    unfinished = folder / "model.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for part in BASE.iterdir():
        (unfinished / part.name).symlink_to(folder.resolve() / "unet" if part.name == "unet" else part.resolve())
    unfinished.rename(model)
    return model


def merged(options, seed, share):
    """The students of the first and the last beta in these shares."""
    model = options.output / "trained" / f"merge-{share:g}-seed-{seed}"
    if not model.exists():
        first, last = (student_of(options, beta, seed) for beta in (options.betas[0], options.betas[-1]))
        call(options, "merge", "-m", first, "--with", last, "--weight", share, "-o", model)
    return model


def base_arm(scale):
    return f"w-{scale:g}"


def student_arms(options):
    """{name: its arms, one a training seed}."""
    arms = {f"beta {beta:g}": [f"beta-{beta:g}-seed-{seed}" for seed in options.seeds] for beta in options.betas}
    arms |= {f"merge {share:g}": [f"merge-{share:g}-seed-{seed}" for seed in options.seeds] for share in options.shares}
    return arms


def words_of(options, arm):
    """How `laurel sample` draws an arm."""
    kind, value, *rest = arm.split("-")
    if kind == "w":
        return ["--cfg-scale", value]
    make = {"beta": student_of, "merge": lambda options, share, seed: merged(options, seed, share)}[kind]
    return ["--cfg-scale", 1, "-m", make(options, float(value), int(rest[1]))]


def thumbnail(file):
    """Means of the squares of an image's pixels. -> THUMBNAIL^2 x 3 numbers"""
    pixels, block = pixels_of(file), SIDE // THUMBNAIL
    sums = [0] * (THUMBNAIL * THUMBNAIL * 3)
    for y in range(SIDE):
        for x in range(SIDE):
            to, at = 3 * (y // block * THUMBNAIL + x // block), 3 * (y * SIDE + x)
            for channel in range(3):
                sums[to + channel] += pixels[at + channel]
    return [value / block ** 2 for value in sums]


def mean_distance(files):
    """Root of the mean squared difference of two thumbnails, over all pairs."""
    small = [thumbnail(file) for file in files]
    return statistics.fmean(math.dist(a, b) / math.sqrt(len(a)) for a, b in itertools.combinations(small, 2))


def measure(options, images):
    """{caption: {measure: mean of its images}}."""
    rated = images.with_suffix(".part.jsonl")
    call(options, "score", images, "--rewards", "oracle,clip_score,diversity,social_diversity", "--define",
         f"social_diversity=diversity:{ROOT / 'models' / 'rewards' / 'social'}", "--format", "jsonl", "--output", rated)
    records = {}
    for line in rated.read_text().splitlines():
        record = json.loads(line)
        records.setdefault(record["prompt"], []).append(record)
    rated.unlink()
    worth = {}
    for caption, rows in records.items():
        value = {name: statistics.fmean(row["rewards"][name] for row in rows) for name in (*QUALITY, "diversity")}
        value["social"] = statistics.fmean(row["rewards"]["social_diversity"] for row in rows)
        value["pixels"] = mean_distance([images / pathlib.Path(row["file"]).name for row in rows])
        worth[caption] = value
    return worth


def draw(options, arm, split):
    images = options.output / arm / split
    if images.exists():
        return images
    words = words_of(options, arm)
    print(arm, split, file=sys.stderr, flush=True)
    drawn = images.with_suffix(".part")
    shutil.rmtree(drawn, ignore_errors=True)
    drawn.parent.mkdir(parents=True, exist_ok=True)
    began = processor_seconds()
    call(options, "sample", "--prompts", seeded_captions(options, split, 0), *SAMPLER, "-n", IMAGES, "--output-dir", drawn, *words)
    (drawn / "seconds.txt").write_text(f"{processor_seconds() - began:.1f}\n")
    drawn.rename(images)
    return images


def finish_cell(options, arm, split):
    images = draw(options, arm, split)
    done = images.with_suffix(".json")
    if options.unrated or done.exists():
        return
    done.with_suffix(".tmp").write_text(json.dumps(measure(options, images)) + "\n")
    done.with_suffix(".tmp").rename(done)


def check(options):
    """Without a trade-off of the base there is no front to lie above."""
    for scale, split in itertools.product((1, TEACHER), SPLITS):
        finish_cell(options, base_arm(scale), split)
    for split in SPLITS if not options.unrated else ():
        plain, guided = (means(cells(options, [base_arm(scale)], split)[0]) for scale in (1, TEACHER))
        print(f"{split}: " + ", ".join(f"{name} {plain[name]:.3f} at scale 1, {guided[name]:.3f} at {TEACHER}" for name in (*QUALITY, *DIVERSITY)))
        if not (plain["oracle"] < guided["oracle"] and plain["pixels"] > guided["pixels"]):
            raise SystemExit(f"{split}: the base at scale 1 is not both more diverse and worse than at {TEACHER}: no front can exist")


def run(options):
    check(options)
    arms = [base_arm(scale) for scale in options.scales] + sum(student_arms(options).values(), [])
    for arm, split in itertools.product(arms, SPLITS):
        finish_cell(options, arm, split)


# --- what the cells say


def cells(options, arms, split):
    return [json.loads((options.output / arm / split).with_suffix(".json").read_text()) for arm in arms]


def finished(options, arms):
    return all((options.output / arm / split).with_suffix(".json").exists() for arm in arms for split in SPLITS)


def means(cell, captions=None):
    """{measure: mean over captions}."""
    rows = [cell[caption] for caption in captions or cell]
    return {name: statistics.fmean(row[name] for row in rows) for name in (*QUALITY, *DIVERSITY)}


def best_at(front, quality, diversity, apart):
    """The best quality of the front at a diversity of `apart` or more; where no point has that, of the most diverse one."""
    points = [(point[diversity], point[quality]) for point in front]
    found = [q for d, q in points if d >= apart]
    for (d, q), (e, r) in itertools.pairwise(points):
        if min(d, e) < apart <= max(d, e):
            found.append(q + (r - q) * (apart - d) / (e - d))
    return max(found) if found else max(points)[1]


class Resampled:
    """Means of base and students over captions, and training seeds, drawn with replacement; the first draw is all of them."""

    def __init__(self, options, split, draws=1000):
        base = [cells(options, [base_arm(scale)], split)[0] for scale in options.scales]
        students = {name: cells(options, arms, split) for name, arms in student_arms(options).items() if finished(options, arms)}
        generator, captions, seeds = random.Random(0), sorted(base[0]), range(len(options.seeds))
        self.draws = []
        for draw in range(draws + 1):
            some = generator.choices(captions, k=len(captions)) if draw else captions
            chosen = generator.choices(seeds, k=len(seeds)) if draw else seeds
            front = [means(cell, some) for cell in base]
            own = {name: [means(of_seed[seed], some) for seed in chosen] for name, of_seed in students.items()}
            mean = {name: {key: statistics.fmean(point[key] for point in points) for key in points[0]} for name, points in own.items()}
            self.draws.append((front, mean))

    def interval(self, value):
        """value(front, students) of all, and where 95 % of the resampled ones lie."""
        whole, *drawn = [value(*draw) for draw in self.draws]
        drawn.sort()
        return whole, drawn[int(0.025 * len(drawn))], drawn[int(0.975 * len(drawn)) - 1]


def text_of(values, digits=3):
    whole, low, high = values
    return f"{whole:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def report_split(options, split):
    resampled = Resampled(options, split)
    print(f"\n### {split} combinations\n\n| arm | passes | " + " | ".join((*QUALITY, *DIVERSITY)) + " |\n|" + "---|" * 7)
    front, students = resampled.draws[0]
    for scale, point in zip(options.scales, front):
        print(f"| base, scale {scale:g} | {10 if scale == 1 else 20} | " + " | ".join(f"{point[name]:.3f}" for name in (*QUALITY, *DIVERSITY)) + " |")
    for name, point in students.items():
        print(f"| {name} | 10 | " + " | ".join(f"{point[key]:.3f}" for key in (*QUALITY, *DIVERSITY)) + " |")
    if not students:
        return front, students
    pairs = list(itertools.product(QUALITY, ("pixels", "social")))
    print("\nLess the base's best at the same diversity or more:\n\n| arm | " + " | ".join(f"{q} at {d}" for q, d in pairs) + " |\n|" + "---|" * 5)
    for name in students:
        gaps = [resampled.interval(lambda front, own: own[name][q] - best_at(front, q, d, own[name][d])) for q, d in pairs]
        print(f"| {name} | " + " | ".join(map(text_of, gaps)) + " |", flush=True)
    first, last = f"beta {options.betas[0]:g}", f"beta {options.betas[-1]:g}"
    if first not in students or last not in students:
        return front, students
    changes = [f"{key} {text_of(resampled.interval(lambda front, own: own[last][key] - own[first][key]))}" for key in (*QUALITY, *DIVERSITY)]
    print(f"\n{last} less {first}: " + ", ".join(changes))
    return front, students


# --- a picture of the fronts

WIDTH, HEIGHT, MARGIN = 330, 280, 45
COLOURS = {"base": "#777", "student": "#c2410c"}


class Panel:
    """A diagram of diversity (across) and quality (up); values between the least and the most of all points."""

    def __init__(self, left, points, title):
        self.left, self.title = left, title
        self.spans = [(min(values), max(values)) for values in zip(*points)]

    def place(self, point):
        shares = [(value - low) / (high - low) for value, (low, high) in zip(point, self.spans)]
        return self.left + MARGIN + shares[0] * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - shares[1] * (HEIGHT - 2 * MARGIN)

    def line(self, points, names, colour, below=()):
        """below: of each name, how far it stands below its point; else it stands above."""
        places = [self.place(point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts = [f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.5'/>"]
        for (x, y), name, down in itertools.zip_longest(places, names, below, fillvalue=-6):
            to_left = x > self.left + 0.75 * WIDTH
            parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>",
                      f"<text x='{x - 5 if to_left else x + 5:.1f}' y='{y + down:.1f}' text-anchor='{'end' if to_left else 'start'}' fill='{colour}'>{name}</text>"]
        return parts

    def axes(self):
        left, right, top, bottom = self.left + MARGIN, self.left + WIDTH - MARGIN, MARGIN, HEIGHT - MARGIN
        (x_low, x_high), (y_low, y_high) = self.spans
        return [f"<path d='M{left - 8} {top}V{bottom + 8}H{right}' fill='none' stroke='#333'/>",
                f"<text x='{left}' y='{top - 18}' font-weight='bold'>{self.title}</text>",
                f"<text x='{left}' y='{bottom + 22}'>{x_low:.1f}</text>", f"<text x='{right - 20}' y='{bottom + 22}'>{x_high:.1f}</text>",
                f"<text x='{(left + right) / 2 - 50:.0f}' y='{bottom + 36}'>pixel diversity</text>",
                f"<text x='{left - 40}' y='{bottom}'>{y_low:.2f}</text>", f"<text x='{left - 40}' y='{top + 4}'>{y_high:.2f}</text>",
                f"<text x='{left - 40}' y='{top - 10}'>oracle</text>"]


def draw_fronts(options, fronts, file):
    parts = []
    ends = [f"beta {options.betas[0]:g}", *(f"merge {share:g}" for share in options.shares), f"beta {options.betas[-1]:g}"]
    for i, (split, (front, students)) in enumerate(fronts.items()):
        of = lambda point: (point["pixels"], point["oracle"])
        names = [name for name in ends if name in students]
        base, tuned = [of(point) for point in front], [of(students[name]) for name in names]
        panel = Panel(i * WIDTH, [*base, *tuned], f"{split} combinations")
        parts += panel.axes() + panel.line(base, [f"{scale:g}" for scale in options.scales], COLOURS["base"])
        parts += panel.line(tuned, [name if name.startswith("beta") else "" for name in names], COLOURS["student"],
                            [14] + [28] * (len(names) - 1))
    file.write_text(f"<svg xmlns='http://www.w3.org/2000/svg' width='{2 * WIDTH}' height='{HEIGHT}' font-family='sans-serif' font-size='10'>"
                    f"<rect width='100%' height='100%' fill='#fff'/>\n" + "\n".join(parts) + "\n</svg>\n")


def report(options):
    print(f"Training seeds {', '.join(map(str, options.seeds))}; {options.captions} captions of each split, {IMAGES} images of each. In brackets a 95 % "
          "interval, a bootstrap over captions and training seeds, paired.")
    fronts = {split: report_split(options, split) for split in SPLITS}
    if options.svg:
        draw_fronts(options, fronts, options.svg)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["check", "run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "diversity")
    parser.add_argument("--captions", type=int, default=24, help="of each split")
    numbers = lambda text: [float(number) for number in text.split(",")]
    parser.add_argument("--scales", type=numbers, default=[1, 1.5, 2, 3, 4, 5, 7], help="of the base's guidance, rising")
    parser.add_argument("--betas", type=numbers, default=[0, 10, 100], help="--diversity_scale, rising")
    parser.add_argument("--shares", type=numbers, default=[0.25, 0.5, 0.75], help="of the last beta in a merge")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3], help="of the trainings")
    parser.add_argument("--epochs", type=int, default=16, help="of a training")
    parser.add_argument("--unrated", action="store_true", help="leave the rating of the images to a later run")
    parser.add_argument("--svg", type=pathlib.Path, help="of report: also a picture of the fronts")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    {"check": check, "run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
