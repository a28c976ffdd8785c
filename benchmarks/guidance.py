#!/usr/bin/env python3
"""Sampling under a reward (docs/guidance.md) against more samples at equal compute: the embedded, synthetic world.

  benchmarks/guidance.py run --laurel build/release/bin/laurel --output runs/guidance
  benchmarks/guidance.py report --output runs/guidance

Each arm draws an image of the same captions, half of them of combinations that training has seen, at the same seeds (each
caption has its own), and every reward rates them: the one that is followed, gold ones (the oracle, and the simulated
raters' preference without noise), and another that nobody follows. `plain` draws a pool of samples for each caption and
seed; "best of n" is what the best of n of them by the followed reward has on average, over all choices of n. An arm is
compared with that curve at its own cost, which counts passes of the network and decodings, and at its passes alone, since
decodings weigh less in larger models and longer chains. Intervals are a bootstrap over captions, paired.

A cell (arm, followed reward, seed, split) is a folder of images, a .jsonl of their rewards and a .json of its processor
time. What is finished is kept; a stopped run goes on where it was. Only the standard library is needed.
"""

import argparse
import itertools
import json
import math
import os
import pathlib
import random
import resource
import shutil
import statistics
import sys
import zlib

from wider_evaluation import call, captions_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPLITS = ("seen", "unseen")
RATED = ("clip_score", "aesthetic", "social", "oracle", "rater_preference")
STEPS, POOL = 10, 16
SAMPLER = ["--steps", STEPS, "--eta", "1", "--cfg-scale", "5", "--sampling-method", "ddim"]
CAPTION_SEED, FIRST_SEED = 977, 5000000
APART = 100  # between the seeds of two captions: they share no noise
DECODING = 4.4  # passes of the network that one decoding takes as long as, in this model on a processor
PLAIN = "plain"

# What follows --reward, and an image's passes of the network (two a step, for guidance) and decodings. A backward pass
# counts as two forward ones; a gradient decodes at every step.
ARMS = {
    PLAIN: (["-n", POOL], 2 * STEPS, 1),
    "particles 4": (["--guide", "particles=4"], 8 * STEPS, 4 * 4),
    "per step 3": (["--guide", "per_step=3"], 6 * STEPS, 3 * (STEPS + 1)),
    "noise 8": (["--guide", "noise=8"], 16 * STEPS, 8),
    "gradient 0.1": (["--guide", "gradient=0.1"], 2 * STEPS, 3 * STEPS + 1),
    "gradient 0.3": (["--guide", "gradient=0.3"], 2 * STEPS, 3 * STEPS + 1),
    "jacobian 0.1": (["--guide", "gradient=0.1", "--guide_jacobian"], 6 * STEPS, 3 * STEPS + 1),
    "both": (["--guide", "particles=2,gradient=0.1"], 4 * STEPS, 2 * (3 * STEPS + 4)),
}


def cost_of(arm):
    return ARMS[arm][1] + DECODING * ARMS[arm][2]


def cells(options):
    """(arm, followed reward, seed, split): whole seeds first, so that an ended run has all arms of some."""
    for seed, arm in itertools.product(options.seeds, options.arms):
        for reward, split in itertools.product(options.rewards if arm != PLAIN else [""], SPLITS):
            yield arm, reward, seed, split


def place_of(options, arm, reward, seed, split):
    return options.output / (reward or PLAIN) / arm.replace(" ", "-") / f"seed-{seed}-{split}"


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seeded_captions(options, split, seed):
    """The captions with a seed each, as `laurel sample --prompts` reads them."""
    file = options.output / f"{split}-{seed}.txt"
    captions = captions_file(options, split, CAPTION_SEED).read_text().splitlines()
    first = FIRST_SEED + APART * len(captions) * seed
    file.write_text("".join(f"{caption} --d {first + APART * i}\n" for i, caption in enumerate(captions)))
    return file


def draw(options, cell):
    """The images of a cell, and how long they took."""
    arm, reward, seed, split = cell
    images = place_of(options, *cell)
    done = images.with_suffix(".json")
    if done.exists():
        return
    print(" ".join(map(str, cell)), file=sys.stderr, flush=True)
    shutil.rmtree(images, ignore_errors=True)
    images.parent.mkdir(parents=True, exist_ok=True)
    began = processor_seconds()
    call(options, "sample", "--prompts", seeded_captions(options, split, seed), *SAMPLER, "--output-dir", images, *ARMS[arm][0],
         *(["--reward", reward] if reward else []))
    done.with_suffix(".tmp").write_text(json.dumps({"seconds": processor_seconds() - began}) + "\n")
    done.with_suffix(".tmp").rename(done)


