#!/usr/bin/env python3
"""The comparisons of docs/results.md: PRDP against DDPO, online against offline, clipping, KL target, single rewards.

Every arm is models/recipes/prdp.toml with a few settings replaced, run on several seeds. A run is one process of
`laurel finetune` on one thread; two run side by side. A queue that was stopped goes on where it was: finished runs are
kept, interrupted ones continue from their last checkpoint. Only the standard library is needed.

  benchmarks/experiments.py run --laurel build/release/bin/laurel --output runs/experiments --minutes 120
  benchmarks/experiments.py list --output runs/experiments
  benchmarks/experiments.py report --output runs/experiments

All of it is 59 runs. An epoch of the recipe takes about 17 s of one core, a run 4 to 5 minutes, the whole about 3 hours
of two free cores; jobs.jsonl has the time of each. `--quick` on all three commands is a smoke test: the same arms with
tiny settings, two seeds each, in a few minutes. Give it an --output of its own. Its figures mean nothing.

  runs/experiments/<arm>/seed-<n>/     the run, as laurel leaves it; without checkpoints once it has finished
  runs/experiments/logs/               what each run printed
  runs/experiments/jobs.jsonl          a line for each process that ended: arm, seed, exit status, seconds
"""

import argparse
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from typing import NamedTuple

import experiments_report

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / "models" / "recipes" / "prdp.toml"

# ---- what is run: the costs first ------------------------------------------------------------------------------------

SEEDS = (1, 2, 3, 4, 5)  # the recipe's settings were chosen on seed 0: it is not reported
EPOCHS = 10  # of 8 prompts x 8 images: 640 reward queries
EPOCHS_K10 = 2  # ten passes over each epoch's images: 128 queries, about the time of EPOCHS with one pass
EPOCHS_SAME = 3  # enough to see that two arms are the same
NEVER_CLIPS = 1e6  # nats a step
DDPO_LEARNING_RATE = 1e-4  # chosen on seed 0 among 1e-4, 2e-4 and 5e-4, as PRDP's among 1e-4 and 2e-4
ALL_REWARDS = ("aesthetic", "clip_score", "oracle")
COMMON = {
    "num_epochs": EPOCHS,
    "eval_every": 0,  # before and after
    "eval_prompts": 24,  # of each split; fewer seen ones where the recipe trains on fewer
    "eval_images": 2,
    "checkpointing_steps": 10,  # to go on after an interruption: removed from a finished run
    "checkpoints_total_limit": 1,
    "guard": "off",  # every arm runs to its end
    "device": "cpu",
}


class Arm(NamedTuple):
    rank: int  # of importance; arms of one rank take turns, seed by seed
    seeds: tuple
    settings: dict  # on top of the recipe and COMMON
    method: str = "prdp"


# An epoch of the recipe has two optimiser steps. At K=1 only the second can be clipped: at the first the model is still
# the one that drew the images. The `one-step` arms have one step an epoch: there clipping cannot act at all.
ARMS = {
    "prdp": Arm(0, SEEDS, {}),
    "ddpo": Arm(1, SEEDS, {"learning_rate": DDPO_LEARNING_RATE}, "ddpo"),  # advantages normalised within a prompt
    "offline": Arm(2, SEEDS, {"offline": True, "offline_epochs": EPOCHS}),  # as many queries and updates as online
    "aesthetic-only": Arm(3, SEEDS, {"reward": "aesthetic=1"}),
    "social-only": Arm(3, SEEDS, {"reward": "social=1"}),
    "lvlm-only": Arm(3, SEEDS, {"reward": "lvlm=1"}),
    # Each reward on the scale of its own spread, so that none of the three rules by its unit.
    "three": Arm(3, SEEDS, {"reward": "aesthetic=1,social=1,lvlm=1", "normalise_rewards": "pooled"}),
    "clip-only": Arm(3, SEEDS[:3], {"reward": "clip_score=0.1"}),
    # Set after the arms above showed what the aesthetic reward alone costs in gold: on seeds of its own.
    "clip-heavy": Arm(3, (6, 7, 8, 9, 10), {"reward": "aesthetic=1,clip_score=0.3"}),
    "k1-noclip": Arm(6, SEEDS[:2], {"clip_range": NEVER_CLIPS}),
    "one-step": Arm(4, SEEDS[:2], {"prompts_per_update": 0, "num_epochs": EPOCHS_SAME}),
    "one-step-noclip": Arm(
        4, SEEDS[:2], {"prompts_per_update": 0, "num_epochs": EPOCHS_SAME, "clip_range": NEVER_CLIPS}),
    "k10": Arm(4, SEEDS[:2], {"num_inner_epochs": 10, "num_epochs": EPOCHS_K10}),
    "k10-noclip": Arm(
        4, SEEDS[:2], {"num_inner_epochs": 10, "num_epochs": EPOCHS_K10, "clip_range": NEVER_CLIPS}),
    "kl-20": Arm(5, SEEDS[:2], {"target_kl": 20.0}),  # `prdp` is the one with 200
    "kl-50": Arm(5, SEEDS[:2], {"target_kl": 50.0}),
    "kl-2000": Arm(5, SEEDS[:2], {"target_kl": 2000.0}),
}

