#!/usr/bin/env python3
"""Does an ensemble of rewards keep best-of-n and PRDP from over-optimising? The embedded, synthetic world.

  benchmarks/members.py run --laurel build/release/bin/laurel --output runs/members --clips CLIP2,CLIP3,CLIP4
  benchmarks/members.py report --output runs/members

Simulated raters rate drawn scenes, at 0 % and at 25 % label noise (a quarter of the ratings change places). On these ratings
`laurel train-reward aesthetic --members` trains five heads that differ in the seed on the embedded CLIP ("finetune"), and
one on each of several CLIPs ("pretrain": the embedded one and those of --clips, made by `laurel pretrain clip --seed N`).
All members, and the raters' taste without noise, which no head has seen and which is the gold reward, score one pool of 64
samples of each caption. From the scores alone the report computes the best of n by single members and by ensembles. The
stage prdp also finetunes by one head and by aggregates of members, with and without a KL target.

Scenes, ratings and heads are drawn anew for each seed; the pool is one. Intervals are a bootstrap over seeds and captions,
paired. What is finished is kept; a stopped run goes on where it was. Only the standard library is needed.
"""

import argparse
import itertools
import json
import math
import os
import pathlib
import random
import resource
import shutil
import statistics
import sys

from run_statistics import bootstrap
from wider_evaluation import call, captions_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "models" / "tiny-world" / "clip"
SPLITS = ("seen", "unseen")
NOISES = (0, 25)  # percent of the ratings
ARMS = ("finetune", "pretrain")  # what the members differ in
FINETUNE, POOL = 5, 64
GOLD = "rater_preference"
SIZES = (1, 2, 4, 8, 16, 32, 64)
K = 0.5  # of mean - k variance
CAPTION_SEED, FIRST_SEED, APART = 977, 7000000, 100
DRAWS = 1000
EVERY = 5  # epochs of PRDP between evaluations
# What the stage prdp trains on: members, reward, and settings on top of the recipe. Three times the recipe's rate, so that
# ten epochs lead far from the start.
EACH = {"normalise_rewards": "pooled"}
REWARDS = {
    "one head": ("one", "aesthetic", {}),
    "min of 5 seeds": ("finetune", "aesthetic.members", {"aggregate": "min", **EACH}),
    "min of CLIPs": ("pretrain", "aesthetic.members", {"aggregate": "min", **EACH}),
    "mean of CLIPs": ("pretrain", "aesthetic.members", {"aggregate": "mean", **EACH}),
    "mean - 0.5 variance of CLIPs": ("pretrain", "aesthetic.members", {"aggregate": "uncertainty", "aggregate_k": K, **EACH}),
    "robust 0.5 of CLIPs": ("pretrain", "aesthetic.members", {"aggregate": "robust", "robust_nominal": 0.5, **EACH}),
}
TARGETS = {"KL target": {}, "no KL target": {"target_kl": 100000}}
PRDP = {f"{reward}, {target}": (members, name, {"learning_rate": "3e-4", **settings, **kl})
        for target, kl in TARGETS.items() for reward, (members, name, settings) in REWARDS.items()}


# ---- run -------------------------------------------------------------------------------------------------------------

def clips_of(options):
    return [EMBEDDED] + [pathlib.Path(part) for part in options.clips.split(",") if part]


