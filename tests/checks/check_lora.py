#!/usr/bin/env python3
"""Checks what laurel wrote against Python's diffusers (pip install diffusers transformers peft).

check_lora.py MODEL RUN            RUN: a folder of `laurel finetune ... --sigma_min 0` that started from MODEL
check_lora.py MODEL LAUREL FILE... LAUREL: the program; FILE: LoRAs of `laurel finetune` or `laurel merge`

MODEL is a diffusers folder (SD 1, SD 2, SDXL or an LCM). The first form, of a LoRA: loads the PEFT and the kohya form
with load_lora_weights and compares their UNet outputs with each other and with the base; with --train full: loads
RUN/unet. Then it samples the run's last evaluation images again with DDIM (eta 1) at their seeds; a whole UNet is stored
in fp16, so that its images differ more. The second form samples two images with each FILE in both programs, from the
same noise, and compares the latents and the decoded images.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from diffusers import (DDIMScheduler, DiffusionPipeline, LatentConsistencyModelPipeline, StableDiffusionPipeline,
                       UNet2DConditionModel)
from PIL import Image
from safetensors.torch import load_file

PROMPTS = ["a red circle", "two blue squares above a green star"]


def pipeline(model, file=None):
    """`file`: a LoRA, a folder of a whole UNet, or nothing."""
    pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    if isinstance(pipe, LatentConsistencyModelPipeline):  # its own call steps by no DDIM
        pipe = StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    if file and file.is_dir():
        pipe.unet = UNet2DConditionModel.from_pretrained(file, torch_dtype=torch.float32)
    elif file:
        pipe.load_lora_weights(str(file.parent), weight_name=file.name)
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


def trained_of(model, run):
    """The pipeline with what the run trained, and how far its two LoRA forms are apart."""
    base, whole = output(pipeline(model)), run / "unet"
    if whole.exists():
        tuned, difference = pipeline(model, whole), 0.0
    else:
        tuned = pipeline(model, run / "pytorch_lora_weights.safetensors")
        kohya = pipeline(model, run / (run.resolve().name + ".safetensors"))
        difference = (output(tuned) - output(kohya)).abs().max().item()
        print(f"PEFT against kohya form: {difference:.2e}")
    print(f"change from the base: {(output(tuned) - base).abs().max():.3f}")
    return tuned, difference


def check_run(model, run):
    config = dict(line.split(" = ", 1) for line in (run / "config.toml").read_text().splitlines() if " = " in line)
    tuned, difference = trained_of(model, run)
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
    return difference < 1e-5 and worst <= (8 if (run / "unet").exists() else 2) / 255


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
