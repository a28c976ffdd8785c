#!/usr/bin/env python3
"""Is PRDP stabler than DDPO on many prompts (Deng et al. 2024, their headline)? The embedded, synthetic world.

  benchmarks/stability.py run    --output runs/stability
  benchmarks/stability.py report --output runs/stability     # the table of docs/results-methods.md

Many distinct prompts, hardly one drawn twice, two images of each: a prompt's own mean says little then, and DDPO as its
authors run it normalises rewards over the epoch. Arms: `prdp`, `ddpo` (rewards normalised within a prompt) and `ddpo-epoch`
(over the epoch), all with clipping, at the recipe's learning rate and at larger ones; the same prompts, images and updates.
A run collapses where its last evaluation has lost more than half of the highest gain of the trained reward before it, or ends
below the start. Finished runs are kept, interrupted ones go on from their last checkpoint. Only the standard library is needed.
`--quick` is a smoke test of the same steps with tiny settings; its figures mean nothing.
"""

import argparse
import pathlib
import statistics
from typing import NamedTuple

import methods_report
import run_statistics as rs
from side_by_side import ROOT, add_options, finished, run_jobs

SEEDS = (1, 2, 3, 4, 5)
REWARD = "aesthetic=1,clip_score=0.1"
EPOCHS, PROMPTS, UPDATES = 10, 32, 2  # PROMPTS and UPDATES: an epoch's
RATES = ("1e-4", "3e-4", "1e-3")  # the recipe's first
ARMS = {"prdp": ("prdp", {}), "ddpo": ("ddpo", {}), "ddpo-epoch": ("ddpo", {"advantage_group": "epoch"})}
SETTINGS = {"reward": REWARD, "eval_rewards": "oracle", "max_train_prompts": 0, "prompts_per_epoch": PROMPTS, "images_per_prompt": 2,
            "num_epochs": EPOCHS, "prompts_per_update": PROMPTS // UPDATES, "eval_every": 2, "eval_prompts": 16, "eval_images": 2,
            "guard": "off", "checkpointing_steps": 10, "checkpoints_total_limit": 1, "device": "cpu"}
QUICK = {"num_epochs": 2, "prompts_per_epoch": 4, "prompts_per_update": 2, "eval_every": 1, "eval_prompts": 2, "sample_num_steps": 4}


class Job(NamedTuple):
    arm: str
    rate: str
    seed: int
    folder: pathlib.Path


def jobs_of(options):
    return [Job(arm, rate, seed, options.output / arm / rate / f"seed-{seed}") for rate in options.rates for seed in SEEDS[:options.seeds]
            for arm in options.arms]


def command_of(job, options):
    method, own = ARMS[job.arm]
    command = [str(options.laurel), "finetune", method, "--config", str(ROOT / "models" / "recipes" / "prdp.toml"), "--output_dir",
               str(job.folder), "--seed", str(job.seed), "--resume_from_checkpoint", "latest"]
    for key, value in (SETTINGS | own | {"learning_rate": job.rate} | (QUICK if options.quick else {})).items():
        command += [f"--{key}", str(value)]
    return command


def gains(run):
    """Of the trained reward over the start at each evaluation, in deviations of the base, mean of both splits."""
    lines, unit = methods_report.evaluations(run), methods_report.within(run, REWARD)
    level = [statistics.fmean(methods_report.figure(line, split, REWARD) for split in ("seen", "unseen")) for line in lines]
    return [(value - level[0]) / unit for value in level]


def collapsed(curve):
    return curve[-1] < 0 or curve[-1] < 0.5 * max(curve)


def row(arm, rate, runs):
    curves = [gains(run) for run in runs]
    ends = [methods_report.evaluations(run) for run in runs]
    mean = lambda values: statistics.fmean(values)
    cells = [arm, rate, f"{mean(curve[-1] for curve in curves):+.2f}", f"{mean(max(curve) for curve in curves):+.2f}",
             f"{sum(map(collapsed, curves))} of {len(runs)}", *(rs.cell(rs.bootstrap(runs, REWARD, split)) for split in ("seen", "unseen")),
             rs.cell(rs.bootstrap(runs, "oracle", "unseen")), f"{mean(lines[-1]['seen/kl_nats'] for lines in ends):.0f}",
             f"{mean(lines[-1]['seen/diversity'] / lines[0]['seen/diversity'] for lines in ends):.2f}"]
    return "| " + " | ".join(cells) + " |"


def report(options):
    head = ["arm", "rate", "gain at the end, deviations", "highest", "collapsed", "trained reward, seen", "unseen", "oracle, unseen", "KL, nats",
            "diversity kept"]
    print("| " + " | ".join(head) + " |\n" + "|" + "---|" * len(head))
    done = {}
    for job in jobs_of(options):
        if finished(job):
            done.setdefault((job.rate, job.arm), []).append(job.folder)
    for (rate, arm), runs in done.items():
        print(row(arm, rate, runs))
    print("\nPRDP's trained reward less that of the other, unseen captions, paired by seed and caption:\n")
    for (rate, arm), runs in done.items():
        mine = done.get((rate, "prdp"), [])
        if arm != "prdp" and len(mine) == len(runs):
            print(f"- {arm} at {rate}: {rs.cell(rs.bootstrap(mine, REWARD, 'unseen', against=runs))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    add_options(parser, "stability")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    parser.add_argument("--rates", type=lambda text: text.split(","), default=list(RATES))
    options = parser.parse_args()
    {"run": lambda some: run_jobs(jobs_of(some), command_of, some), "report": report}[options.action](options)


if __name__ == "__main__":
    main()
