"""Child processes measured by the kernel's accounts, and the file of results."""
import datetime
import json
import os
import pathlib
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A program that ended with an error, or is not there."""


def processor_seconds(pid):
    """-> (user, system) of a running process."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(words[11]) / TICKS, int(words[12]) / TICKS


def watched(process, log, marks):
    """Copies what a process prints to `log`; where a line matches a mark's expression: name -> (clock, user, system)."""
    seen, rest = {}, ""
    with open(log, "wb") as copy:
        while block := os.read(process.stdout.fileno(), 65536):
            copy.write(block)
            lines = re.split(r"[\r\n]", rest + block.decode(errors="replace"))
            rest = lines[-1]
            for name, expression in marks.items():
                if name not in seen and any(re.search(expression, line) for line in lines):
                    seen[name] = (time.perf_counter(), *processor_seconds(process.pid))
    return seen


def run(command, cores, environment, log, marks=None):
    """One process on the given cores -> its figures: wall, user, system (seconds), faults, peak_mb (its own largest resident
    size), output, marks. A worker process's seconds count, its memory does not."""
    start = time.perf_counter()
    try:
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment},
                                   preexec_fn=lambda: os.sched_setaffinity(0, cores))
    except OSError as problem:
        raise Failed(f"{command[0]}: {problem.strerror}") from problem
    seen = watched(process, log, marks or {})
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    output = pathlib.Path(log).read_text(errors="replace")
    if process.returncode:
        last = ([line for line in output.splitlines() if line.strip()] or ["nothing printed"])[-1]
        raise Failed(f"exit code {process.returncode}, see {log}: {last[-200:]}")
    return {"wall": wall, "user": usage.ru_utime, "system": usage.ru_stime, "faults": usage.ru_minflt + usage.ru_majflt, "peak_mb": usage.ru_maxrss / 1024,
            "output": output, "marks": seen}


def without_text(figures):
    return {name: value for name, value in figures.items() if name not in ("output", "marks")}


def between(marks, first, last, parts):
    """Wall, user and system seconds between two marks, of each of so many parts."""
    if first not in marks or last not in marks:
        raise Failed(f"did not print the lines that tell {first} and {last}")
    return dict(zip(("wall", "user", "system"), ((b - a) / parts for a, b in zip(marks[first], marks[last]))))


class Results:
    """results.jsonl: one line for each measured process group; what it has is not measured again."""

    def __init__(self, path):
        self.path, self.lines = path, []
        if path.exists():
            self.lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]

    def find(self, key):
        return next((line for line in self.lines if line["key"] == key), None)

    def add(self, key, figures):
        line = {"key": key, "load": round(os.getloadavg()[0], 1), "time": datetime.datetime.now().isoformat(timespec="seconds"), "figures": figures}
        self.lines.append(line)
        with open(self.path, "a", encoding="utf-8") as target:
            target.write(json.dumps(line) + "\n")
        return line
