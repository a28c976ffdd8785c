#!/usr/bin/env python3
"""From choices to a reward to a model (docs/studio.md), by simulated people: the embedded, synthetic world.

  benchmarks/studio_loop.py run    --output runs/studio-loop        # every cell of the grid that is not finished
  benchmarks/studio_loop.py report --output runs/studio-loop        # tables, and the chart as SVG

Seed S is person S of `laurel world voter`, whose taste no reward of laurel holds and whose noise is set such that the own
answers are repeated in 80 % of cases. The person votes on pictures of the embedded model; `laurel train-reward pairs`
learns a taste from the first N answers; the model is finetuned on it, or by DPO on the answers themselves; the person
compares pictures of base and tuned model, blind, of captions that were neither voted nor trained on. Controls: the
answers of the same pairs shuffled, and those of a random other person. `--seeds 100` is the one that settings were
chosen on. A finished cell is a JSON file: a run that is stopped at any moment goes on with the next call. Only the
standard library is needed.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple

import studio_loop_report
from wider_evaluation import call

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS = (1, 2, 3, 4, 5)
COUNTS = (20, 40, 80, 160, 320)
MAIN = 80  # votes at which the methods and the controls are compared
OTHER = 1000  # person S + 1000 is the other person of seed S
POOL_CAPTIONS, POOL_IMAGES = 80, 6
HELD_OUT_PAIRS, HELD_OUT_SHARE = 240, 0.3
PROOF_CAPTIONS = 60  # of each split
VALID_CAPTIONS = 12  # of each split, for the evaluations of a training
SAMPLER = ["--steps", "10", "--eta", "1", "--cfg-scale", "5", "--sampling-method", "ddim", "--batch_size", "16"]
POOL_SEED, PROOF_SEED, CAPTION_SEED = 3000000, 4000000, 31
# What the taste is built on. The guard judges by clip_score, whether the pictures still show their captions; so neither it nor
# lvlm, which reads it, is an input of the taste.
UNDER = ("aesthetic", "brightness", "colourfulness", "saturation", "contrast", "warm_share", "sharpness",
         "offset_from_centre", "symmetry", "border_brightness", "vignette")
GENERIC = ("aesthetic", "clip_score", "social", "lvlm", "brightness", "colourfulness")
RATED = ("aesthetic", "clip_score", "social", "oracle")
EVALUATED = ["--eval_prompts", "8", "--eval_images", "2", "--eval_rewards", "oracle", "--checkpointing_steps", "0", "--train", "full",
             "--sample_num_steps", "10", "--sample_guidance_scale", "5"]
GUARD = ["--guard", "on", "--guard_rewards", "clip_score", "--guard_tolerance", "0.5"]
METHODS = {
    "draft": ["--max_train_steps", "20", "--train_batch_size", "8", "--last_steps", "1", "--learning_rate", "2e-5", "--eval_every", "20"],
    "prdp": ["--num_epochs", "4", "--prompts_per_epoch", "8", "--images_per_prompt", "8", "--prompts_per_update", "4", "--skip_steps", "auto",
             "--target_kl", "200", "--clip_range", "0.2", "--learning_rate", "1e-4", "--eval_every", "4"],
    "dpo": ["--max_train_steps", "30", "--choices_per_update", "8", "--draws", "2", "--beta", "1", "--learning_rate", "5e-5",
            "--eval_every", "30"],
}
MAKING = collections.defaultdict(threading.Lock)  # by folder
CHEAPEST = "draft"  # the method of the other counts and of the controls


class Cell(NamedTuple):
    kind: str  # "head" or "run"
    seed: int
    arm: str  # "own", "shuffled", "other"; "generic": no votes, the embedded aesthetic
    votes: int
    method: str = ""

    def name(self):
        return "-".join([self.kind, *([self.method] if self.method else []), self.arm, str(self.votes), "seed", str(self.seed)])


def grid(seeds):
    """All cells, the most telling first."""
    own = [("own", count) for count in (40, 320, 160, 20)]
    controls = [("shuffled", MAIN), ("other", MAIN)]
    stages = [[("head", "own", MAIN, "")], [("run", "own", MAIN, CHEAPEST)], [("head", *arm, "") for arm in [*own, *controls]],
              [("run", *arm, CHEAPEST) for arm in controls], [("run", "own", MAIN, method) for method in METHODS if method != CHEAPEST],
              *([("run", *arm, CHEAPEST)] for arm in own), [("run", "generic", 0, CHEAPEST)]]
    return [Cell(kind, seed, arm, votes, method) for stage in stages for seed in seeds for kind, arm, votes, method in stage]


def lines_of(file):
    return [json.loads(line) for line in pathlib.Path(file).read_text().splitlines()]


def written(file, text):
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_text(text)
    part.rename(file)


def made(folder, make):
    """`make(part)` fills a new folder, which gets its name when it is whole."""
    with MAKING[folder]:
        if not folder.exists():
            part = folder.with_name(folder.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            make(part)
            part.rename(folder)
    return folder


def drawn_captions(options, part, split, seed, count):
    scenes = part / "scenes"
    call(options, "world", "--out", scenes, "--count", 3 * count, "--split", split, "--seed", seed)
    captions = [path.read_text().strip() for path in sorted(scenes.glob("*.txt"))]
    shutil.rmtree(scenes)
    return list(dict.fromkeys(captions))


def make_captions(options, part):
    """pool.txt is voted and trained on; valid.txt and proof.txt share no caption with it."""
    seen = drawn_captions(options, part, "seen", CAPTION_SEED, POOL_CAPTIONS + PROOF_CAPTIONS + VALID_CAPTIONS)
    unseen = drawn_captions(options, part, "unseen", CAPTION_SEED + 1, PROOF_CAPTIONS + VALID_CAPTIONS)
    pool, seen = seen[:POOL_CAPTIONS], seen[POOL_CAPTIONS:]
    proof = seen[:PROOF_CAPTIONS] + unseen[:PROOF_CAPTIONS]
    valid = seen[PROOF_CAPTIONS:][:VALID_CAPTIONS] + unseen[PROOF_CAPTIONS:][:VALID_CAPTIONS]
    for name, captions in (("pool", pool), ("proof", proof), ("valid", valid)):
        (part / f"{name}.txt").write_text("\n".join(captions) + "\n")


def sample(options, captions, folder, seed, count=1, unet=None):
    call(options, "sample", "--prompts", captions, "-n", count, *SAMPLER, "--seed", seed, "--output-dir", folder, *(["--unet", unet] if unet else []))


def make_pool(options, part):
    sample(options, options.output / "captions" / "pool.txt", part / "pictures", POOL_SEED, POOL_IMAGES)
    call(options, "score", part / "pictures", "--rewards", ",".join(GENERIC), "--format", "jsonl", "--output", part / "scores.jsonl")


def make_base(options, part):
    sample(options, options.output / "captions" / "proof.txt", part / "pictures", PROOF_SEED)
    call(options, "score", part / "pictures", "--rewards", ",".join(RATED), "--format", "jsonl", "--output", part / "scores.jsonl")


def make_votes(options, seed, part):
    """Answers, held-out answers and the noise-free taste of person S; answers of another person to the same pairs."""
    pictures = options.output / "pool" / "pictures"
    for name, person in (("own", seed), ("other", seed + OTHER)):
        call(options, "world", "voter", pictures, "--out", part / name, "--person", person, "--seed", seed, "--pairs", max(COUNTS),
             "--held_out_pairs", HELD_OUT_PAIRS, "--held_out", HELD_OUT_SHARE)
    call(options, "world", "voter", pictures, "--out", part / "truth", "--truth", "--person", seed)


def prepare(options):
    made(options.output / "captions", lambda part: make_captions(options, part))
    made(options.output / "pool", lambda part: make_pool(options, part))
    made(options.output / "base", lambda part: make_base(options, part))
    for seed in options.seeds:
        made(options.output / "votes" / f"seed-{seed}", lambda part, seed=seed: make_votes(options, seed, part))


def votes_file(options, cell):
    """The first answers of an arm, with paths that hold anywhere."""
    place = options.output / "votes" / f"seed-{cell.seed}"
    file = place / f"{cell.arm}-{cell.votes}.jsonl"
    if not file.exists():
        source = place / ("other" if cell.arm == "other" else "own")
        choices = lines_of(source / "choices.jsonl")[:cell.votes]
        if cell.arm == "shuffled":
            winners = [choice["winner"] for choice in choices]
            random.Random(cell.seed).shuffle(winners)
            choices = [choice | {"winner": winner} for choice, winner in zip(choices, winners)]
        pictures = options.output.resolve() / "pool" / "pictures"
        choices = [choice | {side: str(pictures / pathlib.Path(choice[side]).name) for side in "ab"} for choice in choices]
        written(file, "".join(json.dumps(choice) + "\n" for choice in choices))
    return file


def head_folder(options, cell):
    """The taste of an arm's first answers."""
    return made(options.output / "heads" / Cell("head", cell.seed, cell.arm, cell.votes).name(), lambda part: call(
        options, "train-reward", "pairs", "--data", votes_file(options, cell), "--rewards", ",".join(UNDER), "-o", part))


