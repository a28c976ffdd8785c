"""Names and shapes of the released UNets' tensors, from diffusers on the meta device (no weights are needed), for
tests/diffusion/networks/unet/config_test.cpp.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make/make_unet_tables.py
Writes tests/golden/unet_tables.json: for each model its config, the number of tensors and of parameters, the SHA-256
of the lines "<name> <sizes with x between>" in the order of the names, and every 97th line to look at.
"""

import hashlib
import json
import pathlib

import torch
from diffusers import UNet2DConditionModel

HERE = pathlib.Path(__file__).resolve().parents[1]
ATTENTION_BUT_LAST = dict(
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    block_out_channels=[320, 640, 1280, 1280],
    layers_per_block=2,
)
SD15 = dict(ATTENTION_BUT_LAST, sample_size=64, attention_head_dim=8, cross_attention_dim=768)
# The configs of the released files: stable-diffusion-v1-5, stable-diffusion-2-1, stable-diffusion-xl-base-1.0,
# LCM_Dreamshaper_v7, instruct-pix2pix.
MODELS = {
    "sd15": SD15,
    "sd21": dict(ATTENTION_BUT_LAST, sample_size=96, attention_head_dim=[5, 10, 20, 20], cross_attention_dim=1024,
                 use_linear_projection=True, upcast_attention=True),
    "sdxl": dict(sample_size=128, attention_head_dim=[5, 10, 20], block_out_channels=[320, 640, 1280],
                 down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                 up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], layers_per_block=2,
                 transformer_layers_per_block=[1, 2, 10], cross_attention_dim=2048, use_linear_projection=True,
                 addition_embed_type="text_time", addition_time_embed_dim=256,
                 projection_class_embeddings_input_dim=2816),
    "lcm": dict(SD15, time_cond_proj_dim=256),
    "ip2p": dict(SD15, in_channels=8),
}


def main():
    tables = {}
    for name, options in MODELS.items():
        with torch.device("meta"):
            unet = UNet2DConditionModel(**options)
        shapes = {key: list(value.shape) for key, value in unet.state_dict().items()}
        lines = [f"{key} {'x'.join(map(str, shapes[key]))}" for key in sorted(shapes)]
        config = {key: value for key, value in unet.config.items() if key != "_use_default_values"}
        tables[name] = dict(
            config=dict(config, _class_name="UNet2DConditionModel"),
            tensors=len(lines),
            parameters=sum(value.numel() for value in unet.state_dict().values()),
            sha256=hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest(),
            some=lines[::97],
        )
        print(name, tables[name]["tensors"], tables[name]["parameters"])
    (HERE / "unet_tables.json").write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
