"""The Markdown report of benchmarks/experiments.py: tables, and verdicts that follow from their intervals.

Gains are tuned minus base, of the same prompt and seed; intervals of 95 % from a bootstrap over training seeds and
prompts (run_statistics.py). A run or an arm that is missing is named as missing.
"""

import json
import statistics

import run_statistics as rs

GOLD = "oracle"
GOLD_MARGIN = 0.02
SPLITS = ("seen", "unseen")
DIGITS = {"aesthetic": 3, "clip_score": 2, GOLD: 3}


def evaluations(run):
    """The lines of metrics.jsonl that hold an evaluation: before, ..., after."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record.get("evaluation")]


def title(reward):
    return f"sum ({reward})" if "," in reward else reward


def digits(reward):
    return DIGITS.get(reward, 3)


def figure(folders, key, index=-1):
    """Mean over runs of one figure of an evaluation, the last unless told."""
    return statistics.fmean(evaluations(folder)[index][key] for folder in folders)


def several(runs, first, second):
    """The folders of the seeds that both arms have, and those seeds."""
    seeds = sorted(set(runs[first]) & set(runs[second]))
    return [runs[first][seed] for seed in seeds], [runs[second][seed] for seed in seeds], seeds


def counted(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# ---- tables ----------------------------------------------------------------------------------------------------------

def gain_rows(runs, reward):
    rows = [f"### Gain of {title(reward)}", "", "| arm | seeds | seen | unseen |", "|---|---|---|---|"]
    for arm, by_seed in runs.items():
        folders = list(by_seed.values())
        results = [rs.bootstrap(folders, reward, split) for split in SPLITS if folders]
        cells = [rs.cell(result, digits(reward)) for result in results] or ["missing", "missing"]
        rows.append(f"| {arm} | {len(folders)} | {cells[0]} | {cells[1]} |")
    return rows + [""]


def state_rows(runs):
    """KL, diversity and win rate: means over seeds."""
    rows = ["### After training, mean over seeds (seen / unseen)", "",
            "| arm | KL, nats a trajectory | diversity, base | diversity | win rate | reward queries |",
            "|---|---|---|---|---|---|"]
    for arm, by_seed in runs.items():
        folders = list(by_seed.values())
        if not folders:
            rows.append(f"| {arm} | missing | | | | |")
            continue
        columns = [("kl_nats", -1, 1), ("diversity", 0, 3), ("diversity", -1, 3), ("win_rate", -1, 2)]
        cells = [" / ".join(f"{figure(folders, f'{split}/{key}', index):.{places}f}" for split in SPLITS)
                 for key, index, places in columns]
        rows.append(f"| {arm} | {' | '.join(cells)} | {queries(folders[0])} |")
    return rows + [""]


def queries(folder):
    """Of the last epoch's line: so far."""
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return int(max(record.get("queries", 0) for record in records))


# ---- verdicts --------------------------------------------------------------------------------------------------------

def interval(result, places=3):
    return f"{result['mean']:+.{places}f} [{result['low']:+.{places}f}, {result['high']:+.{places}f}]"


def claim(text, holds, shown):
    return f"- {text}: **{'yes' if holds else 'not shown'}** ({shown})"


def ratio_text(ratio):
    if ratio["low"] == float("-inf"):
        return "no ratio: the seen gain may be 0 or less"
    return "ratio " + interval(ratio, 2)


def gain_claims(arm, by_seed, rewards):
    """What one arm has reached by itself."""
    folders = list(by_seed.values())
    if not folders:
        return [f"- {arm}: missing"]
    lines = []
    for reward in rewards:
        name = f"{arm}, {title(reward)}"
        seen = rs.bootstrap(folders, reward, "seen")
        ratio = rs.bootstrap_ratio(folders, reward)
        lines.append(claim(f"{name}: seen gain > 0", seen["low"] > 0, interval(seen, digits(reward))))
        lines.append(claim(f"{name}: unseen gain >= 50 % of seen", ratio["low"] >= 0.5, ratio_text(ratio)))
    return lines + gold_claims(arm, folders)


def gold_claims(arm, folders):
    lines = []
    for split in SPLITS:
        gold = rs.bootstrap(folders, GOLD, split)
        lines.append(claim(f"{arm}, gold ({GOLD}), {split}: no worse than base by {GOLD_MARGIN}",
                           gold["low"] > -GOLD_MARGIN, interval(gold)))
    return lines


def direction(result):
    if result["low"] > 0:
        return "higher"
    return "lower" if result["high"] < 0 else "no difference shown"


def paired(runs, first, second, rewards):
    """First minus second, image by image, on the seeds that both have."""
    ours, theirs, seeds = several(runs, first, second)
    if not seeds:
        return [f"- {first} minus {second}: missing"]
    lines = []
    for reward in rewards:
        for split in SPLITS:
            result = rs.bootstrap(ours, reward, split, against=theirs)
            lines.append(f"- {first} minus {second}, {title(reward)}, {split}: **{direction(result)}** "
                         f"({rs.cell(result, digits(reward))}; {counted(len(seeds), 'paired seed')})")
    return lines


def largest_difference(first, second):
    """Of any score of any image, between two runs' last evaluations."""
    ours, theirs = (rs.read_scores(rs.last_evaluation(run)) for run in (first, second))
    if set(ours) != set(theirs):
        return float("inf")
    return max(abs(value - theirs[file]["rewards"][name])
               for file, record in ours.items() for name, value in record["rewards"].items())


