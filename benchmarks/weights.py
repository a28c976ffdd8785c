#!/usr/bin/env python3
"""Learnt weights of auxiliary rewards (docs/rewards.md) in the embedded, synthetic world.

  benchmarks/weights.py run --laurel build/release/bin/laurel --output runs/weights --seeds 1,2,3
  benchmarks/weights.py report --output runs/weights

`primary`: lvlm alone, on 8 prompts x 2 images an epoch. `learnt`: 8 x 8 images, of which lvlm rates the same number (a
quarter), beside clip_score, brightness and noise, whose weights are learnt. Equal queries of lvlm, more images. `free` and
`capped`: brightness trained without a cap, and with that of `--caps auto` for rater_preference as the gold reward.
Finished runs are kept, interrupted ones go on from their last checkpoint. Only the standard library is needed.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

from run_statistics import gains

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / "models" / "recipes" / "prdp.toml"
NOISE = f"noise=program:{sys.executable} {ROOT / 'benchmarks' / 'guard.py'} noise"
COMMON = ["finetune", "prdp", "--config", RECIPE, "--eval_every", "0", "--eval_prompts", "24"]
PRIMARY = [*COMMON, "--guard", "off", "--reward", "lvlm", "--normalise_rewards", "pooled", "--images_per_prompt", "2"]
LEARNT = [*COMMON, "--guard", "off", "--primary", "lvlm", "--auxiliary", "clip_score,brightness,noise", "--primary_share", "0.25", "--define", NOISE]
BRIGHT = [*COMMON, "--guard", "warn", "--guard_rewards", "rater_preference", "--reward", "brightness"]


def laurel(options, arguments, log):
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as target:
        done = subprocess.run([str(word) for word in [options.laurel, *arguments]], stdout=target, stderr=target, check=False)
    if done.returncode != 0:
        raise SystemExit(f"exit code {done.returncode}, see {log}")


def train(options, name, command, seed):
    folder = options.output / name / f"seed-{seed}"
    if not (folder / "done").exists():
        print(name, "seed", seed, flush=True)
        laurel(options, [*command, "--seed", seed, "-o", folder, "--resume_from_checkpoint", "latest"], folder.with_suffix(".log"))
        (folder / "done").touch()


def run(options):
    for seed in options.seeds:
        train(options, "primary", PRIMARY, seed)
        train(options, "learnt", LEARNT, seed)
    for seed in options.seeds:
        train(options, "free", BRIGHT, seed)
        train(options, "capped", [*BRIGHT, "--caps", "auto"], seed)


def runs_of(options, name):
    return [folder for folder in sorted((options.output / name).glob("seed-*")) if (folder / "done").exists()]


def mean_gain(folder, reward, split):
    return statistics.fmean(value for values in gains(folder, reward, split).values() for value in values)


def cap_of(folder):
    found = re.search(r"caps: brightness(\S+),", folder.with_suffix(".log").read_text())
    return found[1] if found else ""


def last_weights(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if "weight/clip_score" in line][-1]
    return {name: last[f"weight/{name}"] for name in ("clip_score", "brightness", "noise")}


def report(options):
    print("| arm | seed | gain in lvlm, seen | unseen | oracle, unseen | weights: clip_score, brightness, noise |\n|---|---|---|---|---|---|")
    for name in ("primary", "learnt"):
        for folder in runs_of(options, name):
            weights = ", ".join(f"{value:.3f}" for value in last_weights(folder).values()) if name == "learnt" else ""
            print(f"| {name} | {folder.name[5:]} | {mean_gain(folder, 'lvlm', 'seen'):+.4f} | {mean_gain(folder, 'lvlm', 'unseen'):+.4f} | "
                  f"{mean_gain(folder, 'oracle', 'unseen'):+.4f} | {weights} |")
    print("\n| arm | seed | gain in brightness, unseen | in rater_preference, seen | unseen | cap |\n|---|---|---|---|---|---|")
    for name in ("free", "capped"):
        for folder in runs_of(options, name):
            print(f"| {name} | {folder.name[5:]} | {mean_gain(folder, 'brightness', 'unseen'):+.4f} | "
                  f"{mean_gain(folder, 'rater_preference', 'seen'):+.4f} | {mean_gain(folder, 'rater_preference', 'unseen'):+.4f} | {cap_of(folder)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/weights"))
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    options = parser.parse_args()
    {"run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
