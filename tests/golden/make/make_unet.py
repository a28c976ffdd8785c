"""Tiny UNet2DConditionModels with random weights and their outputs, for tests/diffusion/networks/unet/unet_test.cpp.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make/make_unet.py
Writes tests/golden/unet_<kind>/{config.json, diffusion_pytorch_model.safetensors} and unet_<kind>.safetensors.
"""

import pathlib

import torch
from diffusers import LatentConsistencyModelPipeline, UNet2DConditionModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
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
    # SDXL's: added conditions, more transformer layers further down, no attention in the finest level.
    "sdxl": dict(
        block_out_channels=(4, 8),
        attention_head_dim=(1, 2),
        transformer_layers_per_block=[1, 2],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 + 6 * 4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ),
    # An LCM's: the guidance scale is an input.
    "lcm": dict(
        block_out_channels=(8, 8),
        attention_head_dim=2,
        time_cond_proj_dim=12,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ),
    # InstructPix2Pix's: the latent of the source image in the last four channels.
    "ip2p": dict(
        block_out_channels=(4, 8),
        in_channels=8,
        attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ),
}


def added_conditions(config):
    """Inputs beside the text, as unet's arguments and as tensors of the file."""
    if config.addition_embed_type == "text_time":
        pooled = torch.randn(2, config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim)
        sizes = torch.tensor([[512, 768, 0, 16, 1024, 1024], [64, 64, 8, 0, 64, 96]], dtype=torch.float32)
        tensors = dict(text_embeds=pooled, time_ids=sizes)
        return dict(added_cond_kwargs=tensors), tensors
    if config.time_cond_proj_dim is not None:
        w = torch.tensor([0.0, 7.0])
        embedding = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
            None, w, embedding_dim=config.time_cond_proj_dim)
        return dict(timestep_cond=embedding), dict(timestep_cond=embedding, w=w)
    return {}, {}


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
        arguments, tensors = added_conditions(unet.config)
        out = unet(x, t, context, **arguments).sample
        (out * weights).sum().backward()
        unet.save_pretrained(HERE / f"unet_{kind}")
        conv = unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight
        save_file(
            {
                **tensors,
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
