#!/usr/bin/env python3
"""The comparisons of docs/results-distill.md: few-step students of LCD and RG-LCD against their teacher.

`run` trains every arm on every seed, one process of `laurel distill` after the other, each on one thread; it goes on where
it was stopped. `measure` draws the same prompts and seeds with every student in 1, 2, 4 and 8 steps and with the teacher in
10, 25 and 50, rates the images, and looks at them with a network that nothing here was trained on (--judge: a CLIP of
another seed, `laurel pretrain clip`). `report` prints the tables. `front` merges two arms' students of a seed in several
proportions and measures each, quality against diversity: the one that was only pulled by the reward and the one that was also
held apart, or any --between. `measure` and `front` need Python's torch and transformers.

  benchmarks/distill_experiments.py run --output runs/distill --seeds 1,2,3
  benchmarks/distill_experiments.py measure --output runs/distill --judge runs/judge/clip
  benchmarks/distill_experiments.py report --output runs/distill
  benchmarks/distill_experiments.py front --output runs/distill --judge runs/judge/clip

What is measured, over the same images for every row:
  rewards    aesthetic, clip_score (trained on by RG-LCD) and the oracle's caption match (gold, never trained on)
  trained    the trained reward, aesthetic + 0.3 clip_score
  frechet    between the judge's features of the images and of drawn scenes (as many for every row)
  diversity  mean 1 - cosine of the judge's features between images of one prompt
  artefact   mean square of the 3x3 Laplacian of the luminance over that of drawn scenes: what fine texture there is beyond
             the world's own edges
  cpu        the processor's seconds of `laurel sample` an image, without those of loading (a run of no more than one image)
"""

import argparse
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / "models" / "recipes" / "distill.toml"
REWARDS = ("aesthetic", "clip_score", "oracle")
STUDENT_STEPS, TEACHER_STEPS = (1, 2, 4, 8), (10, 25, 50)
SPLITS, CAPTION_SEED, IMAGE_SEED, IMAGES_EACH = ("seen", "unseen"), 4242, 3000000, 2
ARMS = {  # on top of the recipe
    "lcd": {"reward": ""},
    "rg-lcd": {},
    "latent": {"latent_reward": True, "latent_reward_warmup": 100},
    "latent-weak": {"latent_reward": True, "latent_reward_warmup": 100, "reward_share": 0.3},  # for a comparison at equal pull
    "on-policy": {"on_policy": 0.5},
    "over": {"reward_share": 4.0},  # far too much: what over-optimisation looks like
    "jpeg-latent": {"reward": "jpeg_compressibility=0.3", "latent_reward": True, "latent_reward_warmup": 100},
    "diverse": {"diversity_beta": 0.5},
    "lora": {"train": "lora", "rank": 32, "learning_rate": 2e-3, "ema_decay": 0.0},
}


def flags(settings):
    words = []
    for key, value in settings.items():
        if isinstance(value, bool):
            words += [f"--{key}"] if value else []
        else:
            words += [f"--{key}", str(value)]
    return words


