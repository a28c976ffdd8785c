"""Makes tests/golden anew with the installed packages and prints how far laurel's tests are from it: see tools/parity."""

import collections
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "build" / "release" / "tests"
# Not from the packages: one needs a checkout of the web UI, the other writes into models/.
LEFT_OUT = ("make_prompts.py", "make_clip_tokenizer.py")
BINARIES = ("data", "diffusion")


def regenerate(folder):
    """A copy of tests/golden whose make_*.py have all been run."""
    golden = folder / "tests" / "golden"
    shutil.copytree(ROOT / "tests" / "golden", golden)
    (folder / "models").symlink_to(ROOT / "models")
    for script in sorted((golden / "make").glob("make_*.py")):
        if script.name in LEFT_OUT:
            continue
        print(script.name, flush=True)
        done = subprocess.run([sys.executable, script.name], cwd=golden / "make", capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"tools/parity: {script.name} failed: {done.stderr.strip().splitlines()[-1]}")
    return golden


def compare(golden, log):
    """Runs the tests; returns what failed."""
    environment = os.environ | {"LAUREL_GOLDEN": str(golden), "LAUREL_PARITY_LOG": str(log), "OMP_NUM_THREADS": "1"}
    failed = []
    for name in BINARIES:
        binary = TESTS / f"{name}_tests"
        if not binary.exists():
            raise SystemExit(f"tools/parity: {binary} is missing; build first: tools/check")
        done = subprocess.run([binary, "--gtest_brief=1"], capture_output=True, text=True, env=environment, cwd=log.parent)
        failed += [line for line in done.stdout.splitlines() if line.startswith("[  FAILED  ]") and "." in line]
    return failed


def table(log):
    parts = collections.defaultdict(list)
    for line in log.read_text().splitlines() if log.exists() else []:
        part, error, tolerance = line.split("\t")
        parts[part].append((float(error), float(tolerance)))
    if not parts:
        raise SystemExit("tools/parity: no comparison was made")
    print(f"\n{'part':44} {'cases':>5}  {'largest error':>13}  {'tolerance':>9}")
    for part, cases in parts.items():
        error, tolerance = max(cases, key=lambda case: case[0] - case[1])
        print(f"{part:44} {len(cases):5}  {max(case[0] for case in cases):13.2e}  {tolerance:9.0e}"
              f"{'' if error <= tolerance else '  MISSED'}")
    return all(error <= tolerance for cases in parts.values() for error, tolerance in cases)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = folder / "parity.tsv"
        failed = compare(regenerate(folder), log)
        good = table(log)
    for line in failed:
        print(line)
    raise SystemExit(0 if good and not failed else 1)


if __name__ == "__main__":
    main()
