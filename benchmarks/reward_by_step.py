#!/usr/bin/env python3
"""At which steps of sampling a reward is decided: the embedded, synthetic world.

  benchmarks/reward_by_step.py --laurel build/release/bin/laurel --output runs/reward-by-step

Several chains are drawn for each caption. At every step, each is rated on the picture that the network expects there, and
at the end on its image. The figure of a step is the share of the final reward's variance within captions that the rating
there explains (the square of the pooled correlation): a lower bound of what the steps before it have decided, since a
better predictor than the expected picture may exist. An interval: a bootstrap over captions. What was drawn is kept. Only the
standard library is needed.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics

from wider_evaluation import call, captions_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
CAPTION_SEED, FIRST_SEED = 978, 6000000


def drawn(options, reward, steps):
    """{caption: (values of each step [steps][chains], values of the ends [chains])}."""
    folder = options.output / f"{reward}-{steps}"
    kept = folder.with_suffix(".json")
    if kept.exists():
        return json.loads(kept.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    captions = options.output / f"{options.split}-seeded.txt"  # each caption has noise of its own
    lines = captions_file(options, options.split, CAPTION_SEED).read_text().splitlines()
    captions.write_text("".join(f"{line} --d {FIRST_SEED + 100 * i}\n" for i, line in enumerate(lines)))
    common = ["sample", "--prompts", captions, "--steps", steps, "--eta", "1", "--cfg-scale", "5", "--sampling-method", "ddim",
              "--batch_size", options.chains]
    # A strength that never resamples: the chains are those of the second command, seed by seed.
    call(options, *common, "--guide", f"particles={options.chains}", "--guide_strength", "1e-9", "--guide_times", steps, "--reward",
         reward, "--output-dir", folder / "rated")
    call(options, *common, "-n", options.chains, "--output-dir", folder / "ends")
    call(options, "score", folder / "ends", "--rewards", reward, "--format", "jsonl", "--output", folder / "ends.jsonl")
    ends = {}
    for record in sorted(map(json.loads, (folder / "ends.jsonl").read_text().splitlines()), key=lambda record: record["file"]):
        ends.setdefault(record["prompt"], []).append(record["rewards"][reward])
    found = {}
    for record in map(json.loads, (folder / "rated" / "guide.jsonl").read_text().splitlines()):
        if any("rows" in rating for rating in record["ratings"]):
            raise SystemExit(f"{record['prompt']}: the chains were resampled")
        found[record["prompt"]] = [rating["values"] for rating in record["ratings"]], ends[record["prompt"]]
    kept.write_text(json.dumps(found) + "\n")
    shutil.rmtree(folder)
    return found


def centred(values):
    mean = statistics.fmean(values)
    return [value - mean for value in values]


def products(pairs):
    """Sums over a caption's chains: (x x, x y, y y), each centred within the caption."""
    x, y = centred([pair[0] for pair in pairs]), centred([pair[1] for pair in pairs])
    return sum(a * a for a in x), sum(a * b for a, b in zip(x, y)), sum(b * b for b in y)


def explained(rows):
    xx, xy, yy = (sum(column) for column in zip(*rows))
    return xy * xy / (xx * yy) if xx > 0 and yy > 0 else 0.0


def figure(found, step):
    rows = [products(list(zip(values[step], ends))) for values, ends in found.values()]
    generator = random.Random(0)
    drawn_again = sorted(explained(generator.choices(rows, k=len(rows))) for _ in range(1000))
    return explained(rows), drawn_again[25], drawn_again[974]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "reward-by-step")
    parser.add_argument("--split", choices=["seen", "unseen"], default="seen")
    parser.add_argument("--captions", type=int, default=24)
    parser.add_argument("--chains", type=int, default=8, help="of a caption")
    parser.add_argument("--rewards", type=lambda text: text.split(","), default=["clip_score", "aesthetic"])
    parser.add_argument("--steps", type=lambda text: [int(steps) for steps in text.split(",")], default=[10])
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{options.captions} {options.split} captions, {options.chains} chains of each; share of the final reward's variance within captions "
          "that the expected picture's rating before a step's noise explains [95 % interval].\n")
    for steps in options.steps:
        print("| step | " + " | ".join(options.rewards) + " |\n|" + "---|" * (1 + len(options.rewards)))
        found = {reward: drawn(options, reward, steps) for reward in options.rewards}
        for step in range(steps):
            cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*figure(found[reward], step)) for reward in options.rewards]
            print(f"| {step + 1} of {steps} | " + " | ".join(cells) + " |", flush=True)
        print()


if __name__ == "__main__":
    main()
