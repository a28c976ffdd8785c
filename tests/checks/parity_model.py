#!/usr/bin/env python3
"""Whole images of a diffusers folder, sampled by laurel and by Python's diffusers at equal seeds: how far apart."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]


def laurel_latents(options, folder):
    """The final latents of each seed, unit variance: [seeds, C, h, w]"""
    latents = folder / "latents.safetensors"
    command = [options.laurel, "sample", "--model", options.model, "--prompt", options.prompt, "--steps", options.steps,
               "--cfg-scale", options.guidance, "--seed", options.seeds[0], "--count", len(options.seeds), "--batch-size", 1,
               "--height", options.height, "--width", options.width, "--precision", "fp32", "--device", "cpu",
               "--output-dir", folder / "images", "--save-latents", latents]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return load_file(latents)


def diffusers_latents(options):
    index = json.loads((options.model / "model_index.json").read_text())
    absent = {part: None for part in ("text_encoder_3", "tokenizer_3") if index.get(part) == [None, None]}
    pipeline = DiffusionPipeline.from_pretrained(options.model, torch_dtype=torch.float32, local_files_only=True, **absent)
    pipeline.set_progress_bar_config(disable=True)
    size = {"height": options.height, "width": options.width} if options.height else {}
    # Rows of zeros in the place of an absent T5, where the model was trained without them.
    if "_max_sequence_length" in index:
        size["max_sequence_length"] = index["_max_sequence_length"]
    rows = []
    for seed in options.seeds:
        rows.append(pipeline(options.prompt, num_inference_steps=options.steps, guidance_scale=options.guidance,
                             generator=torch.Generator().manual_seed(seed), output_type="latent", **size).images[0])
    return torch.stack(rows), pipeline.vae


def decoded(vae, latents):
    """[B, 3, H, W] in [0, 1]"""
    with torch.no_grad():
        shift = vae.config.shift_factor or 0
        images = [vae.decode(row[None] / vae.config.scaling_factor + shift).sample[0] for row in latents]
    return (torch.stack(images) / 2 + 0.5).clamp(0, 1)


def main():
    parser = argparse.ArgumentParser(prog="tools/parity", description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="diffusers folder")
    parser.add_argument("--prompt", default="a photo of a cat")
    parser.add_argument("--seeds", type=int, default=3, help="0, 1, ... this many")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--height", type=int, default=0, help="pixels; 0: the model's own")
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build/release/bin/laurel")
    options = parser.parse_args()
    options.seeds = list(range(options.seeds))
    if not (options.model / "model_index.json").exists():
        raise SystemExit(f"tools/parity: --model {options.model}: expected a diffusers folder, found no model_index.json")
    with tempfile.TemporaryDirectory() as folder:
        ours = laurel_latents(options, pathlib.Path(folder))["x0"]
    theirs, vae = diffusers_latents(options)
    images = (decoded(vae, ours) - decoded(vae, theirs)).abs()
    good = True
    for seed, row, other, difference in zip(options.seeds, ours, theirs, images):
        good &= bool(difference.max() <= 1e-4)
        print(f"seed {seed}: largest difference of the latents {(row - other).abs().max():.2e}, of the image {difference.max():.2e}")
    print("tolerance of the image 1e-4:", "met" if good else "MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