# --quick: the largest value of each; two seeds.
QUICK = {"num_epochs": 2, "offline_epochs": 2, "num_inner_epochs": 2, "prompts_per_epoch": 2, "images_per_prompt": 2,
         "prompts_per_update": 1, "sample_num_steps": 4, "eval_prompts": 2, "checkpointing_steps": 1}
QUICK_SEEDS = 2


# ---- jobs ------------------------------------------------------------------------------------------------------------

class Job(NamedTuple):
    arm: str
    seed: int
    rank: int
    method: str
    settings: dict  # recipe, COMMON and the arm's own, resolved
    folder: pathlib.Path

    @property
    def name(self):
        return f"{self.arm} seed {self.seed}"


def eval_rewards(trained):
    """All rewards are recorded: those that are not trained on are evaluated."""
    names = [part.split("=")[0] for part in trained.split(",")]
    return ",".join(name for name in ALL_REWARDS if name not in names)


def settings_of(arm, quick):
    settings = tomllib.loads(RECIPE.read_text()) | COMMON | arm.settings
    if quick:
        settings |= {key: min(value, settings.get(key, value)) for key, value in QUICK.items()}
    return settings | {"eval_rewards": eval_rewards(settings["reward"])}


def all_jobs(output, quick, chosen=None):
    """The most important first; one seed of every arm of a rank, then the next seed."""
    unknown = sorted(set(chosen or ()) - set(ARMS))
    if unknown:
        raise SystemExit(f"--arms: expected some of {', '.join(ARMS)}, found {', '.join(unknown)}")
    jobs = []
    for name, arm in ARMS.items():
        if chosen and name not in chosen:
            continue
        for seed in arm.seeds[:QUICK_SEEDS] if quick else arm.seeds:
            folder = output / name / f"seed-{seed}"
            jobs.append(Job(name, seed, arm.rank, arm.method, settings_of(arm, quick), folder))
    return sorted(jobs, key=lambda job: (job.rank, job.seed))


def has_final_evaluation(job):
    if not (job.folder / "metrics.jsonl").exists():
        return False
    last = experiments_report.evaluations(job.folder)[-1:]
    done = bool(last) and last[0]["epoch"] == job.settings["num_epochs"]
    return done and (job.folder / "samples" / f"step-{last[0]['step']}" / "scores.jsonl").exists()


def state_of(job):
    """'new', 'unfinished', 'finished', or 'other settings: ...' for one that the table no longer describes."""
    if not (job.folder / "run.json").exists():
        return "new"
    if not has_final_evaluation(job):
        return "unfinished"
    stored = tomllib.loads((job.folder / "config.toml").read_text())
    changed = sorted(key for key, value in job.settings.items() if stored.get(key) != value)
    return f"other settings: {', '.join(changed)}" if changed else "finished"


def command_of(job, laurel):
    """The recipe by its name, so that the command reads as a user's would; then what differs from it."""
    recipe = tomllib.loads(RECIPE.read_text())
    command = [str(laurel), "finetune", job.method, "--config", str(RECIPE), "--output_dir", str(job.folder)]
    command += ["--seed", str(job.seed), "--resume_from_checkpoint", "latest"]  # starts anew where there is none
    for key, value in job.settings.items():
        if key not in recipe or recipe[key] != value:
            command += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    return command


