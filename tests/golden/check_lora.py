#!/usr/bin/env python3
"""Checks LoRA files that laurel wrote against Python's diffusers (pip install diffusers transformers peft).

check_lora.py MODEL RUN            RUN: a folder of `laurel finetune ... --sigma_min 0` that started from MODEL
check_lora.py MODEL LAUREL FILE... LAUREL: the program; FILE: LoRAs of `laurel finetune` or `laurel merge`

MODEL is a diffusers folder. The first form loads the PEFT and the kohya form with load_lora_weights, compares their
UNet outputs with each other and with the base, and samples the run's last evaluation images again with DDIM (eta 1)
at their seeds. The second samples two images with each FILE in both programs, from the same noise, and compares the
latents and the decoded images.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

PROMPTS = ["a red circle", "two blue squares above a green star"]


def pipeline(model, file=None):
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, feature_extractor=None,
                                                   requires_safety_checker=False, torch_dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    if file:
        pipe.load_lora_weights(str(file.parent), weight_name=file.name)
    return pipe


def output(pipe):
    generator = torch.Generator().manual_seed(0)
    unet = pipe.unet
    x = torch.randn(2, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size, generator=generator)
    text = torch.randn(2, 7, unet.config.cross_attention_dim, generator=generator)
    with torch.no_grad():
        return unet(x, torch.tensor([10, 600]), text).sample


def check_run(model, run):
    config = dict(line.split(" = ", 1) for line in (run / "config.toml").read_text().splitlines() if " = " in line)
    base = output(pipeline(model))
    peft = pipeline(model, run / "pytorch_lora_weights.safetensors")
    kohya = pipeline(model, run / (run.resolve().name + ".safetensors"))
    difference = (output(peft) - output(kohya)).abs().max().item()
    print(f"PEFT against kohya form: {difference:.2e}; change from the base: {(output(peft) - base).abs().max():.3f}")
    last = max((run / "samples").glob("step-*"), key=lambda path: int(path.name[5:]))
    worst = 0
    for line in (last / "scores.jsonl").read_text().splitlines()[:8]:
        entry = json.loads(line)
        image = peft(entry["prompt"], num_inference_steps=int(config["sample_num_steps"]), eta=1.0,
                     guidance_scale=float(config["sample_guidance_scale"]),
                     generator=torch.Generator().manual_seed(entry["seed"]), output_type="np").images[0]
        ours = numpy.asarray(Image.open(last / entry["file"]), dtype=numpy.float32) / 255
        worst = max(worst, numpy.abs(numpy.rint(image * 255) / 255 - ours).max())
    print(f"images of {last.name} against diffusers with the LoRA: largest difference {worst * 255:.0f}/255")
    return difference < 1e-5 and worst <= 2 / 255


def check_file(model, laurel, file):
    """Largest differences of the final latents and of the images that they decode to."""
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "latents.safetensors"
        subprocess.run([laurel, "sample", "-m", str(model), *PROMPTS, "--lora", str(file), "--steps", "6", "--seed", "3",
                        "--cfg_scale", "5", "--sampling_method", "ddim", "--batch_size", "2", "--save_latents",
                        str(saved), "-o", str(pathlib.Path(folder) / "images")], check=True, capture_output=True)
        ours = load_file(saved)
    results = []
    for pipe in (pipeline(model), pipeline(model, file)):
        latents = pipe(PROMPTS, num_inference_steps=6, guidance_scale=5.0, eta=0.0, latents=ours["latents"].clone(),
                       output_type="latent").images
        with torch.no_grad():
            images = [pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample.div(2).add(0.5).clamp(0, 1)
                      for x in (latents, ours["x0"])]
        results.append(((latents - ours["x0"]).abs().max().item(), (images[0] - images[1]).abs().max().item()))
    print(f"{file.name}: latents {results[1][0]:.1e}, images {results[1][1]:.1e}; without the LoRA they would differ "
          f"by {results[0][1]:.1e}")
    return results[1][1] <= 1e-4 < results[0][1]


if __name__ == "__main__":
    arguments = [pathlib.Path(argument) for argument in sys.argv[1:]]
    if len(arguments) == 2:
        sys.exit(0 if check_run(*arguments) else 1)
    sys.exit(0 if all([check_file(arguments[0], arguments[1], file) for file in arguments[2:]]) else 1)