def call(options, *words):
    done = subprocess.run([str(options.laurel), *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"failed: laurel {' '.join(map(str, words))}\n{done.stderr.strip()}")


def run(options):
    for seed in options.seeds:
        for arm in options.arms:
            folder = options.output / arm / f"seed-{seed}"
            if (folder / "done").exists():
                continue
            started = time.time()
            settings = ARMS[arm] | options.settings
            others = [name for name in REWARDS if name not in settings.get("reward", "aesthetic,clip_score")]
            command = ["distill", "--config", RECIPE, *flags(settings), "--eval_rewards", ",".join(others), "--seed", seed, "--guard", "off",
                       "--latents", options.output / f"latents-{seed}.safetensors", "-o", folder]
            print(f"{arm} seed {seed}", flush=True)
            call(options, *command, "--resume_from_checkpoint", "latest")
            for checkpoint in folder.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
            (folder / "done").write_text(f"{time.time() - started:.0f} s\n")


# ---- measuring -------------------------------------------------------------------------------------------------------

def captions_file(options):
    file = options.output / "captions.txt"
    if not file.exists():
        lines = []
        for split in SPLITS:
            scenes = options.output / f"scenes-{split}"
            call(options, "world", "--out", scenes, "--count", 4 * options.captions, "--split", split, "--seed", CAPTION_SEED)
            found = dict.fromkeys(path.read_text().strip() for path in sorted(scenes.glob("*.txt")))
            lines += list(found)[:options.captions]
            shutil.rmtree(scenes)
        file.write_text("\n".join(lines) + "\n")
    return file


def draw(options, folder, model, steps):
    """Images of every caption and their rewards; -> the processor's seconds an image."""
    record = folder / "record.json"
    if not record.exists():
        shutil.rmtree(folder, ignore_errors=True)
        words = ["sample", *model, "--steps", steps, "--seed", IMAGE_SEED]
        seconds = []
        for sources in (["-p", "a red circle", "--count", 1], ["--prompts", captions_file(options), "--count", IMAGES_EACH]):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            call(options, *words, *sources, "--output-dir", folder / ("images" if "--prompts" in sources else "warm-up"))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        shutil.rmtree(folder / "warm-up")
        call(options, "score", folder / "images", "--rewards", ",".join(REWARDS), "--format", "jsonl", "--output", folder / "scores.jsonl")
        count = len(list((folder / "images").glob("*.png"))) - 1
        record.write_text(json.dumps({"cpu": (seconds[1] - seconds[0]) / count}))
    return json.loads(record.read_text())["cpu"]


class Judge:
    def __init__(self, folder):
        import torch
        from transformers import CLIPModel
        self.torch = torch
        torch.set_num_threads(1)
        self.model = CLIPModel.from_pretrained(folder)

    def images(self, folder):
        """-> [N, 3, H, W] in [0, 1], in the order of their names"""
        import numpy
        from PIL import Image
        paths = sorted(folder.glob("*.png"))
        return self.torch.stack([self.torch.from_numpy(numpy.array(Image.open(p).convert("RGB"))).permute(2, 0, 1) for p in paths]) / 255

    def features(self, images):
        mean = self.torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        std = self.torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
        with self.torch.no_grad():
            parts = [self.model.get_image_features(pixel_values=(part - mean) / std) for part in images.split(64)]
        parts = [part if self.torch.is_tensor(part) else part.pooler_output for part in parts]
        return self.torch.nn.functional.normalize(self.torch.cat(parts), dim=1).double()

    def laplacian(self, images):
        """Mean square of the Laplacian of each image's luminance. -> [N]"""
        kernel = self.torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
        weights = self.torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return self.torch.nn.functional.conv2d((images * weights).sum(1, keepdim=True), kernel).square().mean((1, 2, 3))

    def frechet(self, a, b):
        """Between Gaussians of the features (Heusel et al. 2017)."""
        torch = self.torch
        ca, cb = torch.cov(a.T), torch.cov(b.T)
        values, vectors = torch.linalg.eigh(ca)
        root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
        cross = torch.linalg.eigvalsh(root @ cb @ root).clamp_min(0).sqrt().sum()
        return float((a.mean(0) - b.mean(0)).square().sum() + ca.trace() + cb.trace() - 2 * cross)


def rows_of(options):
    """(name, arguments of `laurel sample`, steps, seed) of all that is measured."""
    guided = ["--cfg-scale", "5"]
    for steps in TEACHER_STEPS:
        yield "teacher", [*guided, "--sampling-method", "ddim"], steps, 0
    for steps in STUDENT_STEPS:
        yield "teacher, LCM", [*guided, "--sampling-method", "lcm"], steps, 0  # what no distillation gives
    for arm in options.arms:
        for seed in options.seeds:
            folder = options.output / arm / f"seed-{seed}"
            if not (folder / "done").exists():
                continue
            model, method = ["--model", folder / "model", *guided], "lcm"
            if (folder / "pytorch_lora_weights.safetensors").exists():
                model = ["--lora", folder / "pytorch_lora_weights.safetensors", "--cfg-scale", "1"]
            for steps in STUDENT_STEPS:
                yield arm, [*model, "--sampling-method", method], steps, seed
            if options.tcd:
                for steps in STUDENT_STEPS:
                    yield f"{arm}, TCD", [*model, "--sampling-method", "tcd", "--eta", "0.3"], steps, seed


class Measure:
    """What is said about a folder of `draw`."""

    def __init__(self, options):
        scenes = options.output / "real"
        for number, split in enumerate(SPLITS):
            if not (scenes / split).exists():
                call(options, "world", "--out", scenes / split, "--count", 1024, "--split", split, "--seed", 77 + number)
        self.options, self.judge = options, Judge(options.judge)
        real = self.judge.torch.cat([self.judge.images(scenes / split) for split in SPLITS])
        self.real, self.edges = self.judge.features(real), float(self.judge.laplacian(real).mean())

    def row(self, name, model, steps, seed):
        folder = self.options.output / "drawn" / f"{name.replace(', ', '-')}-{steps}-{seed}"
        cpu = draw(self.options, folder, model, steps)
        scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
        scores = [record.get("rewards", record) for record in scores]
        images = self.judge.images(folder / "images")
        features = self.judge.features(images)
        pairs = features.view(-1, IMAGES_EACH, features.shape[1])
        values = {reward: [record[reward] for record in scores] for reward in REWARDS}
        values["trained"] = [a + 0.3 * c for a, c in zip(values["aesthetic"], values["clip_score"])]
        values["diversity"] = (1 - (pairs[:, 0] * pairs[:, 1]).sum(1)).repeat_interleave(IMAGES_EACH).tolist()
        values["artefact"] = (self.judge.laplacian(images) / self.edges).tolist()
        print(name, steps, seed, flush=True)
        return {"name": name, "steps": steps, "seed": seed, "cpu": cpu, "values": values, "frechet": self.judge.frechet(features, self.real)}


def measure(options):
    measured = Measure(options)
    table = [measured.row(*row) for row in rows_of(options)]
    (options.output / "measured.json").write_text(json.dumps(table))


def front(options):
    """Students between the one that was only pulled and the one that was also held apart."""
    measured, table = Measure(options), []
    for seed in options.seeds:
        quality, diverse = [options.output / arm / f"seed-{seed}" / "model" for arm in options.between]
        for percent in range(0, 101, 25):
            merged = options.output / "merged" / f"{'-'.join(options.between)}-{percent}-{seed}"
            if not merged.exists():
                call(options, "merge", "--model", quality, "--with", diverse, "--weight", percent / 100, "--output", merged)
            table.append(measured.row(f"{percent} % {options.between[1]}", ["--model", merged, "--cfg-scale", "5", "--sampling-method", "lcm"], options.steps, seed))
    print_table(table)


# ---- the table -------------------------------------------------------------------------------------------------------

def interval(groups, rounds=1000):
    """Mean over seeds and captions, and a 95 % bootstrap over both. groups: a list of values a seed."""
    mean = sum(map(sum, groups)) / sum(map(len, groups))
    generator, means = random.Random(1), []
    captions = len(groups[0]) // IMAGES_EACH
    for _ in range(rounds):
        picked = [generator.randrange(captions) for _ in range(captions)]
        seeds = [generator.choice(groups) for _ in groups]
        means.append(sum(g[IMAGES_EACH * c + k] for g in seeds for c in picked for k in range(IMAGES_EACH)) /
                     (len(seeds) * captions * IMAGES_EACH))
    means.sort()
    return mean, means[int(0.025 * rounds)], means[int(0.975 * rounds)]


COLUMNS = ("trained", "aesthetic", "clip_score", "oracle", "diversity", "artefact")


def figure(column, value, signed=False):
    return f"{value:{'+' if signed else ''}.{1 if column == 'clip_score' else 3}f}"


def rows_by_name(table):
    for name, steps in dict.fromkeys((row["name"], row["steps"]) for row in table):
        yield name, steps, [row for row in table if (row["name"], row["steps"]) == (name, steps)]


def print_table(table):
    """Means, their intervals, and below each other every seed's figure."""
    print(f"| sampler | steps | seeds | {' | '.join(COLUMNS)} | frechet | cpu ms |")
    print("|---" * (len(COLUMNS) + 5) + "|")
    for name, steps, rows in rows_by_name(table):
        cells = []
        for column in COLUMNS:
            groups = [row["values"][column] for row in rows]
            mean, low, high = (figure(column, value) for value in interval(groups))
            each = ", ".join(figure(column, sum(group) / len(group)) for group in groups)
            cells.append(f"{mean} ({low}..{high})" + (f" [{each}]" if len(rows) > 1 else ""))
        frechet = [row["frechet"] for row in rows]
        each = f" [{', '.join(f'{value:.4f}' for value in frechet)}]" if len(rows) > 1 else ""
        cpu = 1000 * sum(row["cpu"] for row in rows) / len(rows)
        print(f"| {name} | {steps} | {len(rows)} | {' | '.join(cells)} | {sum(frechet) / len(rows):.4f}{each} | {cpu:.0f} |")


def half_of(values, split):
    half = len(values) // 2
    return values[:half] if split == "seen" else values[half:]


def print_differences(table):
    """Every student less the teacher at its most steps, caption by caption, for both splits."""
    teacher = next(row for row in table if (row["name"], row["steps"]) == ("teacher", TEACHER_STEPS[-1]))
    print(f"\n| less the teacher's {TEACHER_STEPS[-1]} steps | steps | captions | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for name, steps, rows in rows_by_name(table):
        if name.startswith("teacher"):
            continue
        for split in SPLITS:
            cells = []
            for column in COLUMNS:
                base = half_of(teacher["values"][column], split)
                groups = [[a - b for a, b in zip(half_of(row["values"][column], split), base)] for row in rows]
                mean, low, high = (figure(column, value, signed=True) for value in interval(groups))
                cells.append(f"{mean} ({low}..{high})")
            print(f"| {name} | {steps} | {split} | {' | '.join(cells)} |")


def report(options):
    table = json.loads((options.output / "measured.json").read_text())
    print_table(table)
    print_differences(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("run", "measure", "report", "front"))
    parser.add_argument("--laurel", type=lambda text: pathlib.Path(text).resolve(), default=ROOT / "build/release/bin/laurel")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/distill"))
    parser.add_argument("--judge", type=pathlib.Path, default=pathlib.Path("runs/judge/clip"))
    parser.add_argument("--arms", type=lambda text: text.split(","), default=["lcd", "rg-lcd"])
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--captions", type=int, default=64, help="of each split")
    parser.add_argument("--between", type=lambda text: text.split(","), default=["rg-lcd", "diverse"], help="arms of `front`")
    parser.add_argument("--steps", type=int, default=4, help="of `front`")
    parser.add_argument("--tcd", action="store_true", help="TCD sampling as well")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of laurel distill on top of every arm")
    options = parser.parse_args()
    options.settings = dict(word.split("=", 1) for word in options.set)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.output.mkdir(parents=True, exist_ok=True)
    {"run": run, "measure": measure, "report": report, "front": front}[options.work](options)


if __name__ == "__main__":
    main()
