#!/usr/bin/env python3
"""benchmarks/peers with the embedded model and without its peers: peers_benchmark.py BENCHMARK LAUREL"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile


def check(condition, what):
    if not condition:
        raise SystemExit(f"peers_benchmark: {what}")


def check_marks(benchmark):
    """Processor seconds between two lines of a program's output."""
    sys.path.insert(0, benchmark)
    import measure
    work = "import time\nprint('1/2 begins', flush=True)\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('2/2 ends', flush=True)\ntime.sleep(0.05)"
    with tempfile.TemporaryDirectory() as folder:
        done = measure.run([sys.executable, "-c", work], os.sched_getaffinity(0), {}, pathlib.Path(folder) / "log", {"first": r"\b1/2 ", "last": r"\b2/2 ", "never": "3/2"})
        part = measure.between(done["marks"], "first", "last", 2)
        check(0.1 < part["user"] + part["system"] < 0.2, f"between marks: {part}")
        check(done["user"] + done["system"] > 0.3 and done["faults"] > 100 and done["peak_mb"] > 1, f"process: {done}")
        for marks in (("first", "never"), ("never", "last")):
            try:
                measure.between(done["marks"], *marks, 1)
                check(False, f"{marks}: expected a refusal")
            except measure.Failed as problem:
                check("did not print" in str(problem), problem)


def main():
    benchmark, laurel = sys.argv[1:]
    check_marks(benchmark)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, benchmark, "--laurel", laurel, "--output", folder, "--shape", "tiny", "--rounds", "2", "--repeats", "1", "--only", "start", "sampling", "score",
                   "--peers", "diffusers", "OpenVINO", "open_clip"]
        nowhere = {**os.environ, "LAUREL_PYTHON": str(pathlib.Path(folder) / "no-python"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=nowhere)
        check(done.returncode == 0, done.stderr)
        check("diffusers is missing" in done.stderr and "no-python" in done.stdout, done.stderr)
        check("| sampling | laurel | " in done.stdout and "| sampling | diffusers |  |" in done.stdout, done.stdout)
        check("score" in done.stdout.split("Empty rows:")[1], done.stdout)
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "results.jsonl").read_text().splitlines()]
        check(len(lines) == 4 and all(line["figures"]["wall"] > 0 and line["figures"]["peak_mb"] > 10 for line in lines), lines)
        again = subprocess.run(command, capture_output=True, text=True, env=nowhere)
        check(again.returncode == 0 and (pathlib.Path(folder) / "results.jsonl").read_text().count("\n") == 4, "measured again")
        check((pathlib.Path(folder) / "table.md").read_text() in again.stdout, "table.md")
        refused = subprocess.run([*command, "--only", "painting"], capture_output=True, text=True, env=nowhere)
        check(refused.returncode == 2 and "expected one of start, sample" in refused.stderr, refused.stderr)


if __name__ == "__main__":
    main()
