"""Images that Python's diffusers samples from models/tiny-world, for tests/finetune/pretrain/tiny_world_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_tiny_world.py [CHECKPOINT [OUT]]
Writes tests/golden/tiny_world.safetensors: each image alone in its batch, weights in fp32, one CPU generator an image.
"""

import pathlib
import sys

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
PROMPTS = ["a large red circle", "a small blue square to the left of a green triangle", ""]
STEPS, GUIDANCE, SEED = 25, 4.0, 0


def main():
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "models" / "tiny-world"
    out = sys.argv[2] if len(sys.argv) > 2 else HERE / "tiny_world.safetensors"
    pipeline = StableDiffusionPipeline.from_pretrained(checkpoint, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    images = [
        pipeline(
            prompt,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED + i),
            output_type="pt",
        ).images[0]
        for i, prompt in enumerate(PROMPTS)
    ]
    save_file(
        {"images": torch.stack(images).contiguous()},
        out,
        {"prompts": "\n".join(PROMPTS), "steps": str(STEPS), "guidance": str(GUIDANCE), "seed": str(SEED)},
    )


if __name__ == "__main__":
    main()