def rate(options, cell):
    images = place_of(options, *cell)
    rated = images.with_suffix(".jsonl")
    if not rated.exists():
        call(options, "score", images, "--rewards", ",".join(RATED), "--format", "jsonl", "--output", rated.with_suffix(".part"))
        rated.with_suffix(".part").rename(rated)


def run(options):
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    for cell in cells(options):
        draw(options, cell)
        if not options.unrated:
            rate(options, cell)


# --- what the cells say


class Image:
    def __init__(self, file, rewards):
        self.file, self.rewards = file, rewards


def images_of(options, cell):
    """{prompt: its images in the order of their seeds}."""
    found = {}
    for line in place_of(options, *cell).with_suffix(".jsonl").read_text().splitlines():
        record = json.loads(line)
        file = place_of(options, *cell) / pathlib.Path(record["file"]).name
        found.setdefault(record["prompt"], []).append(Image(file, record["rewards"]))
    for images in found.values():
        images.sort(key=lambda image: image.file.name)
    return found


def best_of(pool, count, followed, rated):
    """Mean of `rated` over all choices of `count` of the pool, of the one that is best by `followed`."""
    ordered = sorted(pool, key=lambda image: image.rewards[followed])
    all_choices = math.comb(len(pool), count)
    return sum(image.rewards[rated] * math.comb(below, count - 1) for below, image in enumerate(ordered)) / all_choices


def best_at(pool, count, followed, rated):
    """The same for a number of samples that may lie between two whole ones, in proportion."""
    below, part = int(count), count - int(count)
    value = best_of(pool, below, followed, rated)
    return value if part == 0 else (1 - part) * value + part * best_of(pool, below + 1, followed, rated)


def by_caption(options, split, value):
    """{caption: mean over the seeds of value(seed, caption)}."""
    captions = sorted(images_of(options, (PLAIN, "", options.seeds[0], split)))
    return {caption: statistics.fmean(value(seed, caption) for seed in options.seeds) for caption in captions}


def interval(values, draws=2000):
    generator = random.Random(0)
    means = sorted(statistics.fmean(generator.choices(values, k=len(values))) for _ in range(draws))
    return means[int(0.025 * draws)], means[int(0.975 * draws) - 1]


def with_interval(values):
    low, high = interval(values)
    return f"{statistics.fmean(values):+.3f} [{low:+.3f}, {high:+.3f}]"


def unfiltered(raw, width, height, channels):
    """The pixels of PNG's filtered rows."""
    stride, rows = width * channels, bytearray()
    before = bytearray(stride)
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride if kind else 0):
            left, corner = (row[i - channels], before[i - channels]) if i >= channels else (0, 0)
            up = before[i]
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) >> 1
            else:
                from_left, from_up, from_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                guess = left if from_left <= from_up and from_left <= from_corner else up if from_up <= from_corner else corner
            row[i] = (row[i] + guess) & 255
        rows += row
        before = row
    return rows


def pixels_of(file):
    data, place, body = file.read_bytes(), 8, b""
    while place < len(data):
        length, kind = int.from_bytes(data[place:place + 4], "big"), data[place + 4:place + 8]
        content = data[place + 8:place + 8 + length]
        if kind == b"IHDR":
            width, height = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
        body += content if kind == b"IDAT" else b""
        place += 12 + length
    return unfiltered(zlib.decompress(body), width, height, 3)


def distance(a, b):
    """Root of the mean squared difference of two images' pixels, of 255."""
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / len(a))


def diversity(options, chosen, captions):
    """Mean distance of the images of a caption at two seeds. chosen: (seed, caption) -> Image"""
    values = []
    for caption in captions:
        pixels = [pixels_of(chosen(seed, caption).file) for seed in options.seeds]
        values.append(statistics.fmean(distance(a, b) for a, b in itertools.combinations(pixels, 2)))
    return statistics.fmean(values)