def rated(folder, name):
    return by_file(lines_of(folder / "scores.jsonl"), lambda record: record["rewards"][name])


def by_file(records, value):
    return {pathlib.Path(record["file"]).name: value(record) for record in records}


def agreement(pairs, score):
    """[right answers, decided pairs]; equal scores count half."""
    right = sum(0.5 if score[a] == score[b] else (score[a] > score[b]) == (winner == "a") for a, b, winner in pairs)
    return [right, len(pairs)]


def head_cell(options, cell, work):
    """How often the taste, and each generic reward, agrees with held-out answers, and with the taste without noise."""
    folder = head_folder(options, cell)
    place = options.output / "votes" / f"seed-{cell.seed}"
    call(options, "score", options.output / "pool" / "pictures", "--rewards", "mine", "--define", f"mine=pairs:{folder}", "--format", "jsonl",
         "--output", work / "scores.jsonl")
    scores = {"taste": rated(work, "mine")} | {name: rated(options.output / "pool", name) for name in GENERIC}
    truth = by_file(lines_of(place / "truth" / "truth.jsonl"), lambda record: record["taste"])
    asked = [(pathlib.Path(line["a"]).name, pathlib.Path(line["b"]).name, line["winner"]) for line in lines_of(place / "own" / "held-out.jsonl")]
    decided = [pair for pair in asked if pair[2] in "ab"]
    exact = [(a, b, "a" if truth[a] > truth[b] else "b") for a, b, _ in asked]
    return {"held_out": {name: agreement(decided, score) for name, score in scores.items()},
            "without_noise": {name: agreement(exact, score) for name, score in scores.items()},
            "ceiling": agreement(decided, truth), "report": json.loads((folder / "report.json").read_text())}


