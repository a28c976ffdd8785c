"""Transformers of flow matching at full size, with random weights, as diffusers computes them: one step's passes of the network.
peers and gpu time it. `options`: shape, resolution (0: 1024), device, precision, compiled."""
import torch

from python_side import DTYPES, weights_mb

SD3 = {"sample_size": 128, "attention_head_dim": 64, "joint_attention_dim": 4096, "pooled_projection_dim": 2048, "out_channels": 16, "qk_norm": "rms_norm"}
SD3_SIZES = {"sd35m": {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 384,
                       "dual_attention_layers": tuple(range(13))},
             "sd35l": {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "pos_embed_max_size": 192}}


def numbers(options, *shape):
    return torch.randn(*shape, dtype=DTYPES[options.precision], device=options.device)


def sd3(options, side):
    """Stable Diffusion 3.5: a guided step of an image, so a batch of two. -> network, its inputs"""
    from diffusers import SD3Transformer2DModel
    network = SD3Transformer2DModel(**SD3, **SD3_SIZES[options.shape])
    return network, {"hidden_states": numbers(options, 2, 16, side, side), "encoder_hidden_states": numbers(options, 2, 333, 4096),
                     "pooled_projections": numbers(options, 2, 2048), "timestep": torch.full((2,), 500, device=options.device)}


def flux(options, side):
    """FLUX.1 dev, which is told its guidance: one image. -> network, its inputs"""
    from diffusers import FluxTransformer2DModel
    tokens = (side // 2) ** 2
    network = FluxTransformer2DModel(guidance_embeds=True)
    one = torch.ones(1, device=options.device, dtype=DTYPES[options.precision])
    return network, {"hidden_states": numbers(options, 1, tokens, 64), "encoder_hidden_states": numbers(options, 1, 512, 4096), "pooled_projections": numbers(options, 1, 768),
                     "timestep": one / 2, "guidance": 3.5 * one, "img_ids": numbers(options, tokens, 3), "txt_ids": numbers(options, 512, 3)}


def transformer(options):
    """-> a run, the weights in MB. The network is made in its precision on its device: its fp32 twin may not fit."""
    torch.manual_seed(1)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[options.precision])
    try:
        with torch.device(options.device):
            network, inputs = (flux if options.shape == "flux" else sd3)(options, (options.resolution or 1024) // 8)
    finally:
        torch.set_default_dtype(usual)
    network.requires_grad_(False).eval()
    if options.compiled:
        network.compile()

    def run():
        with torch.no_grad():
            network(**inputs)
    return run, weights_mb(network)


def transformer_work(options):
    return transformer(options)[0]
