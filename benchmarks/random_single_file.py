"""A full-size Stable Diffusion 1.5 checkpoint of random weights in one file, with the original names: for measuring how
laurel loads it.   python benchmarks/random_single_file.py OUT.safetensors [F32|F16]

Needs diffusers and transformers (for the shapes); writes 4.3 GB (F32).
"""

import json
import pathlib
import struct
import sys

import diffusers
import numpy
import torch
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "golden"))
import make_single_file as names  # noqa: E402


def shapes():
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(
            cross_attention_dim=768, attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4)
        text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072,
                                            num_hidden_layers=12, num_attention_heads=12))

    class Pipe:
        pass

    Pipe.unet, Pipe.vae = unet, vae
    state = names.original(Pipe, names.prefixed("cond_stage_model.transformer.", names.clip(text.state_dict())))
    state.pop("betas")
    return {name: list(value.shape) for name, value in state.items()}


def main():
    path, kind = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "F32"
    dtype = {"F32": numpy.float32, "F16": numpy.float16}[kind]
    header, offset = {}, 0
    for name, shape in sorted(shapes().items()):
        size = int(numpy.prod(shape)) * dtype().itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = (numpy.random.default_rng(0).standard_normal(1 << 24) * 0.02).astype(dtype).tobytes()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        while offset > 0:
            out.write(block[:offset])
            offset -= len(block)


if __name__ == "__main__":
    main()