def whole(path, make):
    """`make(unfinished)` writes a file or folder, which then gets its name."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name("unfinished-" + path.name)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.unlink(missing_ok=True)
    print(path, file=sys.stderr, flush=True)
    make(unfinished)
    unfinished.rename(path)
    return path


def draw_pool(options, split):
    captions = captions_file(options, split, CAPTION_SEED).read_text().splitlines()
    first = FIRST_SEED + SPLITS.index(split) * options.captions * APART
    prompts = options.output / f"prompts-{split}.txt"
    prompts.write_text("".join(f"{caption} --d {first + APART * i}\n" for i, caption in enumerate(captions)))
    whole(options.output / "pool" / split, lambda folder: call(
        options, "sample", "--prompts", prompts, "--steps", 10, "--eta", "1", "--cfg-scale", "5", "--sampling-method", "ddim",
        "-n", POOL, "--output-dir", folder))


def members_of(options, noise, seed, arm):
    """The name of a reward with members in the scores, and its file or folder."""
    path = options.output / "rewards" / f"noise-{noise}-seed-{seed}" / (arm if arm == "pretrain" else f"{arm}.safetensors")
    return f"n{noise}_s{seed}_{arm}", path


def train_members(options, noise, seed, arm):
    _, path = members_of(options, noise, seed, arm)
    done = path.with_name(f"{arm}.done")
    if done.exists():
        return
    print(path, file=sys.stderr, flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    differ = {"one": [], "finetune": ["--members", FINETUNE, "--vary", "seed"],
              "pretrain": ["--vary", "clip", "--clips", ",".join(map(str, clips_of(options)))]}[arm]
    call(options, "train-reward", "aesthetic", "--images", options.scenes, "--held_out", 100, "--batch_size", 64, "--seed", seed,
         "--label_noise", noise / 100, *differ, "--output", path)
    done.write_text("")


def rate_pool(options, split):
    """All members rate each image; those of one CLIP read one embedding of it."""
    rewards = [members_of(options, *cell) for cell in itertools.product(NOISES, options.seeds, ARMS)]
    defines = [word for name, path in rewards for word in ("--define", f"{name}=aesthetic:{path.resolve()}")]
    names = ",".join([f"{name}.members" for name, _ in rewards] + [GOLD, "oracle"])
    whole(options.output / f"scores-{split}.jsonl", lambda path: call(
        options, "score", options.output / "pool" / split, "--rewards", names, *defines, "--format", "jsonl", "--output", path))


def train_policy(options, arm, seed):
    """PRDP by heads of 25 % noise."""
    members, reward, settings = PRDP[arm]
    folder = options.output / "prdp" / arm.replace(" ", "-").replace(",", "") / f"seed-{seed}"
    if (folder / "done").exists():
        return
    print(folder, file=sys.stderr, flush=True)
    train_members(options, NOISES[-1], seed, members)
    _, path = members_of(options, NOISES[-1], seed, members)
    given = {"num_epochs": options.epochs, "prompts_per_epoch": 4, "prompts_per_update": 2, "eval_every": EVERY, "eval_prompts": 16,
             "eval_images": 2, "guard": "off", "seed": seed, "checkpointing_steps": 1000000, "device": "cpu", **settings}
    shutil.rmtree(folder, ignore_errors=True)
    call(options, "finetune", "prdp", "--config", ROOT / "models" / "recipes" / "prdp.toml", "--output_dir", folder, "--reward",
         reward, "--aesthetic", path, "--eval_rewards", f"{GOLD},oracle",
         *[word for key, value in given.items() for word in (f"--{key}", value)])
    for leftover in folder.glob("checkpoint*"):
        shutil.rmtree(leftover, ignore_errors=True)
    (folder / "done").write_text("")


def run(options):
    options.output.mkdir(parents=True, exist_ok=True)
    began = os.times()
    if "rewards" in options.stages:
        for seed, noise, arm in itertools.product(options.seeds, NOISES, ARMS):
            train_members(options, noise, seed, arm)
    if "pool" in options.stages:
        for split in options.splits:
            draw_pool(options, split)
    if "scores" in options.stages:
        for split in options.splits:
            rate_pool(options, split)
    if "prdp" in options.stages:
        for seed in options.prdp_seeds:
            for arm in options.prdp_arms:
                train_policy(options, arm, seed)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (options.output / "seconds.jsonl").open("a") as file:
        file.write(json.dumps({"stages": options.stages, "processor_seconds": used.ru_utime + used.ru_stime,
                               "seconds": os.times().elapsed - began.elapsed}) + "\n")


# ---- what the scores say ---------------------------------------------------------------------------------------------

def read_pool(options):
    """{name: {caption: [64 scores]}}, the gold ones under their names."""
    table = {}
    for split in options.splits:
        for line in (options.output / f"scores-{split}.jsonl").read_text().splitlines():
            row = json.loads(line)
            for name, value in row["rewards"].items():
                table.setdefault(name, {}).setdefault(row["prompt"], []).append(value)
    return table


def member_scores(options, pool, noise, seed, arm):
    """One {caption: [z]} a member."""
    name, _ = members_of(options, noise, seed, arm)
    return [standardised(pool[key]) for key in sorted(pool) if key.startswith(name + ".")]


def standardised(scores):
    """Minus the caption's mean, divided by the pooled deviation within captions, as a training sees members."""
    centred = {caption: [value - statistics.fmean(values) for value in values] for caption, values in scores.items()}
    spread = math.sqrt(statistics.fmean(sum(v * v for v in values) / (len(values) - 1) for values in centred.values()))
    return {caption: [value / spread for value in values] for caption, values in centred.items()}


