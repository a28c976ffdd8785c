#!/usr/bin/env python3
"""Whether `laurel bench-rewards` predicts over-optimisation: twelve rewards of graded quality, on the built-in, synthetic world.

  benchmarks/bench_rewards.py run --laurel build/release/bin/laurel --output runs/bench-rewards
  benchmarks/bench_rewards.py report --output runs/bench-rewards

`run` samples pictures of 32 captions (24 of combinations that training has seen), rates them by two gold rewards (the oracle;
the simulated raters' preference), and takes the rewards in turn: trains the small CLIPs of few updates and aesthetic heads of
few ratings, rates all pictures, measures the reward by `bench-rewards`, and finetunes on it alone by PRDP. `report` takes,
for each reward, what the best of n by it gains in itself and in gold (`laurel bon-curve`, in deviations within prompts);
their difference is the degree of over-optimisation; and the same of what PRDP gains on its evaluation's images, in
deviations of the start's. It gives Spearman's correlation of that with one-to-one, one-to-many and the reciprocal rank over
the rewards, and a bootstrap over the rewards. What is finished is kept; a stopped run goes on where it was. One process at a
time; only the standard library is needed.
"""

import argparse
import json
import math
import os
import pathlib
import random
import resource
import statistics
import subprocess

from run_statistics import gains

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIPS = {"clip_100": 100, "clip_300": 300}          # updates of 64 pictures
HEADS = {"head_100": (100, 1), "head_600": (600, 1)}  # pictures, ratings of each
FORMULAS = {"mix": "0.1*clip + aesthetic", "bright": "brightness + border_brightness", "vivid": "saturation + 2*contrast",
            "plain": "empty_share - 4*edge_density"}
REWARDS = ["clip_score", *CLIPS, "aesthetic", *HEADS, "social", "lvlm", *FORMULAS]
GOLDS = {"oracle": "all", "rater_preference": "taste"}  # and the slice of the items that the gold decides
FIGURES = ("one_to_one", "one_to_many", "reciprocal_rank")
COUNTS = (4, 16, 32, 64)
PRDP = {"prompts_per_epoch": 4, "prompts_per_update": 2, "eval_rewards": ",".join(GOLDS), "eval_every": 0, "eval_prompts": 16, "eval_images": 2,
        "guard": "off", "seed": 1, "checkpointing_steps": 1000000}


def call(options, *command):
    subprocess.run([options.laurel.resolve(), *map(str, command)], cwd=options.output, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "OMP_NUM_THREADS": "1"})


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def make_pictures(options):
    captions = options.output / "captions.txt"
    if not captions.exists():
        texts = []
        for split, count in (("seen", 24), ("unseen", 8)):
            call(options, "world", "--count", count, "--split", split, "--seed", 11, "--out", f"scenes-{split}")
            texts += [row["text"] for row in read_lines(options.output / f"scenes-{split}" / "metadata.jsonl")]
        captions.write_text("".join(text + "\n" for text in texts))
    if not (options.output / "pictures").exists():
        part = options.output / "pictures.part"
        subprocess.run(["rm", "-rf", part], check=True)
        call(options, "sample", "--prompts", "captions.txt", "--count", options.samples, "--seed", 1, "--steps", 10, "--eta", 1,
             "--output_dir", part.name)
        part.rename(options.output / "pictures")


def make_reward(options, name):
    if name in CLIPS and not (options.output / name / "clip" / "model.safetensors").exists():
        call(options, "pretrain", "clip", "--config", ROOT / "models/recipes/clip.toml", "--max_train_steps", CLIPS[name],
             "--train_batch_size", 64, "--validation_steps", CLIPS[name], "--resume_from_checkpoint", "latest", "--output_dir", name)
    if name in HEADS and not (options.output / f"{name}.safetensors").exists():
        pictures, ratings = HEADS[name]
        call(options, "train-reward", "aesthetic", "--config", ROOT / "models/recipes/aesthetic.toml", "--images", pictures,
             "--raters_an_image", ratings, "--held_out", 200, "--output", f"{name}.safetensors")


def definition(name):
    what = (f"clip:{name}/clip" if name in CLIPS else f"aesthetic:{name}.safetensors" if name in HEADS else FORMULAS.get(name))
    return ["--define", f"{name}={what}"] if what else []