def training(options, cell, folder):
    """The command of a run."""
    words = ["finetune", cell.method, "--prompts", options.output / "captions" / "pool.txt", "--validation_prompts",
             options.output / "captions" / "valid.txt", "--seed", cell.seed, "-o", folder, *EVALUATED, *METHODS[cell.method]]
    if cell.method == "dpo":
        return [*words, "--pairs", votes_file(options, cell), *GUARD]
    reward = ["--reward", "aesthetic"] if cell.arm == "generic" else ["--reward", "mine", "--define", f"mine=pairs:{head_folder(options, cell)}"]
    return [*words, *reward, *GUARD]


def run_cell(options, cell, work):
    """A training, its pictures of the proof's captions, and the person's answers about them."""
    started, folder = time.time(), work / "run"
    words = [str(word) for word in [options.laurel, *training(options, cell, folder)]]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"failed: {' '.join(words)}\n{done.stderr.strip()}")
    seconds = time.time() - started
    pictures = work / "pictures"
    sample(options, options.output / "captions" / "proof.txt", pictures, PROOF_SEED, unet=folder / "unet")
    call(options, "score", pictures, "--rewards", ",".join(RATED), "--format", "jsonl", "--output", work / "scores.jsonl")
    voter = json.loads((options.output / "votes" / f"seed-{cell.seed}" / "own" / "voter.json").read_text())
    call(options, "world", "voter", "--base", options.output / "base" / "pictures", "--tuned", pictures, "--out", work / "proof",
         "--person", cell.seed, "--seed", 7000 + cell.seed, "--temperature", voter["temperature"])
    evaluations = [line for line in lines_of(folder / "metrics.jsonl") if line.get("evaluation")]
    verdict = lines_of(folder / "guard.jsonl")[-1] if (folder / "guard.jsonl").exists() else {}
    result = {"code": done.returncode, "seconds": round(seconds, 1), "proof": proof_of(options, cell, work),
              "change": {name: statistics.fmean(rated(work, name).values()) - statistics.fmean(rated(options.output / "base", name).values())
                         for name in RATED},
              "guard": {key: verdict.get(key) for key in ("state", "kind", "reason", "accepted", "step")},
              "kl": evaluations[-1].get("seen/kl_nats"),
              "diversity": evaluations[-1]["seen/diversity"] / evaluations[0]["seen/diversity"],
              "trained": [line.get("unseen/mine") for line in evaluations]}
    kept = options.output / "pictures" / cell.name()
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(pictures, kept)
    return result