def plain_rows(options, followed, split, pools, plain):
    """Of the report: plain samples, and the best of several."""
    seconds = seconds_of(options, (PLAIN, "", split)) / POOL
    values = [f"{statistics.fmean(plain[rated].values()):.3f}" for rated in RATED]
    yield PLAIN, cost_of(PLAIN), seconds, values, lambda seed, c: pools[seed][c][0]
    for count in (4, 8, POOL):
        best = [by_caption(options, split, lambda seed, c: best_of(pools[seed][c], count, followed, rated)) for rated in RATED]
        values = [with_interval([found[c] - plain[rated][c] for c in found]) for found, rated in zip(best, RATED)]
        yield (f"best of {count}", count * cost_of(PLAIN), count * seconds, values,
               lambda seed, c, count=count: max(pools[seed][c][:count], key=lambda image: image.rewards[followed]))


def report_split(options, followed, split):
    pools = {seed: images_of(options, (PLAIN, "", seed, split)) for seed in options.seeds}
    arms = [arm for arm in options.arms if arm != PLAIN]
    led = {arm: {seed: images_of(options, (arm, followed, seed, split)) for seed in options.seeds} for arm in arms}
    plain = {rated: by_caption(options, split, lambda seed, c: best_of(pools[seed][c], 1, followed, rated)) for rated in RATED}
    own = {(arm, rated): by_caption(options, split, lambda seed, c: led[arm][seed][c][0].rewards[rated]) for arm in arms for rated in RATED}
    captions = sorted(plain[followed])
    print(f"\n### `{followed}` followed, {split} combinations\n\nChange from `plain`:\n")
    print("| arm | cost | seconds | " + " | ".join(RATED) + " | diversity |\n|" + "---|" * (4 + len(RATED)))
    rows = list(plain_rows(options, followed, split, pools, plain))
    for arm in arms:
        values = [with_interval([own[arm, rated][c] - plain[rated][c] for c in captions]) for rated in RATED]
        rows.append((arm, cost_of(arm), seconds_of(options, (arm, followed, split)), values, lambda seed, c, arm=arm: led[arm][seed][c][0]))
    for name, cost, seconds, values, chosen in rows:
        apart = diversity(options, chosen, captions) if len(options.seeds) > 1 else math.nan
        print(f"| {name} | {cost:.0f} | {seconds:.2f} | " + " | ".join(values) + f" | {apart:.1f} |", flush=True)
    for what, own_cost in (("cost", cost_of), ("passes of the network, decodings not counted", lambda arm: ARMS[arm][1])):
        print(f"\nLess the best of n at the same {what}:\n\n| arm | n | " + " | ".join(RATED) + " |\n|" + "---|" * (2 + len(RATED)))
        for arm in arms:
            cells, count = [], min(own_cost(arm) / own_cost(PLAIN), POOL)
            for rated in RATED:
                rival = by_caption(options, split, lambda seed, c: best_at(pools[seed][c], count, followed, rated))
                cells.append(with_interval([own[arm, rated][c] - rival[c] for c in captions]))
            print(f"| {arm} | {count:.1f} | " + " | ".join(cells) + " |", flush=True)


def seconds_of(options, what):
    """Processor seconds of a caption's image or pool."""
    arm, reward, split = what
    done = [json.loads(place_of(options, arm, reward, seed, split).with_suffix(".json").read_text()) for seed in options.seeds]
    count = len(images_of(options, (arm, reward, options.seeds[0], split)))
    return statistics.fmean(record["seconds"] / count for record in done)


def report(options):
    print(f"Seeds {', '.join(map(str, options.seeds))}; {options.captions} captions of each split. In brackets a 95 % interval, a bootstrap over "
          f"captions, paired. Cost: passes of the network for an image, where a decoding counts as {DECODING}; seconds: of a processor. "
          "Diversity: mean distance of a caption's images at two seeds, of 255.")
    for followed, split in itertools.product(options.rewards, SPLITS):
        report_split(options, followed, split)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "guidance")
    parser.add_argument("--captions", type=int, default=64, help="of each split")
    parser.add_argument("--rewards", type=lambda text: text.split(","), default=["clip_score", "aesthetic"], help="to follow")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--unrated", action="store_true", help="of run: leave the rating of the images to a later run")
    options = parser.parse_args()
    unknown = sorted(set(options.arms) - set(ARMS))
    if unknown:
        raise SystemExit(f"--arms: expected some of {', '.join(ARMS)}, found {', '.join(unknown)}")
    {"run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
