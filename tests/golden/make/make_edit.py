"""The published reward branch (Gu et al. 2024, "Multi-Reward as condition") on diffusers' UNet, with random weights, for
tests/diffusion/networks/unet/reward_conditioning_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_edit.py
Writes tests/golden/edit_published.safetensors: the UNet's weights under the released checkpoint's names ("unet.*"), inputs
(x, t, context, scores, text) and the output. The cross-attention is transformers' BERT layer, whose names the checkpoint has.
"""

import pathlib

import diffusers
import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from safetensors.torch import save_file
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertOutput, BertSelfOutput

HERE = pathlib.Path(__file__).resolve().parents[1]
WIDTH, TEXT, WAVES, AXES = 8, 8, 6, 3


class CrossAttention(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.query, self.key, self.value = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.heads = config.num_attention_heads

    def forward(self, x, context):
        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(context)), split(self.value(context))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Branch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        config = BertConfig(hidden_size=WIDTH, num_attention_heads=8, intermediate_size=WIDTH, layer_norm_eps=1e-12)
        self.add_time_proj = Timesteps(WAVES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.add_embedding = TimestepEmbedding(AXES * WAVES, 4 * WIDTH)
        self.add_embedding2 = TimestepEmbedding(AXES * WAVES, WIDTH)
        self.text_linear, self.text_linear2 = torch.nn.Linear(TEXT, WIDTH), torch.nn.Linear(TEXT, 4 * WIDTH)
        attention = torch.nn.Module()
        attention.add_module("self", CrossAttention(config))
        attention.output = BertSelfOutput(config)
        self.ca = torch.nn.Module()
        self.ca.attention = attention
        self.ca.hidden_intermediate = torch.nn.Module()
        self.ca.hidden_intermediate.dense = torch.nn.Linear(WIDTH, WIDTH)
        self.ca.output = BertOutput(config)
        self.proj_deal = torch.nn.Module()
        self.proj_deal.norm = torch.nn.GroupNorm(4, WIDTH, eps=1e-6)
        self.proj_deal.proj_in = torch.nn.Conv2d(WIDTH, WIDTH, 1)
        self.proj_deal.proj_out = torch.nn.Conv2d(WIDTH, WIDTH, 1)

    def waves(self, scores):
        return self.add_time_proj(scores.flatten()).view(len(scores), -1)

    def time(self, scores, text):
        return self.add_embedding(self.waves(scores)) + self.text_linear2(text)

    def attend(self, h, scores, text):
        tokens = torch.stack([self.add_embedding2(self.waves(scores)), self.text_linear(text)], 1)
        query = self.proj_deal.proj_in(self.proj_deal.norm(h)).flatten(2).transpose(1, 2)
        mixed = self.ca.attention.output(getattr(self.ca.attention, "self")(query, tokens), query)
        inner = torch.nn.functional.gelu(self.ca.hidden_intermediate.dense(mixed))
        return h + self.proj_deal.proj_out(self.ca.output(inner, mixed).transpose(1, 2).reshape(h.shape))


class AddedTo(torch.nn.Module):
    """A layer of the UNet, with something done to what it returns."""

    def __init__(self, layer, after):
        super().__init__()
        self.layer, self.after = layer, after

    def forward(self, *arguments):
        return self.after(self.layer(*arguments))


def main():
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=8, out_channels=4, layers_per_block=1, norm_num_groups=4, cross_attention_dim=TEXT,
        block_out_channels=(WIDTH, 2 * WIDTH), attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D")).eval()
    branch = Branch().eval()
    with torch.no_grad():  # rounded to fp16 on both sides
        for parameter in [*unet.parameters(), *branch.parameters()]:
            parameter.copy_(parameter.half().float())
    weights = {"unet." + name: value.clone() for name, value in [*unet.state_dict().items(), *branch.state_dict().items()]}
    x, t, context = torch.randn(2, 8, 8, 8), torch.tensor([301, 17]), torch.randn(2, 3, TEXT)
    scores, text = torch.tensor([[5.0, 0.0, 2.5], [1.0, 4.0, 3.0]]), torch.randn(2, TEXT)
    unet.time_embedding = AddedTo(unet.time_embedding, lambda e: e + branch.time(scores, text))
    unet.conv_in = AddedTo(unet.conv_in, lambda h: branch.attend(h, scores, text))
    with torch.no_grad():
        output = unet(x, t, context).sample
    save_file({**{name: value.half() for name, value in weights.items()}, "x": x, "t": t, "context": context, "scores": scores,
               "text": text, "output": output}, HERE / "edit_published.safetensors")


if __name__ == "__main__":
    main()
