"""Full-size networks with random weights, as diffusers and peft compute them: a guided step of a network, a decode of the VAE,
one optimiser step of PRDP. `options`: shape, resolution, threads, precision, compiled, update_steps.

The update (Deng et al. 2024) is laurel's own algorithm: the loss's weights first, then one step's graph at a time, gradient
checkpointing on, a rank-8 LoRA on to_q, to_k, to_v and to_out.0. Networks that are not trained have weights of the precision.
"""
import argparse
import contextlib
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from python_side import DTYPES, adapters, weights_mb  # noqa: E402

HEADS = {"sd15": {"attention_head_dim": 8, "cross_attention_dim": 768},
         "sd21": {"attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True},
         "sdxl": {"attention_head_dim": (5, 10, 20), "cross_attention_dim": 2048, "use_linear_projection": True, "block_out_channels": (320, 640, 1280),
                  "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                  "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 2, 10),
                  "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816}}


def compiled(options, network):
    if options.compiled:
        network.compile()
    return network


def unet(options):
    from diffusers import UNet2DConditionModel
    torch.manual_seed(1)
    return UNet2DConditionModel(sample_size=options.resolution // 8, **HEADS[options.shape]).requires_grad_(False).eval()


def unet_inputs(options, network):
    """-> latents and text of a guided image, and what SDXL reads beside them."""
    dtype, side, pixels = next(network.parameters()).dtype, options.resolution // 8, options.resolution
    added = {} if options.shape != "sdxl" else {"text_embeds": torch.randn(2, 1280, dtype=dtype), "time_ids": torch.tensor([[pixels, pixels, 0, 0, pixels, pixels]] * 2, dtype=dtype)}
    return torch.randn(2, 4, side, side, dtype=dtype), torch.randn(2, 77, network.config.cross_attention_dim, dtype=dtype), added


def unet_work(options):
    network = unet(options).to(DTYPES[options.precision])
    x, context, added = unet_inputs(options, network)
    compiled(options, network)

    def run():
        with torch.no_grad():
            network(x, 500, context, added_cond_kwargs=added)
    return run, weights_mb(network)


def vae(options):
    from diffusers import AutoencoderKL
    torch.manual_seed(1)
    return AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                         latent_channels=4, sample_size=512).requires_grad_(False).eval()


def vae_work(options):
    network = vae(options).to(DTYPES[options.precision])
    latents = torch.randn(1, 4, options.resolution // 8, options.resolution // 8, dtype=DTYPES[options.precision])
    compiled(options, network.decoder)

    def run():
        with torch.no_grad():
            network.decode(latents / 0.18215)
    return run, weights_mb(network)


def transformer_work(options):
    import flow_networks
    return flow_networks.transformer(argparse.Namespace(**{**vars(options), "device": "cpu"}))


def prdp_work(options):
    """A pair of one prompt, log-ratios stored as 0."""
    network, side, steps, sigma = unet(options), options.resolution // 8, options.update_steps, 0.1
    weights = weights_mb(network)
    params = adapters(network)
    network.enable_gradient_checkpointing()
    network.train()
    optimiser = torch.optim.AdamW(params, lr=1e-6)
    latents = torch.randn(2, steps + 1, 4, side, side)
    reference = latents[:, 1:] + sigma * torch.randn(2, steps, 4, side, side)
    _, context, added = unet_inputs(options, network)
    rewards = torch.tensor([0.0, 1.0], dtype=torch.float64)
    mixed = torch.autocast("cpu", torch.bfloat16) if options.precision == "bf16" else contextlib.nullcontext()

    def log_ratio(row, k):
        x, following, mean_reference = latents[row:row + 1, k], latents[row:row + 1, k + 1], reference[row:row + 1, k]
        with mixed:
            uncond, cond = network(torch.cat([x, x]), 951 - 50 * (k % 20), context, added_cond_kwargs=added).sample.float().chunk(2)
        mean = 0.9 * x + 0.1 * (uncond + 5.0 * (cond - uncond))
        return ((mean - mean_reference).double() * (2 * following - mean - mean_reference).double()).sum() / (2 * sigma ** 2)

    def run():
        leaf = torch.zeros(2, steps, dtype=torch.float64, requires_grad=True)
        u = leaf.sum(1)
        error = (u[1] - u[0]) - (rewards[1] - rewards[0])
        row_weights = torch.autograd.grad(error.square(), leaf)[0]
        for row in range(2):
            for k in range(steps):
                (log_ratio(row, k) * row_weights[row, k]).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return run, weights


WORKS = {"unet": unet_work, "vae": vae_work, "transformer": transformer_work, "prdp": prdp_work}
