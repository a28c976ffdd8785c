#!/usr/bin/env python3
"""Checks a finetuned run's LoRA files against Python's diffusers (pip install diffusers transformers peft).

check_lora.py MODEL RUN

MODEL is the diffusers folder that the run started from, RUN a folder of `laurel finetune ... --sigma_min 0`. Loads the
PEFT and the kohya form with load_lora_weights, compares their UNet outputs with each other and with the base, and
samples the run's last evaluation images again with DDIM (eta 1) at their seeds.
"""
import json
import pathlib
import sys

import numpy
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image

model, run = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
config = dict(line.split(" = ", 1) for line in (run / "config.toml").read_text().splitlines() if " = " in line)


def pipeline(weights=None):
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, feature_extractor=None,
                                                   requires_safety_checker=False, torch_dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    if weights:
        pipe.load_lora_weights(str(run), weight_name=weights)
    return pipe


def output(pipe):
    generator = torch.Generator().manual_seed(0)
    unet = pipe.unet
    x = torch.randn(2, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size, generator=generator)
    text = torch.randn(2, 7, unet.config.cross_attention_dim, generator=generator)
    with torch.no_grad():
        return unet(x, torch.tensor([10, 600]), text).sample


base = output(pipeline())
peft = pipeline("pytorch_lora_weights.safetensors")
kohya = pipeline(run.resolve().name + ".safetensors")
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
sys.exit(0 if difference < 1e-5 and worst <= 2 / 255 else 1)
