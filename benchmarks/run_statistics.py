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


def value_of(rewards, reward):
    """`reward` is a name, or a weighted sum as laurel writes it: aesthetic=1,clip_score=0.04."""
    parts = [part.split("=") for part in reward.split(",")]
    return sum(rewards[name] * float(weight[0] if weight else 1) for name, *weight in parts)


def gains(run, reward, split, against=None):
    """{prompt: [tuned - base, one for each seed]}; `against` is another run whose tuned images replace the base."""
    tuned = read_scores(last_evaluation(run))
    base = read_scores(last_evaluation(against) if against else pathlib.Path(run) / "samples" / "base")
    by_prompt = {}
    for file, record in tuned.items():
        if record["split"] == split and file in base:
            difference = value_of(record["rewards"], reward) - value_of(base[file]["rewards"], reward)
            by_prompt.setdefault(record["prompt"], []).append(difference)
    if not by_prompt:
        raise SystemExit(f"{run}: no {split} prompts scored with {reward}")
    return by_prompt


def prompt_means(run, reward, split, against=None):
    """{prompt: mean gain over its images}."""
    table = gains(run, reward, split, against)
    return {prompt: statistics.fmean(values) for prompt, values in table.items()}


def resampled_mean(tables, chosen, generator):
    """Mean gain of the runs `chosen` on prompts drawn with replacement, the same ones for all of them."""
    prompts = generator.choices(sorted(tables[0]), k=len(tables[0]))
    return statistics.fmean(statistics.fmean(tables[run][prompt] for prompt in prompts) for run in chosen)


def summary(of_run, mean, sampled, level):
    ordered, tail = sorted(sampled), (1 - level) / 2
    return {
        "mean": mean,
        "low": ordered[int(tail * len(ordered))],
        "high": ordered[int((1 - tail) * len(ordered)) - 1],
        "runs": of_run,
    }


def bootstrap(runs, reward, split, against=None, draws=2000, level=0.95):
    """Mean gain over runs, its interval (runs and prompts resampled together) and the mean of each run."""
    tables = [prompt_means(run, reward, split, against[i] if against else None) for i, run in enumerate(runs)]
    of_run = [statistics.fmean(table.values()) for table in tables]
    generator = random.Random(0)
    sampled = []
    for _ in range(draws):
        chosen = generator.choices(range(len(runs)), k=len(runs))
        sampled.append(resampled_mean(tables, chosen, generator))
    return summary(of_run, statistics.fmean(of_run), sampled, level)


def quotient(above, below):
    """Minus infinity where the denominator is no gain, so that such draws never count as a large ratio."""
    return above / below if below > 0 else float("-inf")


def bootstrap_ratio(runs, reward, above="unseen", below="seen", draws=2000, level=0.95):
    """The gain on one split over the gain on the other: both means from the same runs, prompts drawn for each."""
    tables = [[prompt_means(run, reward, split) for run in runs] for split in (above, below)]
    means = [[statistics.fmean(table.values()) for table in side] for side in tables]
    generator = random.Random(0)
    sampled = []
    for _ in range(draws):
        chosen = generator.choices(range(len(runs)), k=len(runs))
        sampled.append(quotient(*(resampled_mean(side, chosen, generator) for side in tables)))
    whole = quotient(*(statistics.fmean(side) for side in means))
    return summary([quotient(*pair) for pair in zip(*means)], whole, sampled, level)


def cell(result, digits=3):
    """'+0.412 [+0.380, +0.441] (seeds +0.40, +0.42)' for a table."""
    seeds = ", ".join(f"{value:+.{digits}f}" for value in result["runs"])
    return f"{result['mean']:+.{digits}f} [{result['low']:+.{digits}f}, {result['high']:+.{digits}f}] (seeds {seeds})"