def weights_of_best(n, count=POOL):
    """Of the i-th smallest score: the chance that it is the best of n drawn without replacement."""
    return [math.comb(i, n - 1) / math.comb(count, n) for i in range(count)]


WEIGHTS = {n: weights_of_best(n) for n in SIZES}


def best_of(score, gold, n):
    """{caption: mean gold of the best of n by score}; gold is reordered with the score."""
    weights = WEIGHTS[n]
    return {caption: sum(weight * gold[caption][i] for weight, i in zip(weights, sorted(range(POOL), key=values.__getitem__)))
            for caption, values in score.items()}


def combined(rule, members):
    """A rule over the members of each image. -> a score like each of theirs"""
    return {caption: [rule(values) for values in zip(*(member[caption] for member in members))] for caption in members[0]}


def robust(members, nominal_weight, n):
    """The mixture of the nominal member with another whose worst member gains most (laurel bon-curve does the same)."""
    mean = combined(statistics.fmean, members)
    def deviation(member):
        return sum((a - b) ** 2 for caption in mean for a, b in zip(member[caption], mean[caption]))
    nominal = min(members, key=deviation)
    best = None
    for worst in members:
        score = combined(lambda pair: nominal_weight * pair[0] + (1 - nominal_weight) * pair[1], [nominal, worst])
        gains = [statistics.fmean(best_of(score, member, n).values()) for member in members]
        value = nominal_weight * gains[members.index(nominal)] + (1 - nominal_weight) * min(gains)
        if best is None or value > best[0]:
            best = (value, score)
    return best[1]


RULES = {
    "mean": lambda members, n: combined(statistics.fmean, members),
    "min": lambda members, n: combined(min, members),
    "mean - 0.5 variance": lambda members, n: combined(lambda z: statistics.fmean(z) - K * statistics.pvariance(z), members),
    "robust 0.2": lambda members, n: robust(members, 0.2, n),
    "robust 0.5": lambda members, n: robust(members, 0.5, n),
}
SINGLE = "single"


def curves(options, pool, gold, noise, seed, arm):
    """{rule: {n: {caption: gold}}}; of single heads the mean over them."""
    members = member_scores(options, pool, noise, seed, arm)
    result = {SINGLE: {}}
    for n in SIZES:
        each = [best_of(member, gold, n) for member in members]
        result[SINGLE][n] = {caption: statistics.fmean(one[caption] for one in each) for caption in gold}
    for name, rule in RULES.items():
        result[name] = {}
        fixed = None if name.startswith("robust") else rule(members, 0)
        for n in SIZES:
            result[name][n] = best_of(fixed or rule(members, n), gold, n)
    return result


