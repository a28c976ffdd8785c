#!/usr/bin/env python3
"""Trees of rollouts (`--branch`, docs/finetune.md) against independent ones: the embedded, synthetic world.

  benchmarks/trees.py run    --output runs/trees        # the missing runs, all arms of a seed before the next seed
  benchmarks/trees.py report --output runs/trees        # the tables of docs/results-trees.md

Arms: `flat` (8 images a prompt, each with a chain of its own: 80 transitions of 10 steps), `tree-0-3-6` (50 transitions),
`tree-0-5` (60). Each arm runs for as many epochs as take the transitions of five flat epochs, and is evaluated after five
epochs too: equal queries, and equal passes of the network. Methods: PRDP with models/recipes/prdp.toml, and GRPO with the
same prompts, rewards, updates and learning rate; four prompts an epoch, two updates. Finished runs are kept, interrupted ones go on from their last checkpoint.
Only the standard library is needed. `--quick` is a smoke test of the same steps with tiny settings; its figures mean nothing.
"""

import argparse
import json
import pathlib
from typing import NamedTuple

import run_statistics as rs
from side_by_side import ROOT, add_options, finished, run_jobs

SEEDS = (1, 2, 3, 4, 5)
METHODS = ("prdp", "grpo")
REWARD = "aesthetic=1,clip_score=0.1"
GOLD = ("oracle", "rater_preference")
EQUAL_QUERIES = 5  # epochs
PROMPTS, IMAGES, UPDATES = 4, 8, 2  # an epoch's, a prompt's, an epoch's
# Beside models/recipes/prdp.toml, with half of its prompts an epoch.
SETTINGS = {"reward": REWARD, "eval_rewards": ",".join(GOLD), "prompts_per_epoch": PROMPTS, "prompts_per_update": PROMPTS // UPDATES,
            "eval_every": EQUAL_QUERIES, "eval_prompts": 16, "eval_images": 2, "guard": "off", "checkpointing_steps": 4,
            "checkpoints_total_limit": 1, "device": "cpu"}
QUICK = {"prompts_per_epoch": 2, "prompts_per_update": 1, "eval_prompts": 2, "eval_images": 1}


class Arm(NamedTuple):
    branch: str
    epochs: int  # of about as many transitions as five flat ones
    transitions: int  # a prompt


ARMS = {"flat": Arm("", EQUAL_QUERIES, 80), "tree-0-3-6": Arm("0,3,6", 8, 50), "tree-0-5": Arm("0,5", 7, 60)}


class Job(NamedTuple):
    method: str
    arm: str
    seed: int
    folder: pathlib.Path


def jobs_of(options):
    return [Job(method, arm, seed, options.output / method / arm / f"seed-{seed}") for seed in SEEDS[:options.seeds] for method in options.methods
            for arm in options.arms]


def command_of(job, options):
    arm = ARMS[job.arm]
    settings = SETTINGS | {"num_epochs": arm.epochs} | (QUICK if options.quick else {})
    command = [str(options.laurel), "finetune", job.method, "--config", str(ROOT / "models" / "recipes" / "prdp.toml"), "--output_dir",
               str(job.folder), "--seed", str(job.seed), "--resume_from_checkpoint", "latest"]
    for key, value in settings.items():
        command += [f"--{key}", str(value)]
    return command + (["--branch", arm.branch] if arm.branch else [])


def run(options):
    run_jobs(jobs_of(options), command_of, options)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def passes(job, epochs):
    """Thousands of passes of the network in so many epochs, a gradient counted as three: two a transition for guidance, once more
    by the start after the first epoch, and by PRDP before its second update, which recomputes its half of them. The step that
    skip_steps leaves out, where all images are apart, is drawn and not trained on."""
    drawn, trained = PROMPTS * ARMS[job.arm].transitions, PROMPTS * (ARMS[job.arm].transitions - IMAGES)
    total = epochs * (2 * drawn + 6 * trained)
    if job.method == "prdp":
        total += (epochs - 1) * 2 * drawn + epochs * trained
    return total / 1000


def at_epoch(job, epoch):
    """A folder with the base's evaluation and that of this epoch alone, as run_statistics reads them."""
    place = job.folder / f"after-{epoch}" / "samples"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("base", f"step-{epoch * UPDATES}"):
        if not (place / name).exists():
            (place / name).symlink_to((job.folder / "samples" / name).resolve())
    return place.parent


def end(job):
    return at_epoch(job, ARMS[job.arm].epochs)


def kl(job, epoch):
    lines = [line for line in metrics(job.folder) if line.get("evaluation") and line["step"] == epoch * UPDATES]
    return lines[-1]["unseen/kl_nats"]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def table(method, options):
    """A line for each arm and budget, of unseen captions unless said; differences from flat are paired by seed and caption."""
    done = {arm: {job.seed: job for job in jobs_of(options) if (job.method, job.arm) == (method, arm) and finished(job)} for arm in ARMS}
    seeds = sorted(set.intersection(*(set(some) for some in done.values())))
    if not seeds:
        return f"{method}: no seed has all arms"
    head = ["arm", "epochs", "1000 passes", "trained reward", "a 1000 passes", "less flat", "less flat, seen", *GOLD, "KL, nats"]
    lines = [f"{method}, seeds {', '.join(map(str, seeds))}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    flat = [end(done["flat"][seed]) for seed in seeds]
    for arm, budget in [("flat", EQUAL_QUERIES), *((arm, n) for arm in ARMS if arm != "flat" for n in (EQUAL_QUERIES, ARMS[arm].epochs))]:
        jobs = [done[arm][seed] for seed in seeds]
        folders = [at_epoch(job, budget) for job in jobs]
        cost = passes(jobs[0], budget)
        gain = rs.bootstrap(folders, REWARD, "unseen")
        each = {key: [value / cost for value in gain[key]] if key == "runs" else gain[key] / cost for key in gain}
        less = ["-", "-"] if arm == "flat" else [rs.cell(rs.bootstrap(folders, REWARD, split, against=flat)) for split in ("unseen", "seen")]
        cells = [arm, budget, f"{cost:.1f}", rs.cell(gain), rs.cell(each, 4), *less, *(rs.cell(rs.bootstrap(folders, name, "unseen")) for name in GOLD),
                 f"{mean(kl(job, budget) for job in jobs):.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def report(options):
    for method in options.methods:
        print(table(method, options) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    add_options(parser, "trees")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    options = parser.parse_args()
    {"run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
