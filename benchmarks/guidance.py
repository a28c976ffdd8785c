#!/usr/bin/env python3
"""Sampling under a reward (docs/guidance.md) against more samples: the embedded, synthetic world.

  benchmarks/guidance.py run --laurel build/release/bin/laurel --output runs/guidance
  benchmarks/guidance.py report --output runs/guidance

Each arm draws an image of the same captions, half of them of combinations that training has seen, at the same seeds, and
every reward rates them: the one that is followed, the oracle (gold), and others. The report gives each reward's mean change
from the first arm with a bootstrap over captions, and what an image costs: passes of the network (two a step, for
guidance), decodings, and seconds of one thread. What is finished is kept; a stopped run goes on where it was. Only the
standard library is needed.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import time

from wider_evaluation import call, captions_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPLITS = ("seen", "unseen")
RATED = ("clip_score", "aesthetic", "social", "oracle")
STEPS = 10
SAMPLER = ["--steps", str(STEPS), "--eta", "1", "--cfg-scale", "5", "--sampling-method", "ddim", "--batch_size", "8"]
CAPTION_SEED, FIRST_SEED = 977, 5000000

# What follows --reward, and an image's passes of the network and decodings: a rating decodes each particle, a gradient
# decodes at every step, and its backward pass counts as two more.
ARMS = {
    "plain": ([], 2 * STEPS, 1),
    "best of 4": (["--best_of", "4"], 8 * STEPS, 4),
    "best of 8": (["--best_of", "8"], 16 * STEPS, 8),
    "particles 4": (["--guide", "particles=4"], 8 * STEPS, 4 * 4),
    "particles 8": (["--guide", "particles=8"], 16 * STEPS, 4 * 8),
    "gradient 0.1": (["--guide", "gradient=0.1"], 2 * STEPS, 3 * STEPS + 1),
    "gradient 0.3": (["--guide", "gradient=0.3"], 2 * STEPS, 3 * STEPS + 1),
    "both": (["--guide", "particles=4,gradient=0.1"], 8 * STEPS, 4 * (3 * STEPS + 4)),
}


def place_of(options, reward, arm, seed):
    return options.output / (reward.replace(",", "+") if arm != "plain" else "plain") / arm.replace(" ", "-") / f"seed-{seed}.json"


def run(options):
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    for seed in options.seeds:
        for reward in options.rewards:
            for arm, (words, _, _) in ARMS.items():
                result = place_of(options, reward, arm, seed)
                if result.exists():
                    continue
                print(reward, arm, "seed", seed, flush=True)
                record = {"seconds": 0.0, "images": []}
                for split in SPLITS:
                    images, rated = result.with_suffix(f".{split}"), result.with_suffix(f".{split}.jsonl")
                    shutil.rmtree(images, ignore_errors=True)
                    images.parent.mkdir(parents=True, exist_ok=True)
                    started = time.time()
                    call(options, "sample", "--prompts", captions_file(options, split, CAPTION_SEED), *SAMPLER, "--seed",
                         FIRST_SEED + 100000 * seed, "--output-dir", images, *(words + ["--reward", reward] if words else []))
                    record["seconds"] += time.time() - started
                    call(options, "score", images, "--rewards", ",".join(RATED), "--format", "jsonl", "--output", rated)
                    for line in rated.read_text().splitlines():
                        found = json.loads(line)
                        record["images"].append({"split": split, "prompt": found["prompt"], "rewards": found["rewards"]})
                    shutil.rmtree(images)
                    rated.unlink()
                result.with_suffix(".tmp").write_text(json.dumps(record) + "\n")
                result.with_suffix(".tmp").rename(result)


def differences(options, reward, arm, rated, split):
    """{prompt: mean over seeds of the arm's value less that of the first arm}."""
    by_prompt = {}
    for seed in options.seeds:
        pair = [json.loads(place_of(options, reward, name, seed).read_text())["images"] for name in (arm, next(iter(ARMS)))]
        values = [{image["prompt"]: image["rewards"][rated] for image in images if image["split"] == split} for images in pair]
        for prompt in values[1]:
            by_prompt.setdefault(prompt, []).append(values[0][prompt] - values[1][prompt])
    return {prompt: statistics.fmean(found) for prompt, found in by_prompt.items()}


def interval(values, draws=2000):
    generator = random.Random(0)
    means = sorted(statistics.fmean(generator.choices(values, k=len(values))) for _ in range(draws))
    return means[int(0.025 * draws)], means[int(0.975 * draws) - 1]


def report(options):
    for reward in options.rewards:
        print(f"\nFollowed: `{reward}`; {len(options.seeds)} seeds; change from `plain` [95 % interval over captions]\n")
        print("| arm | network | decodings | s an image | split | " + " | ".join(RATED) + " |\n|" + "---|" * (5 + len(RATED)))
        for arm, (_, passes, decodings) in ARMS.items():
            done = [json.loads(place_of(options, reward, arm, seed).read_text()) for seed in options.seeds]
            seconds = statistics.fmean(record["seconds"] / len(record["images"]) for record in done)
            for split in SPLITS:
                cells = []
                for rated in RATED:
                    if arm == next(iter(ARMS)):
                        values = [image["rewards"][rated] for record in done for image in record["images"] if image["split"] == split]
                        cells.append(f"{statistics.fmean(values):.3f}")
                        continue
                    found = list(differences(options, reward, arm, rated, split).values())
                    low, high = interval(found)
                    cells.append(f"{statistics.fmean(found):+.3f} [{low:+.3f}, {high:+.3f}]")
                print(f"| {arm} | {passes} | {decodings} | {seconds:.2f} | {split} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "guidance")
    parser.add_argument("--captions", type=int, default=64, help="of each split")
    parser.add_argument("--rewards", type=lambda text: text.split(","), default=["clip_score", "aesthetic"])
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    options = parser.parse_args()
    {"run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
