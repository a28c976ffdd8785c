"""Paired bootstrap over training seeds and prompts, from the run folders of `laurel finetune`.

A run folder holds samples/base/scores.jsonl and samples/step-<n>/scores.jsonl; the same file name is the same prompt and
the same seed in both, so that every difference is paired. Only the standard library is needed.
"""

import json
import pathlib
import random
import statistics


def read_scores(folder):
    """{file: record} of one evaluation."""
    lines = (pathlib.Path(folder) / "scores.jsonl").read_text().splitlines()
    return {record["file"]: record for record in map(json.loads, lines)}


def last_evaluation(run):
    """The evaluation folder with the highest step."""
    folders = [f for f in (pathlib.Path(run) / "samples").glob("step-*") if (f / "scores.jsonl").exists()]
    if not folders:
        raise SystemExit(f"{run}: no finished evaluation (expected samples/step-*/scores.jsonl)")
    return max(folders, key=lambda f: int(f.name.split("-")[1]))


def gains(run, reward, split, against=None):
    """{prompt: [tuned - base, one for each seed]}; `against` is another run whose tuned images replace the base."""
    tuned = read_scores(last_evaluation(run))
    base = read_scores(last_evaluation(against) if against else pathlib.Path(run) / "samples" / "base")
    by_prompt = {}
    for file, record in tuned.items():
        if record["split"] == split and file in base:
            difference = record["rewards"][reward] - base[file]["rewards"][reward]
            by_prompt.setdefault(record["prompt"], []).append(difference)
    if not by_prompt:
        raise SystemExit(f"{run}: no {split} prompts scored with {reward}")
    return by_prompt


def bootstrap(runs, reward, split, against=None, draws=2000, level=0.95):
    """Mean gain over runs, its interval (runs and prompts resampled together) and the mean of each run."""
    tables = [gains(run, reward, split, against[i] if against else None) for i, run in enumerate(runs)]
    means = [{prompt: statistics.fmean(values) for prompt, values in table.items()} for table in tables]
    of_run = [statistics.fmean(table.values()) for table in means]
    generator = random.Random(0)
    sampled = []
    for _ in range(draws):
        total = []
        prompts = generator.choices(sorted(means[0]), k=len(means[0]))
        for table in generator.choices(means, k=len(means)):
            total.append(statistics.fmean(table[prompt] for prompt in prompts))
        sampled.append(statistics.fmean(total))
    sampled.sort()
    tail = (1 - level) / 2
    return {
        "mean": statistics.fmean(of_run),
        "low": sampled[int(tail * draws)],
        "high": sampled[int((1 - tail) * draws) - 1],
        "runs": of_run,
    }


def cell(result, digits=3):
    """'+0.412 [+0.380, +0.441] (seeds +0.40, +0.42)' for a table."""
    seeds = ", ".join(f"{value:+.{digits}f}" for value in result["runs"])
    return f"{result['mean']:+.{digits}f} [{result['low']:+.{digits}f}, {result['high']:+.{digits}f}] (seeds {seeds})"
