#!/usr/bin/env python3
"""Checks what a finetuning run left against Python's diffusers (pip install diffusers transformers peft).

check_lora.py MODEL RUN

MODEL is the diffusers folder that the run started from (SD 1, SD 2, SDXL or an LCM), RUN a folder of
`laurel finetune ... --sigma_min 0`. With a LoRA: loads the PEFT and the kohya form with load_lora_weights and compares
their UNet outputs with each other and with the base. With --train full: loads RUN/unet. Then samples the run's last
evaluation images again with DDIM (eta 1) at their seeds; a whole UNet is stored in fp16, so that its images differ more.
"""
import json
import pathlib
import sys

import numpy
import torch
from diffusers import (DDIMScheduler, DiffusionPipeline, LatentConsistencyModelPipeline, StableDiffusionPipeline,
                       UNet2DConditionModel)
from PIL import Image

model, run = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
config = dict(line.split(" = ", 1) for line in (run / "config.toml").read_text().splitlines() if " = " in line)
whole = (run / "unet").exists()


def pipeline(weights=None):
    pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    if isinstance(pipe, LatentConsistencyModelPipeline):  # its own call steps by no DDIM
        pipe = StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    if weights == "unet":
        pipe.unet = UNet2DConditionModel.from_pretrained(run / "unet", torch_dtype=torch.float32)
    elif weights:
        pipe.load_lora_weights(str(run), weight_name=weights)
    return pipe


def output(pipe):
    generator = torch.Generator().manual_seed(0)
    settings = pipe.unet.config
    x = torch.randn(2, settings.in_channels, settings.sample_size, settings.sample_size, generator=generator)
    text = torch.randn(2, 7, settings.cross_attention_dim, generator=generator)
    more = {}
    if settings.addition_time_embed_dim:
        pooled = settings.projection_class_embeddings_input_dim - 6 * settings.addition_time_embed_dim
        more["added_cond_kwargs"] = dict(text_embeds=torch.randn(2, pooled, generator=generator),
                                         time_ids=torch.full((2, 6), 64.0))
    if settings.time_cond_proj_dim:
        more["timestep_cond"] = torch.randn(2, settings.time_cond_proj_dim, generator=generator)
    with torch.no_grad():
        return pipe.unet(x, torch.tensor([10, 600]), text, **more).sample


base = output(pipeline())
difference = 0.0
if whole:
    tuned = pipeline("unet")
    print(f"whole UNet: change from the base {(output(tuned) - base).abs().max():.3f}")
else:
    tuned = pipeline("pytorch_lora_weights.safetensors")
    kohya = pipeline(run.resolve().name + ".safetensors")
    difference = (output(tuned) - output(kohya)).abs().max().item()
    print(f"PEFT against kohya form: {difference:.2e}; change from the base: {(output(tuned) - base).abs().max():.3f}")

last = max((run / "samples").glob("step-*"), key=lambda path: int(path.name[5:]))
worst = 0
for line in (last / "scores.jsonl").read_text().splitlines()[:8]:
    entry = json.loads(line)
    image = tuned(entry["prompt"], num_inference_steps=int(config["sample_num_steps"]), eta=1.0,
                  guidance_scale=float(config["sample_guidance_scale"]),
                  generator=torch.Generator().manual_seed(entry["seed"]), output_type="np").images[0]
    ours = numpy.asarray(Image.open(last / entry["file"]), dtype=numpy.float32) / 255
    worst = max(worst, numpy.abs(numpy.rint(image * 255) / 255 - ours).max())
print(f"images of {last.name} against diffusers with what was trained: largest difference {worst * 255:.0f}/255")
sys.exit(0 if difference < 1e-5 and worst <= (8 if whole else 2) / 255 else 1)
