#!/usr/bin/env python3
"""benchmarks/gpu on the CPU, with tiny shapes and without any Python package: gpu_benchmark_test.py BENCHMARK LAUREL"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile

FLOW_STAGES = ["a step of the network", "decode", "PRDP update"]
STAGES = ["sampling, one image", "sampling in batches", "PRDP update", "RG-LCD step", "CLIP scoring"]


def check(condition, what):
    if not condition:
        raise SystemExit(f"gpu_benchmark_test: {what}")


def check_stage(stage, peak):
    ours = stage["laurel"]
    check(len(ours["seconds"]) == 1 and ours["median_s"] > 0, f"times: {ours}")
    check(stage["tflop"] > 0, f"no operations: {stage}")
    check(math.isclose(ours["tflop_per_s"] * ours["median_s"], stage["tflop"], rel_tol=1e-6), f"TFLOP/s: {stage}")
    check(math.isclose(ours["share_of_peak"], ours["tflop_per_s"] / peak, rel_tol=1e-6) and ours["share_of_peak"] < 1, f"share: {stage}")
    check(math.isclose(stage["at_peak_s"], stage["tflop"] / peak, rel_tol=1e-6) and stage["at_peak_s"] < ours["median_s"], f"at peak: {stage}")
    for name in ("diffusers eager", "diffusers compiled"):
        check(stage[name] == {"problem": "not installed"}, f"{name}: {stage[name]}")
    check([target["met"] for target in stage["targets"]] == [None] * len(stage["targets"]), "targets are for cards")


def check_forecast(script, laurel):
    """The tables of a tiny shape: a size twice as large takes more work, and both fit every card."""
    done = subprocess.run([sys.executable, "-S", script, "--laurel", laurel, "--shapes", "tiny-sd3", "--resolutions", "32,64"], capture_output=True, text=True)
    check(done.returncode == 0, done.stderr)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    check(sum(row[0] == "tiny-sd3" for row in rows) == 2, done.stdout)
    prdp = [[float(cell) for cell in row[1:]] for row in rows if row[0] == "prdp, d3po"]
    check(len(prdp) == 3 and all(len(row) == 2 and 0 < row[0] < row[1] for row in prdp), done.stdout)


def main():
    benchmark, laurel = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "gpu.json"
        # -S: Python without the packages that may be installed
        command = [sys.executable, "-S", benchmark, "--laurel", laurel, "--device", "cpu", "--precision", "fp32", "--threads", "1", "--rounds", "1", "--repeats", "2", "--steps", "2",
                   "--update-steps", "2", "--output", output]
        done = subprocess.run([*command, "--shapes", "tiny,tiny-xl,tiny-sd3"], capture_output=True, text=True)
        check(done.returncode == 0, done.stderr)
        check("not measured on a GPU" in done.stdout and "not installed" in done.stdout, done.stdout)
        report = json.loads(output.read_text())
        check(report["measured_on_gpu"] is False and report["diffusers"] is None and report["precision"] == "fp32", report)
        check(list(report["shapes"]) == ["tiny", "tiny-xl", "tiny-sd3"], report["shapes"].keys())
        for name, shape in report["shapes"].items():
            check([stage["name"] for stage in shape["stages"]] == (FLOW_STAGES if name == "tiny-sd3" else STAGES), shape["stages"])
            for stage in shape["stages"]:
                check_stage(stage, report["peak_tflops"])
        check_forecast(pathlib.Path(benchmark).with_name("flow_forecast.py"), laurel)
        refused = subprocess.run([*command, "--shapes", "sd16"], capture_output=True, text=True)
        check(refused.returncode != 0 and "expected some of sd15" in refused.stderr, refused.stderr)


if __name__ == "__main__":
    main()
