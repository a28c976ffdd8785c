#!/usr/bin/env python3
"""What each scorer does on real pictures: `laurel bench-rewards` with negatives drawn from other captions, `rank` and `pairs`.

  benchmarks/real_rewards.py --laurel build/release/bin/laurel --output runs/real-rewards

Pictures: the stamps of Debian's tuxpaint-stamps-default and the titled clip art of its openclipart-png, at most 256 pixels a
side, which benchmarks/debian_pictures.sh fetches by their names. An item is a caption, its picture, and nine pictures of
other captions, drawn at random (seed 0); chance is 50 % one to one, 10 % one to many, 29.3 % of the reciprocal rank. The
embedded scorers have seen the synthetic world alone. The published families are loaded with the embedded CLIPs and heads, under
their own preprocessing and unit, and ImageReward with the small random weights of tests/golden, which shows that they run on
such pictures and nothing else: chance is what to expect. (MPS needs weights that are not here.) What is finished is kept. One process at a time; only the standard library is needed, and Pillow from Debian's python3-pil for the pictures.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETS = {"stamps": "tuxpaint-stamps-default", "clipart": "openclipart-png"}
EMBEDDED = ["clip_score", "social", "lvlm", "aesthetic", "brightness", "colourfulness", "jpeg_compressibility"]
MODELS = ROOT / "models"
FAMILIES = {"clip": MODELS / "tiny-world/clip", "hpsv2": MODELS / "tiny-world/clip", "pickscore": MODELS / "tiny-world/clip",
            "social": MODELS / "rewards/social", "aesthetic": MODELS / "rewards/aesthetic.safetensors",
            "imagereward": ROOT / "tests/golden/scorers/imagereward.safetensors"}


def call(options, *command, output=subprocess.DEVNULL):
    return subprocess.run([str(word) for word in command], cwd=options.output, check=True, stdout=output, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout


def write_items(options, name):
    file = options.output / f"{name}.jsonl"
    if file.exists():
        return
    captions = {text.with_suffix(".png").name: text.read_text().strip() for text in sorted((options.output / name).glob("*.txt"))}
    captions = {picture: caption for picture, caption in captions.items() if caption}
    generator = random.Random(0)
    names = sorted(captions)
    rows = []
    for picture in generator.sample(names, min(options.items, len(names))):
        others = [other for other in generator.sample(names, 40) if captions[other] != captions[picture]][:9]
        rows.append({"prompt": captions[picture], "slice": picture.split("-")[0], "chosen": f"{name}/{picture}",
                     "rejected": [f"{name}/{other}" for other in others]})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def bench(options, name):
    defined = [word for family, path in FAMILIES.items() for word in ("--define", f"loaded_{family}={family}:{path}")]
    output = options.output / f"{name}-bench.json"
    if not output.exists():
        call(options, options.laurel, "bench-rewards", f"{name}.jsonl", "-r", ",".join(EMBEDDED + [f"loaded_{family}" for family in FAMILIES]),
             *defined, "-o", output.name, "--page", f"{name}-bench.html")
    return json.loads(output.read_text())


def row_of(one):
    figures = one["slices"]["all"]
    shares = ["{:.1f} [{:.1f}, {:.1f}]".format(100 * figures[key]["value"], *(100 * x for x in figures[key]["interval"]))
              for key in ("one_to_one", "one_to_many", "reciprocal_rank")]
    time = "" if one["ms_an_image"] is None else f"{one['ms_an_image']:.1f}"
    return f"| {one['reward']} | {figures['items']} | {figures['ties']} | {' | '.join(shares)} | {time} |"


def clean_choices(options):
    """A simulated person's choices between stamps, a quarter of them turned round, before and after `laurel pairs`."""
    if not (options.output / "votes").exists():
        call(options, options.laurel, "world", "voter", "stamps", "--out", "votes", "--person", 1, "--seed", 1, "--pairs", 320)
    rows = [json.loads(line) for line in (options.output / "votes/choices.jsonl").read_text().splitlines()]
    generator = random.Random(0)
    turned = {"a": "b", "b": "a"}
    noisy = [{**row, "winner": turned.get(row["winner"], row["winner"])} if generator.random() < 0.25 else row for row in rows]
    (options.output / "votes/noisy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in noisy))
    facts = "saturation,contrast,warm_share,edge_density,sharpness,empty_share,symmetry,brightness,colourfulness"
    if not (options.output / "facts.jsonl").exists():
        call(options, options.laurel, "score", "stamps", "-r", facts, "--format", "jsonl", "-o", "facts.jsonl")
    rules = {"flip 0.2, drop 0.2:0.4": ["--flip", 0.2, "--drop", "0.2:0.4"], "drop 0:0.4": ["--drop", "0:0.4"]}
    for number, rule in enumerate(rules.values()):
        call(options, options.laurel, "pairs", "--choices", "votes/noisy.jsonl", "--scores", "facts.jsonl", "--cross_fit", 10, *rule,
             "-o", f"votes/cleaned-{number}.jsonl")
    truth = {frozenset((os.path.basename(row["a"]), os.path.basename(row["b"]))): os.path.basename(row[row["winner"]])
             for row in rows if row["winner"] in turned}
    def right(file):
        found = [(truth.get(frozenset((os.path.basename(row["a"]), os.path.basename(row["b"])))), os.path.basename(row[row["winner"]]))
                 for row in map(json.loads, file.read_text().splitlines()) if row["winner"] in turned]
        known = [(want, got) for want, got in found if want]
        return f"{len(known)} choices, {100 * sum(want == got for want, got in known) / len(known):.1f} % as the person's"
    print(f"\nnoisy: {right(options.output / 'votes/noisy.jsonl')}")
    for number, name in enumerate(rules):
        print(f"{name}: {right(options.output / f'votes/cleaned-{number}.jsonl')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build/release/bin/laurel")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--items", type=int, default=150, help="of each set")
    options = parser.parse_args()
    options.laurel = options.laurel.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, package in SETS.items():
        call(options, ROOT / "benchmarks/debian_pictures.sh", package, name, 256)
        write_items(options, name)
        print(f"\n{name}: {len(list((options.output / name).glob('*.png')))} pictures\n\n| scorer | items | ties | one to one, % | one to many, % "
              "| reciprocal rank, % | ms an image |\n" + "|---" * 7 + "|")
        for one in bench(options, name):
            print(row_of(one))
    ranked = call(options, options.laurel, "rank", "stamps/animals-*.png", "-r", "clip_score", "-p", "a green circle", output=subprocess.PIPE)
    print("\n" + "\n".join(ranked.splitlines()[:4]))
    clean_choices(options)


if __name__ == "__main__":
    main()
