"""Tiny UNet2DConditionModels with random weights and their outputs, for tests/diffusion_unet_test.cpp.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make_unet.py
Writes tests/golden/unet_<kind>/{config.json, diffusion_pytorch_model.safetensors} and unet_<kind>.safetensors.
"""

import pathlib

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
COMMON = dict(sample_size=8, layers_per_block=1, norm_num_groups=4, cross_attention_dim=8)
KINDS = {
    # SD1's form: convolutional projections, one number of heads, attention in all levels but the last.
    "sd1": dict(
        block_out_channels=(8, 16),
        attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ),
    # SD2's: linear projections and a list of heads; 8 channels in, as for editing.
    "sd2": dict(
        block_out_channels=(4, 8, 8),
        in_channels=8,
        attention_head_dim=(1, 2, 4),
        use_linear_projection=True,
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        flip_sin_to_cos=False,
        freq_shift=1,
    ),
}


def main():
    for seed, (kind, options) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(**{**COMMON, **options}).eval()
        for name, parameter in unet.named_parameters():
            if "norm" in name:  # PyTorch's ones and zeros would hide a swap
                parameter.data += 0.3 * torch.randn_like(parameter)
        # 6 x 7 does not halve evenly: the way up must take the size of the way down.
        x = torch.randn(2, unet.config.in_channels, 6, 7, requires_grad=True)
        t = torch.tensor([3, 871])
        context = torch.randn(2, 5, 8, requires_grad=True)
        weights = torch.randn(2, 4, 6, 7)
        out = unet(x, t, context).sample
        (out * weights).sum().backward()
        unet.save_pretrained(HERE / f"unet_{kind}")
        conv = unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight
        save_file(
            {
                "x": x.detach(),
                "t": t,
                "context": context.detach(),
                "out": out.detach(),
                "loss_weights": weights,
                "grad_x": x.grad,
                "grad_context": context.grad,
                "grad_to_k": conv.grad,
            },
            HERE / f"unet_{kind}.safetensors",
        )


if __name__ == "__main__":
    main()