def make_items(options):
    """Without paraphrases, which this does not use."""
    if not (options.output / "items/plain.jsonl").exists():
        call(options, "bench-rewards", "--world", "items", "--count", options.items, "--seed", 7, "-r", "brightness", "--probe_images", 0)
        rows = [{key: value for key, value in row.items() if key != "variants"} for row in read_lines(options.output / "items/items.jsonl")]
        (options.output / "items/plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def score(options, name):
    if not (options.output / f"scores-{name}.jsonl").exists():
        call(options, "score", "pictures", "-r", name, *definition(name), "--format", "jsonl", "-o", f"scores-{name}.jsonl")


def measure(options, name):
    make_reward(options, name)
    score(options, name)
    if not (options.output / f"bench-{name}.json").exists():
        call(options, "bench-rewards", "items/plain.jsonl", "-r", name, *definition(name), "-o", f"bench-{name}.json", "--probe_images", 0)


def finetune(options, name):
    folder = options.output / "prdp" / name
    if (folder / "done").exists():
        return
    subprocess.run(["rm", "-rf", folder], check=True)
    call(options, "finetune", "prdp", "--config", ROOT / "models/recipes/prdp.toml", "--reward", name, *definition(name), "-o", f"prdp/{name}",
         *[word for key, value in PRDP.items() for word in (f"--{key}", value)])
    (folder / "done").touch()


def scores_of_pictures(options, reward, gold):
    """Rows of both rewards, as `laurel bon-curve` reads them."""
    rows = read_lines(options.output / f"scores-{reward}.jsonl")
    for row, other in zip(rows, read_lines(options.output / f"scores-{gold}.jsonl"), strict=True):
        assert row["file"] == other["file"]
        row["rewards"].update(other["rewards"])
    return rows


def curve_of(options, rows, reward, gold):
    name = f"{reward}-{gold}"
    (options.output / f"both-{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    call(options, "bon-curve", f"both-{name}.jsonl", "--proxy", reward, "--gold", gold, "-o", f"curve-{name}.jsonl")
    return {point["n"]: point for point in read_lines(options.output / f"curve-{name}.jsonl")}


def spread_within_prompts(rows, reward):
    by_prompt = {}
    for row in rows:
        by_prompt.setdefault(row["prompt"], []).append(row["rewards"][reward])
    return math.sqrt(statistics.fmean(statistics.pvariance(own) for own in by_prompt.values()))


def gains_of_choice(options, reward, gold):
    """By n: the gain in the reward and in gold, in deviations within prompts."""
    rows = scores_of_pictures(options, reward, gold)
    curve = curve_of(options, rows, reward, gold)
    of_proxy, of_gold = spread_within_prompts(rows, reward), spread_within_prompts(rows, gold)
    return {n: ((curve[n]["proxy"] - curve[1]["proxy"]) / of_proxy, (curve[n]["gold"] - curve[1]["gold"]) / of_gold)
            for n in COUNTS if n in curve}


def gains_of_training(options, reward, gold):
    """What PRDP gains in the reward and in gold, in deviations of the start's images within prompts."""
    folder, found = options.output / "prdp" / reward, []
    base = read_lines(folder / "samples" / "base" / "scores.jsonl")
    for name in (reward, gold):
        changes = [value for split in ("seen", "unseen") for values in gains(folder, name, split).values() for value in values]
        found.append(statistics.fmean(changes) / spread_within_prompts(base, name))
    return tuple(found)


def gains_of_all(options, reward, gold):
    """{way of optimising: (gain in itself, in gold)}."""
    found = {f"best of {n}": gain for n, gain in gains_of_choice(options, reward, gold).items()}
    return found | {"PRDP": gains_of_training(options, reward, gold)}


def ranks(values):
    order = sorted(values)
    return [order.index(value) + (order.count(value) - 1) / 2 for value in values]


def spearman(x, y):
    a, b = ranks(x), ranks(y)
    return statistics.correlation(a, b) if len(set(a)) > 1 and len(set(b)) > 1 else 0.0


def with_interval(value_of, count, resamples=10000):
    """The value over all rewards, and 95 % by a bootstrap over them."""
    generator = random.Random(0)
    drawn = sorted(value_of([generator.randrange(count) for _ in range(count)]) for _ in range(resamples))
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(value_of(range(count)), drawn[int(0.025 * resamples)], drawn[int(0.975 * resamples)])


def report_gold(gold, part, benched, gained):
    ways = list(next(iter(gained.values())))
    print(f"\nGold: {gold}; items: {part}\n\n| reward | one to one, % | one to many, % | reciprocal rank, % | "
          + " | ".join(f"{way}: gain in itself, in gold" for way in ways) + " |\n" + "|---" * (4 + len(ways)) + "|")
    figures = {reward: [benched[reward]["slices"][part][name] for name in FIGURES] for reward in gained}
    for reward, own in figures.items():
        print(f"| {reward} | " + " | ".join("{:.1f} [{:.1f}, {:.1f}]".format(100 * f["value"], *(100 * x for x in f["interval"])) for f in own)
              + " | " + " | ".join("{:+.2f}, {:+.2f}".format(*gained[reward][way]) for way in ways) + " |")
    print("\n| Spearman with the degree of over-optimisation | " + " | ".join(ways) + " |\n" + "|---" * (1 + len(ways)) + "|")
    def correlation(place, way):
        of = [own[place]["value"] for own in figures.values()]
        over = [gained[reward][way][0] - gained[reward][way][1] for reward in figures]
        return lambda drawn: spearman([of[i] for i in drawn], [over[i] for i in drawn])
    for place, name in enumerate(FIGURES):
        print(f"| {name} | " + " | ".join(with_interval(correlation(place, way), len(figures)) for way in ways) + " |")
    def difference(way):
        one, many = correlation(0, way), correlation(1, way)
        return lambda drawn: many(drawn) - one(drawn)
    print("| one_to_many less one_to_one | " + " | ".join(with_interval(difference(way), len(figures)) for way in ways) + " |")


def report(options):
    names = [name for name in REWARDS if (options.output / "prdp" / name / "done").exists()]
    print(f"{len(names)} of {len(REWARDS)} rewards")
    benched = {name: json.loads((options.output / f"bench-{name}.json").read_text())[0] for name in names}
    for gold, part in GOLDS.items():
        report_gold(gold, part, benched, {name: gains_of_all(options, name, gold) for name in names})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build/release/bin/laurel")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--samples", type=int, default=64, help="pictures of a caption")
    parser.add_argument("--items", type=int, default=120, help="scenes of the items")
    parser.add_argument("--rewards", default=",".join(REWARDS), help="of these, in this order")
    options = parser.parse_args()
    if options.what == "report":
        return report(options)
    options.output.mkdir(parents=True, exist_ok=True)
    make_pictures(options)
    make_items(options)
    for gold in GOLDS:
        score(options, gold)
    for name in options.rewards.split(","):
        measure(options, name)
    for name in options.rewards.split(","):
        finetune(options, name)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{(used.ru_utime + used.ru_stime) / 60:.1f} processor-minutes")


if __name__ == "__main__":
    main()
