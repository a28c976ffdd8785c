"""Images that Python's diffusers samples from an embedded model, for tests/finetune/pretrain/tiny_world_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:
  python tests/golden/make/make_tiny_world.py                                     # models/tiny-world
  python tests/golden/make/make_tiny_world.py models/tiny-world-flow tests/golden/tiny_world_flow.safetensors 10 1
Writes tests/golden/tiny_world.safetensors: each image alone in its batch, weights in fp32, one CPU generator an image.
Arguments: checkpoint, file, steps, guidance.
"""

import json
import pathlib
import sys

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
PROMPTS = ["a large red circle", "a small blue square to the left of a green triangle", ""]
SEED = 0


def main():
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "models" / "tiny-world"
    out = sys.argv[2] if len(sys.argv) > 2 else HERE / "tiny_world.safetensors"
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 25
    guidance = float(sys.argv[4]) if len(sys.argv) > 4 else 4.0
    index = json.loads((pathlib.Path(checkpoint) / "model_index.json").read_text())
    t5_rows = {"max_sequence_length": index["_max_sequence_length"]} if "_max_sequence_length" in index else {}
    absent = {part: None for part in ("text_encoder_3", "tokenizer_3") if index.get(part) == [None, None]}
    pipeline = DiffusionPipeline.from_pretrained(checkpoint, torch_dtype=torch.float32, **absent)
    pipeline.set_progress_bar_config(disable=True)
    images = [
        pipeline(
            prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(SEED + i),
            output_type="pt",
            **t5_rows,
        ).images[0]
        for i, prompt in enumerate(PROMPTS)
    ]
    save_file(
        {"images": torch.stack(images).contiguous()},
        out,
        {"prompts": "\n".join(PROMPTS), "steps": str(steps), "guidance": str(guidance), "seed": str(SEED)},
    )


if __name__ == "__main__":
    main()
