"""LoRAs on whole pipelines, for tests/diffusion/lora/images_test.cpp: one of SDXL's UNet and both of its text encoders with
the original code's names, and an LCM-LoRA on Stable Diffusion 1.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23, peft 0.21:  python tests/golden/make/make_lora_images.py
Writes tests/golden/lora/sdxl.safetensors, lora/lcm.safetensors (random) and lora_images.safetensors: <case>.images with
the LoRA, <case>.base without.
"""

import pathlib
import warnings

import diffusers
import torch
from make_lora import BLOCK, FILES, HERE, TEXT, UNET, pair, pipeline
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
PROMPTS, SEEDS, ALPHA = ["a red circle", "two blue squares above a green star"], [5, 77], 1.5


def kohya(model, modules, prefix, strength):
    """One alpha for all: diffusers mixes differing ones up."""
    tensors = {}
    for i, (name, written) in enumerate(modules.items()):
        flat = prefix + written.replace(".", "_")
        down, up = pair(model.get_submodule(name).weight, 1 + i % 3)
        tensors[flat + ".lora_down.weight"], tensors[flat + ".lora_up.weight"] = down, strength * up
        tensors[flat + ".alpha"] = torch.tensor(ALPHA)
    return tensors


def text_modules(tower):
    found = {}
    for name in TEXT:
        inner = name if hasattr(tower, "encoder") else "text_model." + name
        found[inner] = "text_model." + name
    return found


def images(pipe, steps, guidance):
    pipe.set_progress_bar_config(disable=True)
    return pipe(PROMPTS, num_inference_steps=steps, guidance_scale=guidance, height=16, width=16, output_type="pt",
                generator=[torch.Generator().manual_seed(seed) for seed in SEEDS]).images.contiguous()


def record(results, case, pipe, tensors, steps, guidance):
    path = FILES / f"{case}.safetensors"
    save_file(tensors, path)
    results[case + ".base"] = images(pipe, steps, guidance)
    pipe.load_lora_weights(FILES, weight_name=path.name)
    results[case + ".images"] = images(pipe, steps, guidance)
    change = (results[case + ".images"] - results[case + ".base"]).abs().mean()
    print(f"{case}: the LoRA changes the images by {change:.3f} on average")


def main():
    torch.manual_seed(4)
    results = {}
    xl = diffusers.StableDiffusionXLPipeline.from_pretrained(HERE / "families" / "sdxl", torch_dtype=torch.float32,
                                                             add_watermarker=False)
    layers = {name: written for name, written in UNET.items() if xl_has(xl.unet, name)}
    assert BLOCK + "attn2.to_k" in layers
    tensors = {**kohya(xl.unet, layers, "lora_unet_", 0.1),
               **kohya(xl.text_encoder, text_modules(xl.text_encoder), "lora_te1_", 0.1),
               **kohya(xl.text_encoder_2, text_modules(xl.text_encoder_2), "lora_te2_", 0.1)}
    record(results, "sdxl", xl, tensors, 4, 5.0)
    sd = pipeline()
    sd.scheduler = diffusers.LCMScheduler.from_config(sd.scheduler.config)
    record(results, "lcm", sd, kohya(sd.unet, {name: name for name in UNET}, "lora_unet_", 0.1), 4, 1.0)
    save_file(results, HERE / "lora_images.safetensors")


def xl_has(unet, name):
    try:
        return unet.get_submodule(name) is not None
    except AttributeError:
        return False


if __name__ == "__main__":
    main()
