#!/usr/bin/env python3
"""The tables of docs/results-edit.md, from what edit_experiments.py measured. Only the standard library is needed.

  benchmarks/edit_experiments_report.py --output runs/edit --seeds 1,2,3,4,5

Intervals: 95 %, a bootstrap over training seeds and test edits; differences are paired by test edit, each seed's after them.
"""

import argparse
import pathlib
import random
import statistics

from edit_experiments import ARMS, AXES, BEST, GUIDED, NULL, PLAIN, SWEPT, TESTS, draws_of, means, name_of, rows, sweep


def pooled(options, arm, key):
    """{seed: rows of each test edit}"""
    found = {}
    for seed in options.seeds:
        record = options.output / "scores" / arm / f"seed-{seed}" / (key.replace(" ", "_") + ".jsonl")
        if record.exists():
            found[seed] = rows(record)
    return found


def interval(tables, axis, draws=2000):
    """Mean and 95 % interval of an axis, by a bootstrap over training seeds and test edits."""
    generator, seeds = random.Random(0), sorted(tables)
    count = len(tables[seeds[0]])
    sampled = []
    for _ in range(draws):
        edits_drawn = generator.choices(range(count), k=count)
        chosen = generator.choices(seeds, k=len(seeds))
        sampled.append(statistics.fmean(statistics.fmean(tables[s][e][axis] for e in edits_drawn) for s in chosen))
    sampled.sort()
    mean = statistics.fmean(statistics.fmean(row[axis] for row in tables[s]) for s in seeds)
    return mean, sampled[int(0.025 * draws)], sampled[int(0.975 * draws)]


def print_row(name, tables, each_seed=False):
    cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*interval(tables, axis)) for axis in range(3)]
    if each_seed and len(tables) > 1:
        cells = [cell + "; " + ", ".join(f"{means(tables[seed])[axis]:.2f}" for seed in sorted(tables)) for axis, cell in enumerate(cells)]
    print(f"| {name} | " + " | ".join(cells) + " |")


def difference(one, other):
    return {seed: [[a - b for a, b in zip(x, y)] for x, y in zip(one[seed], other[seed])] for seed in one if seed in other}


def head(title):
    print(f"\n{title}\n\n| | following | preserving | quality |\n|---|---|---|---|")


def report(options):
    for test in TESTS:
        folder = options.output / "scores" / "baselines"
        if not (folder / f"{test}.txt").exists():
            continue
        head(f"{test}: without a model")
        for line in (folder / f"{test}.txt").read_text().splitlines()[1:]:
            print("| " + line[:16].strip() + " | " + " | ".join(line[16:].split()) + " |")
        for name in ("reconstruction", "random"):
            if (folder / f"{test}_{name}.jsonl").exists():
                print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in means(rows(folder / f"{test}_{name}.jsonl"))) + " |")
    for arm in options.arms:
        found = [(name_of(*draw), pooled(options, arm, name_of(*draw))) for draw in draws_of(arm)]
        if not any(tables for _, tables in found):
            continue
        head(f"{arm}, seeds {sorted(next(t for _, t in found if t))}")
        for key, tables in found:
            if tables:
                print_row(key, tables)
    compare(options)


def compare(options):
    pairs = []
    for test in ("seen", "unseen"):
        for words, guidance in (("", PLAIN), (", guided", GUIDED)):
            best = pooled(options, "reward", name_of(test, BEST, guidance))
            pairs += [(f"{test}{words}: reward at 5,5,5 minus {name}", best, pooled(options, arm, name_of(test, NULL, guidance)))
                      for name, arm in (("its null request", "reward"), ("twin", "twin"), ("well", "well"))]
            pairs.append((f"{test}{words}: prdp at 5,5,5 minus reward at 5,5,5",
                          pooled(options, "prdp", name_of(test, BEST, guidance)), best))
    pairs += [(f"{arm} at 5,5,5 minus its null request", pooled(options, arm, name_of("flat", BEST, PLAIN)),
               pooled(options, arm, name_of("flat", NULL, PLAIN))) for arm in ("flat", "flat-shuffled")]
    head("differences, paired by test edit")
    for name, one, other in pairs:
        tables = difference(one, other)
        if tables:
            print_row(name, tables, each_seed=True)


# ---- acceptance ------------------------------------------------------------------------------------------------------

def ranks(values):
    return [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]


def spearman(values):
    """Of the values with their places; 0 where all are equal."""
    return statistics.correlation(range(len(values)), ranks(values)) if len(set(values)) > 1 else 0.0


def levels(options, arm, test, axis):
    """What is achieved on every axis as one is asked for 0 to 5, the others at 5. -> [levels][3]"""
    wanted = [*sweep(axis, SWEPT if arm == "reward" else range(5)), BEST]
    tables = [pooled(options, arm, name_of(test, request, PLAIN)) for request in wanted]
    if not all(tables):
        return None
    return [[statistics.fmean(row[a] for table in t.values() for row in table) for a in range(3)] for t in tables]


def verdict(name, value, bound, at_least=True):
    met = value >= bound if at_least else value <= bound
    print(f"| {name} | {value:.2f} | {'at least' if at_least else 'at most'} {bound:g} | {'met' if met else 'missed'} |")


def acceptance(options, arm, test):
    """Monotonicity, response, lift and independence, with the bounds of the flat setting."""
    swept = [levels(options, arm, test, axis) for axis in range(3)]
    null = pooled(options, arm, name_of(test, NULL, PLAIN))
    if not all(swept) or not null:
        return
    print(f"\nacceptance: {arm}\n\n| | value | bound | |\n|---|---|---|---|")
    for axis, name in enumerate(AXES):
        achieved = [row[axis] for row in swept[axis]]
        drops = sorted(max(0.0, a - b) for a, b in zip(achieved, achieved[1:]))
        verdict(f"{name}: Spearman with the request", spearman(achieved), 0.9)
        verdict(f"{name}: largest inversion", drops[-1], 0.25, False)
        verdict(f"{name}: inversions", sum(drop > 0 for drop in drops), 1, False)
        verdict(f"{name}: asked for 5 minus asked for 0", achieved[-1] - achieved[0], (1, 1, 2)[axis])
    best = swept[0][-1]
    nothing = [statistics.fmean(row[axis] for table in null.values() for row in table) for axis in range(3)]
    verdict("following: 5,5,5 minus the null request", best[0] - nothing[0], 0.3)
    verdict("quality: 5,5,5 minus the null request", best[2] - nothing[2], 0.5)
    for axis in (0, 1):
        column = [row[axis] for row in swept[2]]
        verdict(f"{AXES[axis]}: range as quality is swept", max(column) - min(column), 0.3, False)


def shuffled_control(options):
    best, null = (pooled(options, "flat-shuffled", name_of("flat", request, PLAIN)) for request in (BEST, NULL))
    if best and null:
        print("\nacceptance: flat-shuffled\n\n| | value | bound | |\n|---|---|---|---|")
        for axis, name in enumerate(AXES):
            mean = interval(difference(best, null), axis)[0]
            verdict(f"{name}: 5,5,5 against the null request", abs(mean), 0.15, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[1])
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    options = parser.parse_args()
    report(options)
    acceptance(options, "flat", "flat")
    acceptance(options, "reward", "seen")
    shuffled_control(options)


if __name__ == "__main__":
    main()