def spearman(a, b):
    def ranks(values):
        order, result = sorted(range(len(values)), key=values.__getitem__), [0.0] * len(values)
        for rank, i in enumerate(order):
            result[i] = rank
        return result
    return statistics.correlation(ranks(a), ranks(b))


def herding(options, pool, gold, noise, seed, arm):
    """Mean rank correlation of members on all images and on each one's top 1 %; there: its z, the others', the gold's."""
    flat = [[value for caption in gold for value in member[caption]]
            for member in member_scores(options, pool, noise, seed, arm)]
    truth = [value for caption in gold for value in gold[caption]]
    base = statistics.fmean(spearman(a, b) for i, a in enumerate(flat) for b in flat[i + 1:])
    rows = []
    for member in flat:
        top = sorted(range(len(member)), key=member.__getitem__)[-max(10, round(len(member) / 100)):]
        others = [other for other in flat if other is not member]
        rows.append((statistics.fmean(spearman([member[i] for i in top], [other[i] for i in top]) for other in others),
                     statistics.fmean(member[i] for i in top), statistics.fmean(o[i] for o in others for i in top),
                     statistics.fmean(truth[i] for i in top)))
    return (base, *map(statistics.fmean, zip(*rows)))


def interval(tables, of_caption):
    """Mean over seeds and captions with a 95 % interval, both resampled. tables: one a seed, each {caption: value}"""
    generator, captions = random.Random(0), sorted(of_caption)
    means = []
    for _ in range(DRAWS):
        chosen, drawn = generator.choices(tables, k=len(tables)), generator.choices(captions, k=len(captions))
        means.append(statistics.fmean(table[caption] for table in chosen for caption in drawn))
    means.sort()
    value = statistics.fmean(table[caption] for table in tables for caption in captions)
    return f"{value:+.3f} [{means[int(0.025 * DRAWS)]:+.3f}, {means[int(0.975 * DRAWS) - 1]:+.3f}]"


def difference(a, b):
    return {caption: a[caption] - b[caption] for caption in a}


def report_scores(options):
    pool = read_pool(options)
    gold = standardised(pool[GOLD])
    captions = list(gold)
    found = {(noise, arm, seed): curves(options, pool, gold, noise, seed, arm)
             for noise in NOISES for arm in ARMS for seed in options.seeds}
    last = SIZES[-1]

    def of(noise, arm, rule, n):
        return [found[noise, arm, seed][rule][n] for seed in options.seeds]

    print(f"{len(captions)} captions, {POOL} samples each, {len(options.seeds)} seeds. Gold: {GOLD}, in deviations within captions.\n")
    for noise in NOISES:
        print(f"### {noise} % label noise\n\n| by | " + " | ".join(f"n = {n}" for n in SIZES[1:]) +
              " | fall from the best n to 64 | minus single, n = 64 |\n|" + "---|" * (len(SIZES) + 2))
        for arm in ARMS:
            for rule in (SINGLE, *RULES):
                means = {n: statistics.fmean(v for table in of(noise, arm, rule, n) for v in table.values()) for n in SIZES}
                peak = max(SIZES, key=means.__getitem__)
                fall = interval([difference(a, b) for a, b in zip(of(noise, arm, rule, peak), of(noise, arm, rule, last))], gold)
                more = "" if rule == SINGLE else interval(
                    [difference(a, b) for a, b in zip(of(noise, arm, rule, last), of(noise, arm, SINGLE, last))], gold)
                print(f"| {arm}, {rule} | " + " | ".join(f"{means[n]:.3f}" for n in SIZES[1:]) +
                      f" | {'none' if peak == last else f'{fall} (n = {peak})'} | {more} |")
        print()
    print("### Pretrain minus finetune seeds, n = 64\n\n| label noise | " + " | ".join((SINGLE, *RULES)) + " |\n|" + "---|" * (len(RULES) + 2))
    for noise in NOISES:
        cells = [interval([difference(a, b) for a, b in zip(of(noise, "pretrain", rule, last), of(noise, "finetune", rule, last))], gold)
                 for rule in (SINGLE, *RULES)]
        print(f"| {noise} % | " + " | ".join(cells) + " |")
    print("\n### Herding\n\nMeans over seeds and members. Top 1 %: the images that one member rates highest.\n\n"
          "| label noise, members | rank correlation, all images | on the top 1 % | its z there | the others' | the gold's |\n|---|---|---|---|---|---|")
    for noise in NOISES:
        for arm in ARMS:
            rows = [herding(options, pool, gold, noise, seed, arm) for seed in options.seeds]
            print(f"| {noise} %, {arm} | " + " | ".join(f"{statistics.fmean(column):.3f}" for column in zip(*rows)) + " |")


