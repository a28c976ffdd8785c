#!/usr/bin/env python3
"""What `laurel pairs` (docs/pairs.md) gains on labels of known noise: scenes of the embedded, synthetic world.

  benchmarks/pairs.py --laurel build/release/bin/laurel --output runs/pairs

The true preference is the smaller JPEG of two scenes, of which no voter and no student knows. A judge tells the truth
but for a share of its answers, drawn at random; a second judge errs as often, independently. Arms: `raw` labels; `voting`
(members cross-fitted on facts about the pixels; flip, drop); `consensus` of the two judges; `both`. The student of each
is `laurel train-reward pairs` on CLIP embeddings alone, measured on pairs of other scenes with true labels. Finished
students are kept. One process at a time; only the standard library is needed.
"""

import argparse
import json
import os
import pathlib
import random
import resource
import subprocess

FACTS = "saturation,contrast,warm_share,edge_density,sharpness,noise_level,empty_share,offset_from_centre,symmetry,vignette,brightness,colourfulness"
TRUTH = "jpeg_compressibility"
NOISES = (0.10, 0.25, 0.40)
SEEDS = (1, 2, 3, 4, 5)
VOTING = ["--cross_fit", "10", "--flip", "0.2", "--drop", "0.2:0.4"]
ARMS = {"raw": [], "voting": VOTING, "consensus": ["--consensus", "second.jsonl"], "both": ["--consensus", "second.jsonl", *VOTING]}


def call(options, folder, *command):
    subprocess.run([options.laurel.resolve(), *map(str, command)], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def scored_scenes(options, folder, seed):
    """Paths and true values of the seed's scenes, and their facts in scores.jsonl."""
    if not (folder / "truth.jsonl").exists():
        folder.mkdir(parents=True, exist_ok=True)
        call(options, folder, "world", "--count", 2 * (options.train + options.test), "--seed", seed, "--out", "scenes")
        call(options, folder, "score", "scenes", "-r", FACTS, "--format", "jsonl", "-o", "scores.jsonl")
        call(options, folder, "score", "scenes", "-r", TRUTH, "--format", "jsonl", "-o", "truth.jsonl")
    return [(row["file"], row["rewards"][TRUTH]) for row in read_lines(folder / "truth.jsonl")]


def judged(pairs, noise, generator):
    """A line for each pair; the winner is wrong with probability `noise`."""
    rows = []
    for (a, value_a), (b, value_b) in pairs:
        right = (value_a > value_b) != (generator.random() < noise)
        rows.append({"prompt": "", "a": a, "b": b, "winner": "a" if right else "b"})
    return rows


def label_accuracy(file, truth):
    rows = read_lines(file)
    known = {os.path.normpath(name): value for name, value in truth}
    right = sum((row["winner"] == "a") == (known[os.path.normpath(row["a"])] > known[os.path.normpath(row["b"])]) for row in rows)
    return right / len(rows), len(rows)


def student_accuracy(options, folder, arm, noise):
    """Of the student on the pairs with true labels."""
    name = f"{arm}-{round(100 * noise)}"
    measured = folder / f"{name}.eval.jsonl"
    if not measured.exists():
        call(options, folder, "train-reward", "pairs", "--data", f"{name}.jsonl", "-r", "none", "-o", f"student-{name}", "--folds", 2)
        call(options, folder, "eval-pairs", "test.jsonl", "-r", "mine", "--define", f"mine=pairs:student-{name}", "-o", measured.name)
    return read_lines(measured)[0]["accuracy"]


def run_seed(options, seed):
    folder = options.output / f"seed-{seed}"
    truth = scored_scenes(options, folder, seed)
    pairs = [(truth[i], truth[i + 1]) for i in range(0, len(truth), 2) if truth[i][1] != truth[i + 1][1]]
    test, train = pairs[:options.test], pairs[options.test:]
    write_lines(folder / "test.jsonl", judged(test, 0, random.Random(0)))
    rows = []
    for noise in NOISES:
        for judge, file in enumerate(("first.jsonl", "second.jsonl")):
            write_lines(folder / file, judged(train, noise, random.Random(f"{seed} {noise} {judge}")))
        for arm, rules in ARMS.items():
            output = f"{arm}-{round(100 * noise)}.jsonl"
            call(options, folder, "pairs", "--choices", "first.jsonl", "--scores", "scores.jsonl", *rules, "-o", output)
            accuracy, kept = label_accuracy(folder / output, truth)
            rows.append({"seed": seed, "noise": noise, "arm": arm, "labels": accuracy, "kept": kept / len(train),
                         "student": student_accuracy(options, folder, arm, noise)})
    return rows


def interval(values, resamples=10000):
    """Mean, and 95 % by a bootstrap over the seeds."""
    generator = random.Random(0)
    means = sorted(sum(generator.choices(values, k=len(values))) / len(values) for _ in range(resamples))
    return sum(values) / len(values), means[int(0.025 * resamples)], means[int(0.975 * resamples)]


def text(values):
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in interval(values)))


def report(rows):
    print("| noise | arm | labels kept, % | right among them, % | student, % | student less raw | seeds |\n|---|---|---|---|---|---|---|")
    for noise in NOISES:
        of = {arm: [row for row in rows if row["noise"] == noise and row["arm"] == arm] for arm in ARMS}
        for arm, own in of.items():
            less = [row["student"] - raw["student"] for row, raw in zip(own, of["raw"])]
            each = " ".join(f"{100 * row['student']:.1f}" for row in own)
            print(f"| {round(100 * noise)} % | {arm} | {text([row['kept'] for row in own])} | {text([row['labels'] for row in own])} "
                  f"| {text([row['student'] for row in own])} | {'' if arm == 'raw' else text(less)} | {each} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laurel", type=pathlib.Path, default=pathlib.Path("build/release/bin/laurel"))
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=int, default=400, help="pairs")
    parser.add_argument("--test", type=int, default=200, help="pairs")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    rows = [row for seed in options.seeds.split(",") for row in run_seed(options, int(seed))]
    write_lines(options.output / "results.jsonl", rows)
    report(rows)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{(used.ru_utime + used.ru_stime) / 60:.1f} processor-minutes")


if __name__ == "__main__":
    main()
