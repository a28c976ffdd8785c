#!/usr/bin/env python3
"""Writes a synthetic run folder, as `laurel finetune` leaves it: drawn 64x64 pictures, made-up rewards and metrics.

example_run.py FOLDER [--prompts 24] [--seeds 2] [--steps 6] [--noise 1.0] [--random-seed 1]
Needs Python's standard library alone.
"""
import argparse
import json
import math
import pathlib
import random
import struct
import zlib

SIDE = 64
COLOURS = {"red": (205, 62, 50), "orange": (226, 138, 40), "yellow": (236, 200, 66), "green": (74, 148, 84),
           "blue": (58, 96, 178), "purple": (128, 80, 160), "white": (240, 238, 230), "black": (40, 40, 44)}
SHAPES = ("circle", "square", "triangle", "ring")
NASTY = ['a </script><script>document.title="broken"</script> circle', 'a "quoted" <b>bold</b> & \'single\' square']


def write_png(path, pixels, text):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + pixels[y * SIDE * 3:(y + 1) * SIDE * 3] for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tEXt", b"parameters\0" + text.encode("latin-1", "replace")),
             (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def inside(shape, x, y, radius):
    distance = math.hypot(x, y)
    if shape == "circle":
        return distance < radius
    if shape == "ring":
        return radius * 0.55 < distance < radius
    if shape == "square":
        return max(abs(x), abs(y)) < radius * 0.85
    return y < radius * 0.75 and abs(x) < (y + radius) * 0.55


def draw(scene, blur, grain, rng):
    """Two shapes on a shaded ground; `blur` in pixels softens the edges, `grain` is noise in levels."""
    pixels = bytearray()
    for y in range(SIDE):
        for x in range(SIDE):
            shade = 1.08 - 0.22 * y / SIDE
            colour = [level * shade for level in scene["ground"]]
            for shape, tint, cx, cy, radius in scene["shapes"]:
                if inside(shape, x - cx, y - cy, radius + rng.uniform(-blur, blur)):
                    colour = [level * (1.1 - 0.25 * (y - cy + radius) / (2 * radius)) for level in tint]
            pixels += bytes(min(255, max(0, int(level + rng.gauss(0, grain)))) for level in colour)
    return bytes(pixels)


def make_scene(rng):
    names = rng.sample(sorted(COLOURS), 3)
    kinds = rng.choices(SHAPES, k=2)
    prompt = f"a {names[0]} {kinds[0]} left of a {names[1]} {kinds[1]} on {names[2]}"
    shapes = [(kinds[k], COLOURS[names[k]], 20 + 25 * k + rng.randint(-3, 3), rng.randint(24, 42), rng.randint(9, 14)) for k in (0, 1)]
    return prompt, {"ground": COLOURS[names[2]], "shapes": shapes}


def write_metrics(run, steps, rng):
    lines = []
    last = steps[-1]
    for step in range(last + 1):
        share = 1 - math.exp(-2.2 * step / last)
        if step:
            lines.append({"step": step, "epoch": step // 5, "time": 1.7e9 + 9 * step, "aesthetic": 4.9 + 0.8 * share + rng.gauss(0, 0.12),
                          "loss": 0.9 - 0.4 * share + rng.gauss(0, 0.05), "grad_norm": abs(rng.gauss(0.7, 0.2)),
                          "clip_fraction": None if step == 7 else 0.02 + 0.1 * share, "learning_rate": 1e-4 * min(1, step / 10)})
        if step in steps:
            lines.append({"step": step, "epoch": step // 5, "time": 1.7e9 + 9 * step, "evaluation": True,
                          "seen/aesthetic": 4.95 + 0.75 * share, "unseen/aesthetic": 4.92 + 0.55 * share, "seen/clip_score": 27 + 1.6 * share,
                          "unseen/clip_score": 26.5 + share, "seen/kl_nats": 14 * share, "unseen/kl_nats": 13 * share,
                          "seen/diversity": 0.42 - 0.05 * share, "unseen/diversity": 0.43 - 0.05 * share, "seen/win_rate": 0.5 + 0.35 * share})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_set(run, step, share, scenes, options):
    folder = run / "samples" / ("base" if step == 0 else f"step-{step}")
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number, (prompt, scene, split, seed) in enumerate(scenes):
        rng = random.Random(f"{options.random_seed}/{number}/{step}")
        talent = random.Random(number).gauss(0, 0.25)
        gain = share * (0.8 if split == "seen" else 0.55)
        pixels = draw(scene, 3.5 * (1 - share) * options.noise, (26 - 20 * share) * options.noise, rng)
        settings = f"Steps: 20, Sampler: DDIM, CFG scale: 3, Seed: {seed}, Size: 64x64, Model: tiny-world"
        write_png(folder / f"{number:04d}.png", pixels, prompt + "\n" + settings)
        rewards = {"aesthetic": 4.95 + talent + gain + rng.gauss(0, 0.15), "clip_score": 26.8 + 3 * talent + 2 * gain + rng.gauss(0, 0.8),
                   "oracle": min(1, max(0, 0.62 + talent / 2 + 0.2 * gain + rng.gauss(0, 0.1))), "jpeg_size": -2.4 + 0.6 * share + rng.gauss(0, 0.1)}
        records.append({"file": f"{number:04d}.png", "prompt": prompt, "seed": seed, "split": split,
                        "rewards": {name: round(value, 5) for name, value in rewards.items()}})
    (folder / "scores.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6, help="evaluations after the base")
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--random-seed", type=int, default=1)
    options = parser.parse_args()

    rng = random.Random(options.random_seed)
    scenes = []
    for number in range(options.prompts):
        prompt, scene = make_scene(random.Random(1000 + number))
        prompt = NASTY[number - 2] if 2 <= number < 4 else prompt
        split = "unseen" if number % 3 == 2 else "seen"
        scenes += [(prompt, scene, split, 100 * number + k) for k in range(options.seeds)]
    steps = [10 * k for k in range(options.steps + 1)]
    run = options.folder
    run.mkdir(parents=True, exist_ok=True)
    for step in steps:
        write_set(run, step, 1 - math.exp(-2.2 * step / steps[-1]), scenes, options)
    write_metrics(run, steps, rng)
    verdicts = [{"step": step, "state": "stop" if step == steps[-1] else "fine", "kind": "gamed" if step == steps[-1] else "",
                 "reason": "the held-out rewards moved by -0.61 deviations" if step == steps[-1] else "nothing was flagged", "accepted": min(step, steps[-2]),
                 "signals": {}, "worst": [{"image": "0003", "change": -1.5}, {"image": "0001", "change": -0.5}] if step == steps[-1] else []}
                for step in steps[1:]]
    (run / "guard.jsonl").write_text("".join(json.dumps(verdict) + "\n" for verdict in verdicts))
    (run / "run.json").write_text(json.dumps({"laurel": "0.1.0", "kind": "prdp", "model": "models/tiny-world", "reward": "aesthetic=1", "seed": options.random_seed,
                                              "started": "2026-01-05T09:30:00Z", "device": "cpu", "synthetic": True}) + "\n")
    (run / "config.toml").write_text(f'model = "models/tiny-world"\nreward = "aesthetic=1"\nprompts_per_epoch = 16\nimages_per_prompt = 4\n'
                                     f'steps = {steps[-1]}\nlearning_rate = 0.0001\nbeta = {0.1 * options.random_seed:.2f}\nseed = {options.random_seed}\n')


if __name__ == "__main__":
    main()