def report(options):
    if "scores" in options.stages:
        report_scores(options)
    report_prdp(options)


def runs_of(options, arm):
    """{seed: folder} of the finished runs."""
    folders = {seed: options.output / "prdp" / arm.replace(" ", "-").replace(",", "") / f"seed-{seed}" for seed in options.prdp_seeds}
    return {seed: folder for seed, folder in folders.items() if (folder / "done").exists()}


def evaluations(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("evaluation")]


def way_of_gold(folders):
    """Mean gain in gold at each evaluation on the way, of seen and unseen captions; the mean KL at the end."""
    runs = [evaluations(folder) for folder in folders]
    mean = lambda lines: statistics.fmean(line[f"{split}/{GOLD}"] for line in lines for split in SPLITS)
    way = [mean([run[i] for run in runs]) - mean([run[0] for run in runs]) for i in range(1, len(runs[0]))]
    return "; ".join(f"{gain:+.2f}" for gain in way), statistics.fmean(run[-1]["unseen/kl_nats"] for run in runs)


def cell(gain):
    return f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def report_prdp(options):
    done = {arm: runs_of(options, arm) for arm in PRDP}
    if not any(done.values()):
        return
    print(f"\n### PRDP, 25 % label noise\n\nGold on the way: {GOLD} of seen and unseen captions after each {EVERY} epochs. Less one head: the same KL "
          f"target.\n\n| arm | runs | KL, nats | gold on the way | {GOLD}, seen | unseen | less one head, seen | unseen | oracle, seen | unseen |\n"
          + "|---" * 10 + "|")
    for arm, folders in done.items():
        if not folders:
            continue
        way, kl = way_of_gold(folders.values())
        single = done["one head, " + arm.split(", ")[1]]
        both = sorted(set(folders) & set(single)) if single is not folders else []
        less = [cell(bootstrap([folders[seed] for seed in both], GOLD, split, against=[single[seed] for seed in both])) if both else ""
                for split in SPLITS]
        gains = [cell(bootstrap(list(folders.values()), reward, split)) for reward in (GOLD, "oracle") for split in SPLITS]
        print(f"| {arm} | {len(folders)} | {kl:.0f} | {way} | " + " | ".join(gains[:2] + less + gains[2:]) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--laurel", default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/members"))
    parser.add_argument("--clips", default="", help="CLIP folders beside the embedded one, with commas between them")
    parser.add_argument("--captions", type=int, default=32, help="of each split")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), choices=SPLITS, help="of the pool's captions")
    parser.add_argument("--scenes", type=int, default=1500, help="rated scenes of a seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--stages", nargs="+", default=["rewards", "pool", "scores"], choices=("rewards", "pool", "scores", "prdp"))
    parser.add_argument("--prdp_seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--prdp_arms", nargs="+", default=list(PRDP), choices=list(PRDP))
    parser.add_argument("--epochs", type=int, default=10, help="of PRDP")
    options = parser.parse_args()
    {"run": run, "report": report}[options.command](options)


if __name__ == "__main__":
    main()
