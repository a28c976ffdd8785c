"""Tiny AutoencoderKLs with random weights and their outputs, for tests/diffusion/networks/vae/vae_test.cpp.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make/make_vae.py
Writes tests/golden/vae_<kind>/{config.json, diffusion_pytorch_model.safetensors}, vae_<kind>.safetensors, and
vae_tiles.safetensors: images and latents in tiles of the "sd" one.
"""

import pathlib

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
KINDS = {
    # SD1's form: 1x1 convolutions around the latent, attention in the middle.
    "sd": dict(block_out_channels=(4, 8, 8), layers_per_block=2, norm_num_groups=2, latent_channels=4),
    # The later form: none of the three, more latent channels, a shifted latent.
    "later": dict(
        block_out_channels=(8, 4),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=6,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    ),
}


def tiles(vae):
    """Sides that do and do not divide into tiles of 16 pixels, that fit one tile, and that are narrower than one."""
    torch.manual_seed(7)
    vae.enable_tiling()
    assert vae.tile_sample_min_size == 16
    tensors = {}
    for i, (height, width) in enumerate([(28, 52), (40, 16), (16, 16), (64, 8), (20, 36)]):
        images = 2 * torch.rand(2, 3, height, width) - 1
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.mean).sample
        tensors |= {f"{i}.images": images, f"{i}.mean": posterior.mean, f"{i}.decoded": decoded}
    save_file({k: v.contiguous() for k, v in tensors.items()}, HERE / "vae_tiles.safetensors")


def main():
    for seed, (kind, options) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        levels = len(options["block_out_channels"])
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            sample_size=16,
            **options,
        ).eval()
        for name, parameter in vae.named_parameters():
            if "norm" in name:  # PyTorch's ones and zeros would hide a swap
                parameter.data += 0.3 * torch.randn_like(parameter)
        images = (2 * torch.rand(2, 3, 16, 24) - 1).requires_grad_(True)
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.mean).sample
        weights = torch.randn_like(decoded)
        (decoded * weights).sum().backward()
        vae.save_pretrained(HERE / f"vae_{kind}")
        save_file(
            {
                "images": images.detach(),
                "mean": posterior.mean.detach().contiguous(),
                "logvar": posterior.logvar.detach().contiguous(),
                "decoded": decoded.detach().contiguous(),
                "loss_weights": weights.contiguous(),
                "grad.images": images.grad.contiguous(),
                "grad.encoder.conv_in.weight": vae.encoder.conv_in.weight.grad.contiguous(),
                "grad.decoder.conv_in.bias": vae.decoder.conv_in.bias.grad,
            },
            HERE / f"vae_{kind}.safetensors",
        )
        if kind == "sd":
            with torch.no_grad():
                tiles(vae)


if __name__ == "__main__":
    main()