# ---- the queue -------------------------------------------------------------------------------------------------------

class Running(NamedTuple):
    job: Job
    process: subprocess.Popen
    started: float
    resumed: bool


def start(job, options):
    """Its process; None where another queue's process still holds the run's log."""
    logs = options.output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    command = command_of(job, options.laurel)
    with open(logs / f"{job.arm}-{job.seed}.log", "a") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the process inherits it, and holds it until its end
        except BlockingIOError:
            print(f"{job.name}: still run by another queue", flush=True)
            return None
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        resumed = any(job.folder.glob("checkpoint-*/state.safetensors"))
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    return Running(job, process, time.time(), resumed)


def last_line(log):
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def remove_checkpoints(folder):
    """Leaves unet/, the trained weights."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)


def finish(running, options, left):
    """Records a process that ended; True where its run is finished."""
    job, seconds = running.job, time.time() - running.started
    done = running.process.returncode == 0 and has_final_evaluation(job)
    if done:
        remove_checkpoints(job.folder)
    record = {"arm": job.arm, "seed": job.seed, "exit": running.process.returncode, "finished": done,
              "resumed": running.resumed, "ended": round(time.time()), "seconds": round(seconds, 1),
              "load": round(os.getloadavg()[0], 2)}
    with open(options.output / "jobs.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    said = "" if done else ": " + last_line(options.output / "logs" / f"{job.arm}-{job.seed}.log")
    word = "finished" if done else f"FAILED (exit {running.process.returncode})"
    print(f"{job.name}: {word} in {seconds / 60:.1f} min, {left} to go{said}", flush=True)
    return done


def waiting_jobs(options):
    waiting = []
    for job in all_jobs(options.output, options.quick, options.arms):
        state = state_of(job)
        if state.startswith("other"):
            print(f"{job.name}: finished with {state}; remove {job.folder} to run it again", flush=True)
        elif state != "finished":
            waiting.append(job)
    return waiting


def run(options):
    if not options.laurel.is_file():
        raise SystemExit(f"--laurel: expected the program, found nothing at {options.laurel}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    waiting, running, failed = waiting_jobs(options), [], 0
    until = time.time() + 60 * options.minutes if options.minutes else float("inf")
    try:
        while running or (waiting and time.time() < until):
            while waiting and len(running) < options.jobs and time.time() < until:
                started = start(waiting.pop(0), options)
                running += [started] if started else []
            for item in [item for item in running if item.process.poll() is not None]:
                running.remove(item)
                failed += not finish(item, options, len(waiting) + len(running))
            time.sleep(0.2)
    finally:  # when interrupted: the next call continues from the checkpoints
        for item in running:
            item.process.terminate()
        for item in running:
            item.process.wait()
    print(f"{len(waiting)} runs left, {failed} failed", flush=True)
    return 1 if failed else 0


def show(options):
    for job in all_jobs(options.output, options.quick, options.arms):
        print(f"{job.name:24}{state_of(job)}")
    return 0


def report(options):
    runs, missing = {name: {} for name in ARMS}, []
    for job in all_jobs(options.output, options.quick):
        state = state_of(job)
        if state == "finished":
            runs[job.arm][job.seed] = job.folder
        else:
            missing.append((job.arm, job.seed, state))
    weights = tomllib.loads(RECIPE.read_text())["reward"]
    print(experiments_report.text(runs, missing, weights, options.output / "jobs.jsonl"))
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("run", run), ("list", show), ("report", report)):
        command = commands.add_parser(name)
        command.set_defaults(function=function, arms=None)
        command.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "experiments")
        command.add_argument("--quick", action="store_true", help="smoke test with tiny settings")
        if name != "report":
            command.add_argument("--arms", type=lambda text: text.split(","), help="only these: a,b")
        if name == "run":
            command.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
            command.add_argument("--jobs", type=int, default=2, help="processes at once")
            command.add_argument("--minutes", type=float, default=0, help="start no run after so many; 0: no limit")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    sys.exit(options.function(options))
