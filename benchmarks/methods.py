#!/usr/bin/env python3
"""The fair table of the finetuning methods (docs/finetune.md): the embedded, synthetic world.

  benchmarks/methods.py tune   --output runs/methods              # six settings a method, on seed 0
  benchmarks/methods.py run    --output runs/methods              # the chosen ones on five fresh seeds
  benchmarks/methods.py report --output runs/methods              # judges them on 512 captions, and prints the tables

Every method has the same start, prompts, rewards, queries (640 rated images), trained parameters, sampling and evaluation,
and as much tuning: six settings that stand below, none added afterwards. The setting with the highest trained reward on
captions that no training saw is taken, among those whose KL is at most 40 nats. `--budget compute` gives each method the
passes of the network that PRDP takes for its 640 queries. The guard warns and never stops a run. Finished runs are kept,
interrupted ones go on from their last checkpoint: any command may be stopped and started again. Only the standard library
is needed. `--quick` is a smoke test of the same steps with tiny settings; its figures mean nothing.
"""

import argparse
import json
import pathlib
import statistics
import sys
from typing import NamedTuple

import methods_report
from guard import REJECTED
from side_by_side import ROOT, add_options, finished, run_jobs

SEEDS = (1, 2, 3, 4, 5)
TUNING_SEED = 0
MOST_KL = 40  # nats, of a setting that may be chosen
QUERIES = 640
REWARDS = {"mixed": "aesthetic=1,clip_score=0.1", "clip": "clip_score=1", "social": "social=1"}
GOLD = ("oracle", "oracle_objects", "oracle_layout")
COMMON = {"prompts": "world", "max_train_prompts": 64, "train": "full", "guard": "warn", "sample_num_steps": 10,
          "sample_guidance_scale": 5.0, "eval_prompts": 24, "eval_images": 2, "checkpoints_total_limit": 1, "device": "cpu"}
EPOCHS = {"num_epochs": 10, "prompts_per_epoch": 8, "images_per_prompt": 8, "eval_every": 5, "checkpointing_steps": 10}
CHAIN = EPOCHS | {"prompts_per_update": 4, "skip_steps": "auto", "clip_range": 0.2}
STEPS = {"max_train_steps": 80, "train_batch_size": 8, "eval_every": 40, "checkpointing_steps": 20}


class Method(NamedTuple):
    command: str
    settings: dict  # beside COMMON
    tuned: list  # six
    # Passes of the network for 640 queries: two a step for guidance in drawing, scoring by the start and training.
    passes: float
    rewards: dict = {}  # where it does not follow the table's rewards


def grid(**lists):
    """All combinations of the values of each key."""
    settings = [{}]
    for key, values in lists.items():
        settings = [one | {key: value} for one in settings for value in values]
    return settings


def mine(base, **more):
    return base | more


METHODS = {
    "prdp": Method("prdp", CHAIN, grid(learning_rate=[5e-5, 1e-4, 2e-4], target_kl=[50.0, 200.0]), 70400),
    "ddpo": Method("ddpo", CHAIN, grid(learning_rate=[5e-5, 1e-4, 2e-4], num_inner_epochs=[1, 2]), 51200),
    "grpo": Method("grpo", CHAIN, grid(learning_rate=[5e-5, 1e-4, 2e-4], kl_coefficient=[0.01, 0.04]), 62700),
    "dpok": Method("dpok", CHAIN, grid(learning_rate=[5e-5, 1e-4, 2e-4], target_kl=[50.0, 200.0]), 62700),
    "d3po": Method("d3po", CHAIN, grid(learning_rate=[5e-5, 1e-4, 2e-4], preference_scale=[0.1, 1.0]), 70400),
    "raft": Method("raft", EPOCHS, grid(learning_rate=[5e-5, 1e-4, 3e-4], keep=[1, 2]), 16600),
    "rwr": Method("rwr", EPOCHS, grid(learning_rate=[5e-5, 1e-4, 3e-4], temperature=[0.3, 1.0]), 43500),
    "nft": Method("nft", EPOCHS, grid(learning_rate=[5e-5, 1e-4, 3e-4], strength=[0.3, 1.0]), 53800),
    "dpo": Method("dpo", mine(EPOCHS, online=True), grid(learning_rate=[5e-5, 1e-4, 3e-4], beta=[0.3, 3.0]), 53800),
    "kto": Method("kto", mine(EPOCHS, online=True), grid(learning_rate=[5e-5, 1e-4, 3e-4], beta=[0.3, 3.0]), 53800),
    "draft": Method("draft", STEPS, grid(learning_rate=[3e-5, 1e-4, 3e-4], last_steps=[1, 3]), 23000),
    "refl": Method("refl", STEPS, grid(learning_rate=[1e-5, 3e-5, 1e-4], last_steps=[3, 5]), 23000),
    # Floor and ceiling, with PRDP's chosen setting: a reward that says nothing, and the gold itself.
    "noise": Method("prdp", mine(CHAIN, define=f"noise=program:{sys.executable} {ROOT / 'benchmarks' / 'guard.py'} noise"), [{}], 70400,
                    {"reward": "noise=1"}),
    "oracle": Method("prdp", CHAIN, [{}], 70400, {"reward": "oracle=1"}),
}
FOLLOWS = {"noise": "prdp", "oracle": "prdp"}  # whose setting is taken
PRDP_PASSES = METHODS["prdp"].passes
QUICK = {"num_epochs": 2, "prompts_per_epoch": 4, "images_per_prompt": 3, "max_train_steps": 2, "train_batch_size": 2, "eval_every": 1,
         "eval_prompts": 2, "sample_num_steps": 6, "checkpointing_steps": 1}


