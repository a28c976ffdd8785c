#!/usr/bin/env python3
"""Learnt weights of auxiliary rewards (docs/rewards.md) in the embedded, synthetic world.

  benchmarks/weights.py run --laurel build/release/bin/laurel --output runs/weights --seeds 1,2,3
  benchmarks/weights.py report --output runs/weights

`primary`: lvlm alone, on 8 prompts x 2 images an epoch. `learnt`: 8 x 8 images, of which lvlm rates the same number (a
quarter), beside clip_score, brightness and noise, whose weights are learnt. Equal queries of lvlm, more images. `free` and
`capped`: brightness trained without a cap, and with that of `--caps auto` for rater_preference as the gold reward. `looks`,
`held` and `held-fast`: aesthetic trained alone, and with an equality that holds clip_score where the start has it, at a rate
of 0.1 and of 1.
Finished runs are kept, interrupted ones go on from their last checkpoint. Only the standard library is needed.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

from run_statistics import gains, last_evaluation, read_scores

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / "models" / "recipes" / "prdp.toml"
NOISE = f"noise=program:{sys.executable} {ROOT / 'benchmarks' / 'guard.py'} noise"
COMMON = ["finetune", "prdp", "--config", RECIPE, "--eval_every", "0", "--eval_prompts", "24"]
PRIMARY = [*COMMON, "--guard", "off", "--reward", "lvlm", "--normalise_rewards", "pooled", "--images_per_prompt", "2"]
LEARNT = [*COMMON, "--guard", "off", "--primary", "lvlm", "--auxiliary", "clip_score,brightness,noise", "--primary_share", "0.25", "--define", NOISE]
SMALL = [*COMMON, "--prompts_per_epoch", "4", "--prompts_per_update", "2"]
BRIGHT = [*SMALL, "--guard", "warn", "--guard_rewards", "rater_preference", "--reward", "brightness"]
LOOKS = [*SMALL, "--guard", "off", "--reward", "aesthetic=1,clip_score=1e-6"]
HELD = 84  # clip_score: about the start's mean on captions of seen combinations
ARMS = {"primary": PRIMARY, "learnt": LEARNT, "free": BRIGHT, "capped": [*BRIGHT, "--caps", "auto"], "looks": LOOKS,
        "held": [*LOOKS, "--constraints", f"clip_score={HELD}"],
        "held-fast": [*LOOKS, "--constraints", f"clip_score={HELD}", "--constraint_rate", "1"]}


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
        for arm in options.arms:
            train(options, arm, ARMS[arm], seed)


def runs_of(options, name):
    return [folder for folder in sorted((options.output / name).glob("seed-*")) if (folder / "done").exists()]


def mean_gain(folder, reward, split):
    return statistics.fmean(value for values in gains(folder, reward, split).values() for value in values)


def mean_at_end(folder, reward, split):
    rows = read_scores(last_evaluation(folder)).values()
    return statistics.fmean(row["rewards"][reward] for row in rows if row["split"] == split)


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
    print("\n| arm | seed | gain in aesthetic, seen | in clip_score, seen | unseen | clip_score at the end, seen |\n|---|---|---|---|---|---|")
    for name in ("looks", "held", "held-fast"):
        for folder in runs_of(options, name):
            print(f"| {name} | {folder.name[5:]} | {mean_gain(folder, 'aesthetic', 'seen'):+.3f} | {mean_gain(folder, 'clip_score', 'seen'):+.2f} | "
                  f"{mean_gain(folder, 'clip_score', 'unseen'):+.2f} | {mean_at_end(folder, 'clip_score', 'seen'):.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/weights"))
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS), help=", ".join(ARMS))
    options = parser.parse_args()
    {"run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
