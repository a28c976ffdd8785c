"""Tiny FluxTransformer2DModels with random weights, their outputs and gradients, for
tests/diffusion/networks/flux/flux_test.cpp.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make/make_flux_network.py
Writes tests/golden/flux_<kind>/{config.json, diffusion_pytorch_model.safetensors} and flux_<kind>.safetensors.
"""

import pathlib

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
COMMON = dict(in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=8, num_attention_heads=2,
              joint_attention_dim=6, pooled_projection_dim=5, axes_dims_rope=(2, 2, 4))
KINDS = {
    "dev": dict(guidance_embeds=True),
    "schnell": {},
    # Other heads and axes, fewer channels out than in.
    "odd": dict(in_channels=24, out_channels=8, num_layers=1, num_single_layers=3, attention_head_dim=12,
                num_attention_heads=1, axes_dims_rope=(4, 6, 2), guidance_embeds=True),
}


def pack(x):
    batch, channels, rows, columns = x.shape
    x = x.view(batch, channels, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(batch, rows * columns // 4, 4 * channels)


def unpack(x, rows, columns):
    batch, _, channels = x.shape
    x = x.view(batch, rows // 2, columns // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(batch, channels // 4, rows, columns)


def image_ids(rows, columns):
    ids = torch.zeros(rows // 2, columns // 2, 3)
    ids[..., 1] += torch.arange(rows // 2)[:, None]
    ids[..., 2] += torch.arange(columns // 2)[None, :]
    return ids.reshape(-1, 3)


def main():
    for seed, (kind, options) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        network = FluxTransformer2DModel(**{**COMMON, **options}).eval()
        for name, parameter in network.named_parameters():
            if "norm_" in name:  # PyTorch's ones would hide a swap
                parameter.data += 0.3 * torch.randn_like(parameter)
        outputs = network.config.out_channels or network.config.in_channels
        tensors = {}
        for case, (rows, columns, guidance) in enumerate([(6, 10, 3.5), (12, 4, 1.25)]):  # neither is square
            x = torch.randn(2, network.config.in_channels // 4, rows, columns, requires_grad=True)
            t = torch.tensor([1000.0, 601.5])
            hidden = torch.randn(2, 5, 6, requires_grad=True)
            pooled = torch.randn(2, 5, requires_grad=True)
            weights = torch.randn(2, outputs // 4, rows, columns)
            told = torch.full([2], guidance) if network.config.guidance_embeds else None
            network.zero_grad()
            out = network(pack(x), hidden, pooled, t / 1000, image_ids(rows, columns), torch.zeros(5, 3), told).sample
            out = unpack(out, rows, columns)
            (out * weights).sum().backward()
            tensors.update({f"{case}.x": x.detach(), f"{case}.t": t, f"{case}.hidden": hidden.detach(),
                            f"{case}.pooled": pooled.detach(), f"{case}.out": out.detach(),
                            f"{case}.guidance": torch.tensor(guidance), f"{case}.loss_weights": weights,
                            f"{case}.grad_x": x.grad, f"{case}.grad_hidden": hidden.grad,
                            f"{case}.grad_pooled": pooled.grad})
        # of the last case
        tensors.update({f"grad.{name}": parameter.grad for name, parameter in network.named_parameters()})
        network.save_pretrained(HERE / f"flux_{kind}")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / f"flux_{kind}.safetensors")


if __name__ == "__main__":
    main()