def same(runs, first, second):
    ours, theirs, seeds = several(runs, first, second)
    if not seeds:
        return [f"- {first} and {second}: missing"]
    largest = max(largest_difference(*pair) for pair in zip(ours, theirs))
    return [f"- {first} and {second}: largest difference of any score of any image {largest:.3g} "
            f"({counted(len(seeds), 'seed')})"]


def clip_share(runs, arms):
    """How often clipping acted, from the training lines: it explains the differences above."""
    lines = []
    for arm in arms:
        shares = [record["clipped_pairs"] for folder in runs[arm].values()
                  for record in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
                  if "clipped_pairs" in record]
        share = f"{100 * statistics.fmean(shares):.1f} %" if shares else "missing"
        lines.append(f"- {arm}, pairs whose loss is the clipped one: {share}")
    return lines


def sweep(runs, reward):
    """The KL target against what was reached."""
    rows = ["| target KL | arm | seeds | KL, seen | gain, seen | gain, unseen |", "|---|---|---|---|---|---|"]
    for target, arm in ((20, "kl-20"), (50, "kl-50"), (200, "prdp"), (2000, "kl-2000")):
        folders = list(runs[arm].values())
        if not folders:
            rows.append(f"| {target} | {arm} | 0 | missing | | |")
            continue
        kl = f"{figure(folders, 'seen/kl_nats'):.1f}"
        cells = [interval(rs.bootstrap(folders, reward, split)) for split in SPLITS]
        rows.append(f"| {target} | {arm} | {len(folders)} | {kl} | {' | '.join(cells)} |")
    return rows


# ---- the whole -------------------------------------------------------------------------------------------------------

def missing_lines(missing):
    if not missing:
        return ["No run is missing.", ""]
    by_arm = {}
    for arm, seed, state in missing:
        by_arm.setdefault(arm, []).append(f"{seed} ({state})" if state != "new" else str(seed))
    return ["**Missing:** " + "; ".join(f"{arm}: seed {', '.join(seeds)}" for arm, seeds in by_arm.items()) + ".", ""]


def before_training(folder, name):
    return " / ".join(f"{figure([folder], f'{split}/{name}', 0):.{digits(name)}f}" for split in SPLITS)


def base_lines(folders):
    """What was evaluated; and whether every run started from the same images."""
    first = rs.read_scores(folders[0] / "samples" / "base")
    prompts = {split: {r["prompt"] for r in first.values() if r["split"] == split} for split in SPLITS}
    images = len(first) // sum(map(len, prompts.values()))
    before = ", ".join(f"{name} {before_training(folders[0], name)}" for name in DIGITS)
    lines = [f"{len(prompts['seen'])} seen and {len(prompts['unseen'])} unseen prompts, {images} fixed seeds each.",
             f"Before training (seen / unseen): {before}."]
    other = [f for f in folders if not equal_base(first, rs.read_scores(f / "samples" / "base"))]
    if other:
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in other)
        lines += ["", f"**Warning:** these runs started from another model or other prompts than the first: {names}."]
    return lines + [""]


def equal_base(first, second):
    return set(first) == set(second) and all(
        first[file]["prompt"] == record["prompt"] and abs(first[file]["rewards"][name] - value) < 1e-3
        for file, record in second.items() for name, value in record["rewards"].items())


def time_line(jobs):
    if not jobs.exists():
        return []
    records = [json.loads(line) for line in jobs.read_text().splitlines()]
    if not records:
        return []
    seconds = [record["seconds"] for record in records]
    load = statistics.median(record["load"] for record in records)
    return [f"{counted(len(records), 'job')}, {sum(seconds) / 3600:.1f} hours in all; "
            f"medians: {statistics.median(seconds) / 60:.1f} minutes, a load of {load:.1f}.", ""]


def text(runs, missing, weights, jobs):
    """`runs`: {arm: {seed: folder}}, finished; `missing`: (arm, seed, state); `weights`: the recipe's reward."""
    folders = [folder for by_seed in runs.values() for folder in by_seed.values()]
    lines = ["## PRDP, compared", ""] + missing_lines(missing)
    if not folders:
        return "\n".join(lines)
    lines += base_lines(folders) + time_line(jobs)
    lines += ["Cells: mean [95 % interval] (each training seed's). \"Not shown\": its interval does not bear it out.", ""]
    rewards = (weights, "aesthetic", "clip_score", GOLD)
    for reward in rewards:
        lines += gain_rows(runs, reward)
    lines += state_rows(runs)
    trained = rewards[:3]
    lines += ["### PRDP itself", ""] + gain_claims("prdp", runs["prdp"], trained) + [""]
    lines += ["### Online against offline, equal queries and updates", ""]
    lines += paired(runs, "prdp", "offline", rewards) + [""]
    lines += ["### PRDP against DDPO, equal queries", ""]
    lines += paired(runs, "prdp", "ddpo", rewards) + [""]
    lines += ["### Clipping", ""] + same(runs, "one-step", "one-step-noclip") + same(runs, "prdp", "k1-noclip")
    lines += paired(runs, "prdp", "k1-noclip", (weights,)) + paired(runs, "k10", "k10-noclip", (weights,))
    lines += clip_share(runs, ("one-step", "prdp", "k10")) + [""]
    lines += ["### KL target (beta)", ""] + sweep(runs, weights) + [""]
    lines += ["### The price of several rewards", ""] + gain_claims("clip-heavy", runs["clip-heavy"], trained[1:])
    lines += paired(runs, "prdp", "aesthetic-only", ("aesthetic", GOLD))
    lines += paired(runs, "prdp", "clip-only", ("clip_score", GOLD))
    return "\n".join(lines)