def proof_of(options, cell, work):
    """For each picture's name 1 where the tuned one is preferred, 0 the base's, 1/2 neither: by the person, and without noise."""
    person = {}
    for line in lines_of(work / "proof" / "answers.jsonl"):
        person[pathlib.Path(line["a"]).name] = 0.5 if line["winner"] not in "ab" else float(line["winner"] == line["tuned"])
    taste = {}
    for name, pictures in (("base", options.output / "base" / "pictures"), ("tuned", work / "pictures")):
        call(options, "world", "voter", pictures, "--truth", "--person", cell.seed, "--out", work / f"truth-{name}")
        taste[name] = by_file(lines_of(work / f"truth-{name}" / "truth.jsonl"), lambda record: record["taste"])
    exact = {name: 0.5 if tuned == taste["base"][name] else float(tuned > taste["base"][name]) for name, tuned in taste["tuned"].items()}
    return {"person": person, "without_noise": exact, "taste": taste, "report": json.loads((work / "proof" / "voter.json").read_text())}


def do(options, cell):
    file = options.output / "cells" / f"{cell.name()}.json"
    if file.exists():
        return
    started = time.time()
    with tempfile.TemporaryDirectory(dir=options.output / "work", prefix=cell.name() + "-") as work:
        result = {"head": head_cell, "run": run_cell}[cell.kind](options, cell, pathlib.Path(work))
    written(file, json.dumps({"cell": cell._asdict(), "cell_seconds": round(time.time() - started, 1), **result}) + "\n")
    print(f"{cell.name()}: {time.time() - started:.0f} s", flush=True)


def run(options):
    os.environ["OMP_NUM_THREADS"] = "1"
    shutil.rmtree(options.output / "work", ignore_errors=True)  # of a run that was killed
    (options.output / "work").mkdir(parents=True)
    prepare(options)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(do, options, cell) for cell in grid(options.seeds) if options.only in cell.name()]:
            done.result()


def report(options):
    cells = [json.loads(file.read_text()) for file in sorted((options.output / "cells").glob("*.json"))]
    cells = [cell for cell in cells if cell["cell"]["seed"] in options.seeds]
    if not cells:
        raise SystemExit("no finished cell; call run first")
    print(studio_loop_report.text(cells, COUNTS, MAIN, CHEAPEST, GENERIC))
    chart = options.output / "studio-loop.svg"
    chart.write_text(studio_loop_report.chart(cells, COUNTS, MAIN, CHEAPEST, GENERIC))
    print(f"\nchart: {chart}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "studio-loop")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=list(SEEDS))
    parser.add_argument("--only", default="", help="cells whose name holds this text")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once, each of one thread")
    options = parser.parse_args()
    options.output = options.output.resolve()
    {"run": run, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