class Job(NamedTuple):
    method: str
    seed: int
    folder: pathlib.Path
    settings: dict


def eval_rewards(trained):
    names = [part.split("=")[0] for part in trained.split(",")]
    return ",".join(name for name in ("aesthetic", "clip_score", "oracle") if name not in names)


def settings_of(method, tuned, options):
    settings = COMMON | method.settings | {"reward": REWARDS[options.reward]} | tuned | method.rewards
    settings |= {"eval_rewards": eval_rewards(settings["reward"])}
    if options.budget == "compute":
        for key in ("num_epochs", "max_train_steps"):
            if key in settings:
                settings[key] = max(1, round(settings[key] * PRDP_PASSES / method.passes))
                settings["eval_every"] = max(1, round(settings[key] / 2))
    return settings | ({key: value for key, value in QUICK.items() if key in settings} if options.quick else {})


def command_of(job, options):
    command = [str(options.laurel), "finetune", METHODS[job.method].command, "--output_dir", str(job.folder), "--seed", str(job.seed),
               "--resume_from_checkpoint", "latest"]
    for key, value in job.settings.items():
        command += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    return command


def run(jobs, options):
    run_jobs(jobs, command_of, options, accepted=(0, REJECTED))


def named(options):
    unknown = sorted(set(options.methods or ()) - set(METHODS))
    if unknown:
        raise SystemExit(f"--methods: expected some of {', '.join(METHODS)}, found {', '.join(unknown)}")
    return {name: method for name, method in METHODS.items() if not options.methods or name in options.methods}


def tuning_jobs(options):
    """{method: its six jobs}"""
    place = options.output / options.reward / "tune"
    return {name: [Job(name, TUNING_SEED, place / f"{name}-{i}", settings_of(method, tuned, options)) for i, tuned in enumerate(method.tuned)]
            for name, method in named(options).items() if name not in FOLLOWS}


def tune(options):
    options.budget = "queries"
    jobs = tuning_jobs(options)
    run([job for some in zip(*jobs.values()) for job in some], options)
    chosen = options.output / options.reward / "tuned.json"
    found = json.loads(chosen.read_text()) if chosen.exists() else {}
    for name, some in jobs.items():
        rows = [methods_report.outcome(job.folder, job.settings["reward"]) for job in some]
        able = [i for i, row in enumerate(rows) if row["kl"] <= MOST_KL] or [min(range(len(rows)), key=lambda i: rows[i]["kl"])]
        best = max(able, key=lambda i: rows[i]["unseen"])
        found[name] = METHODS[name].tuned[best]
        print(f"\n{name}: takes {found[name]}")
        for setting, row, job in zip(METHODS[name].tuned, rows, some):
            seconds = json.loads((job.folder / "done.json").read_text())["seconds"]
            print(f"  {setting}: trained reward unseen {row['unseen']:+.3f} deviations, KL {row['kl']:.1f} nats, {seconds} s")
    chosen.write_text(json.dumps(found, indent=1) + "\n")


def final_jobs(options):
    chosen = options.output / options.reward / "tuned.json"
    if not chosen.exists():
        raise SystemExit(f"{chosen}: expected the chosen settings, found none; call tune first")
    tuned, jobs = json.loads(chosen.read_text()), []
    for seed in SEEDS[:2] if options.quick else SEEDS:
        for name, method in named(options).items():
            setting = tuned.get(FOLLOWS.get(name, name))
            if setting is None:
                continue
            folder = options.output / options.reward / options.budget / name / f"seed-{seed}"
            jobs.append(Job(name, seed, folder, settings_of(method, setting, options)))
    return jobs


def report(options):
    jobs = [job for job in final_jobs(options) if finished(job)]
    if not jobs:
        raise SystemExit("no finished run; call run first")
    seconds = {}
    for job in jobs:
        seconds.setdefault(job.method, []).append(json.loads((job.folder / "done.json").read_text())["seconds"])
    costs = {name: (METHODS[name].passes, statistics.fmean(some) / 60) for name, some in seconds.items()}
    print(methods_report.text(options, REWARDS[options.reward], costs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["tune", "run", "report"])
    add_options(parser, "methods")
    parser.add_argument("--reward", choices=list(REWARDS), default="mixed")
    parser.add_argument("--budget", choices=["queries", "compute"], default="queries")
    parser.add_argument("--methods", type=lambda text: text.split(","))
    parser.add_argument("--captions", type=int, default=256, help="of each split, to judge the ends by")
    options = parser.parse_args()
    actions = {"tune": tune, "run": lambda some: run(final_jobs(some), some), "report": report}
    actions[options.action](options)


if __name__ == "__main__":
    main()
