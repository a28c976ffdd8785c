"""Tiny SD3Transformer2DModels with random weights, their outputs and gradients, for
tests/diffusion/networks/mmdit/mmdit_test.cpp.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make/make_mmdit.py
Writes tests/golden/mmdit_<kind>/{config.json, diffusion_pytorch_model.safetensors} and mmdit_<kind>.safetensors.
"""

import pathlib

import torch
from diffusers import SD3Transformer2DModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
COMMON = dict(sample_size=16, num_layers=3, attention_head_dim=4, num_attention_heads=2, caption_projection_dim=8,
              joint_attention_dim=6, pooled_projection_dim=5, pos_embed_max_size=12)
KINDS = {
    # SD3 medium's form, of four latent channels.
    "sd3": dict(in_channels=4, out_channels=4),
    # SD3.5 medium's: normalised queries and keys, a second attention in the first layers.
    "sd35": dict(qk_norm="rms_norm", dual_attention_layers=(0, 1)),
    # Other heads, patches of one latent, more channels in than out.
    "odd": dict(qk_norm="rms_norm", patch_size=1, in_channels=6, out_channels=3, num_layers=1, attention_head_dim=8,
                num_attention_heads=1, dual_attention_layers=(0,)),
}


def main():
    for seed, (kind, options) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        network = SD3Transformer2DModel(**{**COMMON, **options}).eval()
        for name, parameter in network.named_parameters():
            if "norm_" in name:  # PyTorch's ones would hide a swap
                parameter.data += 0.3 * torch.randn_like(parameter)
        tensors = {}
        for case, (rows, columns) in enumerate([(6, 10), (12, 4)]):  # neither is square
            x = torch.randn(2, network.config.in_channels, rows, columns, requires_grad=True)
            t = torch.tensor([1000.0, 601.5])
            hidden = torch.randn(2, 5, 6, requires_grad=True)
            pooled = torch.randn(2, 5, requires_grad=True)
            weights = torch.randn(2, network.config.out_channels, rows, columns)
            network.zero_grad()
            out = network(x, hidden, pooled, t).sample
            (out * weights).sum().backward()
            tensors.update({f"{case}.x": x.detach(), f"{case}.t": t, f"{case}.hidden": hidden.detach(),
                            f"{case}.pooled": pooled.detach(), f"{case}.out": out.detach(),
                            f"{case}.loss_weights": weights, f"{case}.grad_x": x.grad,
                            f"{case}.grad_hidden": hidden.grad, f"{case}.grad_pooled": pooled.grad})
        # of the last case
        tensors.update({f"grad.{name}": parameter.grad for name, parameter in network.named_parameters()})
        network.save_pretrained(HERE / f"mmdit_{kind}")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / f"mmdit_{kind}.safetensors")


if __name__ == "__main__":
    main()
