"""Runs of `laurel finetune` for the studies, some side by side."""

import json
import os
import pathlib
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def add_options(parser, study):
    """What every study of such runs is asked for; study: the name of its folder in runs/."""
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / study)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--minutes", type=float, default=0, help="start no run after so many; 0: no limit")
    parser.add_argument("--quick", action="store_true", help="a smoke test with tiny settings")


def finished(job):
    return (job.folder / "done.json").exists()


def run_jobs(jobs, command_of, options, accepted=(0,)):
    """One process each, `--jobs` side by side; what is finished is passed over.

    jobs: have a folder; command_of: the words of a job's command; options: jobs at once, minutes after which none is started
    (0: no limit); accepted: exit codes. A finished run's folder gets done.json, with its seconds, and loses its checkpoints.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    until = time.time() + 60 * options.minutes if options.minutes else float("inf")
    waiting, running = [job for job in jobs if not finished(job)], []
    try:
        while running or (waiting and time.time() < until):
            while waiting and len(running) < options.jobs and time.time() < until:
                job = waiting.pop(0)
                if finished(job):  # by another call in the meantime
                    continue
                job.folder.parent.mkdir(parents=True, exist_ok=True)
                with open(job.folder.with_suffix(".log"), "ab") as log:
                    running.append((job, time.time(), subprocess.Popen(command_of(job, options), stdout=log, stderr=log)))
            for job, started, process in [item for item in running if item[2].poll() is not None]:
                running = [item for item in running if item[0] != job]
                if process.returncode not in accepted:
                    raise SystemExit(f"{job.folder}: exit code {process.returncode}, see {job.folder.with_suffix('.log')}")
                for checkpoint in job.folder.glob("checkpoint-*"):
                    shutil.rmtree(checkpoint)
                (job.folder / "done.json").write_text(json.dumps({"seconds": round(time.time() - started)}) + "\n")
                print(f"{job.folder}: {time.time() - started:.0f} s, {len(waiting) + len(running)} to go", flush=True)
            time.sleep(0.2)
    finally:  # when interrupted: the next call continues from the checkpoints
        for _, _, process in running:
            process.terminate()
        for _, _, process in running:
            process.wait()
    if waiting:
        raise SystemExit(f"{len(waiting)} runs are left; call again")
