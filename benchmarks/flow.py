#!/usr/bin/env python3
"""Methods and kinds of steps on the embedded flow model (models/tiny-world-flow). The embedded, synthetic world.

  benchmarks/flow.py run    --output runs/flow_study
  benchmarks/flow.py report --output runs/flow_study     # the tables of docs/results-flow.md

The same prompts, rewards and queries (rated images) for every arm: PRDP and GRPO with the noise of Flow-GRPO's SDE, NFT, which
draws no chain, and PRDP with the other kinds of steps. The guard warns and never stops a run. The second table says in which
steps of a chain its nats lie, and how many steps the run trained. Finished runs are kept, interrupted ones go on from their last
checkpoint. Only the standard library is needed. `--quick` is a smoke test of the same steps with tiny settings; its figures mean
nothing.
"""

import argparse
import json
import math
import pathlib
import statistics
from typing import NamedTuple

import methods_report
import run_statistics as rs
from guard import REJECTED
from side_by_side import ROOT, add_options, finished, run_jobs

SEEDS = (1, 2, 3, 4, 5)
REWARD = "aesthetic=1,clip_score=0.1"
CHAIN = {"prompts_per_update": 3, "skip_steps": "auto", "clip_range": 0.2}
ARMS = {"prdp": ("prdp", CHAIN | {"step_kind": "flow_sde", "target_kl": 200.0}),
        "grpo": ("grpo", CHAIN | {"step_kind": "flow_sde", "kl_coefficient": 0.01}),
        "nft": ("nft", {"proportion_empty_prompts": 0, "strength": 1.0}),
        "prdp, ddim": ("prdp", CHAIN | {"step_kind": "ddim", "target_kl": 200.0}),
        "prdp, dance_sde": ("prdp", CHAIN | {"step_kind": "dance_sde", "target_kl": 200.0}),
        "prdp, cps": ("prdp", CHAIN | {"step_kind": "cps", "target_kl": 200.0})}
SETTINGS = {"reward": REWARD, "eval_rewards": "oracle", "prompts": "world", "max_train_prompts": 64, "train": "full", "guard": "warn",
            "learning_rate": "1e-4", "sample_num_steps": 10, "sample_guidance_scale": 1.0, "num_epochs": 6, "prompts_per_epoch": 6,
            "images_per_prompt": 8, "eval_every": 3, "eval_prompts": 16, "eval_images": 2, "checkpointing_steps": 8,
            "checkpoints_total_limit": 1, "device": "cpu"}
QUICK = {"num_epochs": 2, "prompts_per_epoch": 3, "images_per_prompt": 3, "eval_every": 1, "eval_prompts": 2, "sample_num_steps": 4}


class Job(NamedTuple):
    arm: str
    seed: int
    folder: pathlib.Path


def jobs_of(options):
    return [Job(arm, seed, options.output / arm.replace(", ", "-") / f"seed-{seed}") for seed in SEEDS[:options.seeds]
            for arm in options.arms]


def command_of(job, options):
    method, own = ARMS[job.arm]
    command = [str(options.laurel), "finetune", method, "--model", str(options.model), "--output_dir", str(job.folder), "--seed",
               str(job.seed), "--resume_from_checkpoint", "latest"]
    for key, value in (SETTINGS | own | (QUICK if options.quick else {})).items():
        command += [f"--{key}", str(value)]
    return command


def row(arm, runs):
    ends = [methods_report.evaluations(run) for run in runs]
    mean = lambda values: statistics.fmean(values)
    seconds = [json.loads((run / "done.json").read_text())["seconds"] for run in runs]
    cells = [arm, str(len(runs)), *(rs.cell(rs.bootstrap(runs, REWARD, split)) for split in ("seen", "unseen")),
             *(rs.cell(rs.bootstrap(runs, "oracle", split)) for split in ("seen", "unseen")),
             f"{mean(lines[-1].get('seen/kl_nats', math.nan) for lines in ends):.1f}",
             f"{mean(lines[-1]['seen/diversity'] / lines[0]['seen/diversity'] for lines in ends):.2f}",
             f"{mean(seconds):.0f}", ", ".join(map(methods_report.verdict, runs))]
    return "| " + " | ".join(cells) + " |"


def shares(run):
    """What each step of the chain has of all nats of the last evaluation, in percent."""
    line = methods_report.evaluations(run)[-1]
    nats = [line[f"kl_step/{k}"] for k in range(sum(key.startswith("kl_step/") for key in line))]
    return [100 * value / sum(nats) for value in nats] if sum(nats) > 0 else []


def steps_row(arm, runs):
    of_runs = [some for some in map(shares, runs) if some]
    if not of_runs:
        return None
    return "| " + " | ".join([arm, *(f"{statistics.fmean(step):.1f}" for step in zip(*of_runs))]) + " |"


def report(options):
    done = {}
    for job in jobs_of(options):
        if finished(job):
            done.setdefault(job.arm, []).append(job.folder)
    head = ["arm", "seeds", "trained reward, seen", "unseen", "oracle, seen", "unseen", "KL, nats", "diversity kept", "seconds", "guard"]
    print("| " + " | ".join(head) + " |\n" + "|" + "---|" * len(head))
    for arm, runs in done.items():
        print(row(arm, runs))
    print("\nShare of the nats by step, the noisiest first, percent:\n")
    rows = [text for text in (steps_row(arm, runs) for arm, runs in done.items()) if text]
    if rows:
        columns = rows[0].count("|") - 2
        print("| arm | " + " | ".join(map(str, range(1, columns + 1))) + " |\n" + "|---" * (columns + 1) + "|")
        print("\n".join(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    add_options(parser, "flow_study")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "tiny-world-flow")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many")
    parser.add_argument("--arms", type=lambda text: text.split(";"), default=list(ARMS), help="with ; between them")
    options = parser.parse_args()
    {"run": lambda some: run_jobs(jobs_of(some), command_of, some, accepted=(0, REJECTED)), "report": report}[options.action](options)


if __name__ == "__main__":
    main()
