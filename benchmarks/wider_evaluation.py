#!/usr/bin/env python3
"""Finished runs of experiments.py, judged on many more captions than they evaluate themselves.

Two dozen prompts cannot show a difference of 0.02 in the gold score. This samples every arm's networks, and the base, on
the same drawn captions (each once, at one seed, by the sampler of the runs), rates the images, and prints the gain of
each reward with a bootstrap over training seeds and captions (run_statistics.py). What was sampled is kept: a stopped
evaluation goes on where it was.

  benchmarks/wider_evaluation.py --arms prdp,kl-50 --captions 512
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

import run_statistics as rs

ROOT = pathlib.Path(__file__).resolve().parent.parent
REWARDS = ("aesthetic", "clip_score", "social", "lvlm", "oracle", "oracle_objects", "oracle_layout")
SPLITS = ("seen", "unseen")
CAPTION_SEED, IMAGE_SEED = 4242, 2000000
SAMPLER = ["--steps", "10", "--eta", "1", "--cfg-scale", "5", "--sampling-method", "ddim", "--seed", str(IMAGE_SEED)]


def call(options, *words):
    done = subprocess.run([str(options.laurel), *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"failed: laurel {' '.join(map(str, words))}\n{done.stderr.strip()}")


def captions_file(options, split, seed=CAPTION_SEED):
    """Distinct captions of drawn scenes, in the order of drawing; one a line."""
    file = options.output / f"{split}.txt"
    if not file.exists():
        scenes = options.output / f"scenes-{split}"
        call(options, "world", "--out", scenes, "--count", 3 * options.captions, "--split", split, "--seed", seed)
        captions = [path.read_text().strip() for path in sorted(scenes.glob("*.txt"))]
        file.write_text("\n".join(list(dict.fromkeys(captions))[:options.captions]) + "\n")
        shutil.rmtree(scenes)
    return file


def rate(options, folder, unet):
    """<folder>/scores.jsonl of one network, as a run's evaluations have it."""
    scores = folder / "scores.jsonl"
    if scores.exists():
        return
    records = []
    for split in SPLITS:
        images, rated = folder / split, folder / f"{split}.jsonl"
        shutil.rmtree(images, ignore_errors=True)
        call(options, "sample", "--prompts", captions_file(options, split), *SAMPLER, "--output-dir", images,
             *(["--unet", unet] if unet else []))
        call(options, "score", images, "--rewards", ",".join(REWARDS), "--format", "jsonl", "--output", rated)
        for line in rated.read_text().splitlines():
            record = json.loads(line)
            records.append({"file": f"{split}/{pathlib.Path(record['file']).name}", "prompt": record["prompt"], "split": split,
                            "rewards": record["rewards"]})
    scores.with_suffix(".tmp").write_text("\n".join(map(json.dumps, records)) + "\n")
    scores.with_suffix(".tmp").rename(scores)


def evaluated(options, arm):
    """The folders of an arm's finished runs, each with samples/base and samples/step-1."""
    folders = []
    for run in sorted((options.runs / arm).glob("seed-*")):
        if not (run / "unet").is_dir():
            continue
        folder = options.output / arm / run.name
        (folder / "samples" / "step-1").mkdir(parents=True, exist_ok=True)
        rate(options, folder / "samples" / "step-1", run / "unet")
        if not (folder / "samples" / "base").exists():
            (folder / "samples" / "base").symlink_to((options.output / "base").resolve())
        folders.append(folder)
        print(f"{arm} {run.name} rated", file=sys.stderr, flush=True)
    return folders


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "runs" / "experiments")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "wider")
    parser.add_argument("--arms", default="prdp")
    parser.add_argument("--captions", type=int, default=512, help="of each split")
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    (options.output / "base").mkdir(exist_ok=True)
    rate(options, options.output / "base", None)
    counts = [len(captions_file(options, split).read_text().splitlines()) for split in SPLITS]
    print(f"{counts[0]} seen and {counts[1]} unseen captions, one image each; mean [95 % interval] (each training seed's).\n")
    print("| arm | reward | seen | unseen |\n|---|---|---|---|")
    for arm in options.arms.split(","):
        folders = evaluated(options, arm)
        if not folders:
            print(f"| {arm} | no finished run | | |")
            continue
        for reward in REWARDS:
            cells = [rs.cell(rs.bootstrap(folders, reward, split), 2 if reward == "clip_score" else 3) for split in SPLITS]
            print(f"| {arm} | {reward} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
