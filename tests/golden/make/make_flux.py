"""Tiny random pipelines of FLUX.1 dev and schnell, the text that diffusers makes of prompts and the images that it samples,
for tests/diffusion/pipeline/flux_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_flux.py
Writes tests/golden/flux/<kind>/ (diffusers' layout, fp16; the transformer of schnell in two shards), flux/single_file/
model.safetensors (of dev, with Black Forest Labs' names, turned round here: diffusers' converter knows the width of the
released networks alone), flux.json (cases) and flux.safetensors: <i>.images [2, 3, H, W] in [0, 1], and the text of PROMPTS
as <i>.{hidden, pooled}.
"""

import json
import pathlib
import shutil
import warnings

import diffusers
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel

from make_sample import PROMPTS, SEEDS, write_tokenizer
from make_sd3 import t5_tokenizer
from make_single_file import vae_original

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parents[1]
OUT = HERE / "flux"
TRANSFORMER = dict(num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2, in_channels=64,
                   joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 6, 6))
KINDS = {"dev": True, "schnell": False}  # guidance_embeds


def parts(folder, guidance):
    ids = write_tokenizer(folder / "tokenizer")
    tokenizer_2, words = t5_tokenizer(folder / "tokenizer_2")
    dynamic = dict(use_dynamic_shifting=True, shift=3.0) if guidance else dict(shift=1.0)
    return dict(
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=tokenizer_2,
        text_encoder=CLIPTextModel(CLIPTextConfig(
            vocab_size=len(ids), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=32, bos_token_id=ids["<|startoftext|>"], eos_token_id=ids["<|endoftext|>"],
            pad_token_id=1)),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=words + 3, d_model=32, d_kv=6, d_ff=40, num_layers=2,
                                               num_heads=3, feed_forward_proj="gated-gelu")),
        transformer=diffusers.FluxTransformer2DModel(guidance_embeds=guidance, **TRANSFORMER),
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=16, sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**dynamic))


def make_pipeline(kind, seed):
    torch.manual_seed(seed)
    folder = OUT / kind
    shutil.rmtree(folder, ignore_errors=True)
    made = parts(folder, KINDS[kind])
    with torch.no_grad():  # random networks answer too faintly to tell right from wrong
        for part in ("text_encoder", "text_encoder_2", "transformer"):
            for parameter in made[part].parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        made["transformer"].proj_out.weight *= 3
        made["vae"].decoder.conv_out.weight *= 2
    for part in ("vae", "text_encoder", "text_encoder_2", "transformer"):  # fp16 on both sides
        shards = dict(max_shard_size="150KB") if part == "transformer" and kind == "schnell" else {}
        made[part].eval().half().save_pretrained(folder / part, **shards)
        made[part].float()
    made["scheduler"].save_pretrained(folder / "scheduler")
    pipe = diffusers.FluxPipeline(**made)
    pipe.set_progress_bar_config(disable=True)
    index = {key: value for key, value in pipe.config.items() if not key.startswith("_")}
    index = {"_class_name": "FluxPipeline", "_diffusers_version": "0.42.1", **index}
    (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    return pipe


DOUBLE = {"norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin", "attn.to_out.0": "img_attn.proj",
          "attn.to_add_out": "txt_attn.proj", "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2",
          "ff_context.net.0.proj": "txt_mlp.0", "ff_context.net.2": "txt_mlp.2"}
DOUBLE_NORMS = {"attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm",
                "attn.norm_added_q": "txt_attn.norm.query_norm", "attn.norm_added_k": "txt_attn.norm.key_norm"}
SINGLE = {"norm.linear": "modulation.lin", "proj_out": "linear2"}
TOP = {"x_embedder": "img_in", "context_embedder": "txt_in",
       **{f"time_text_embed.{ours}.linear_{i}": f"{theirs}.{'in' if i == 1 else 'out'}_layer"
          for ours, theirs in (("timestep_embedder", "time_in"), ("guidance_embedder", "guidance_in"),
                               ("text_embedder", "vector_in")) for i in (1, 2)},
       "norm_out.linear": "final_layer.adaLN_modulation.1", "proj_out": "final_layer.linear"}


def transformer_original(state):
    """diffusers' names in Black Forest Labs'."""
    joined = lambda before, names, end: torch.cat([state[f"{before}{name}.{end}"] for name in names])
    out = {}
    for end in ("weight", "bias"):
        for ours, theirs in TOP.items():
            value = state[f"{ours}.{end}"]
            out[f"{theirs}.{end}"] = torch.cat(value.chunk(2)[::-1]) if ours == "norm_out.linear" else value
        for i in range(TRANSFORMER["num_layers"]):
            before, after = f"transformer_blocks.{i}.", f"double_blocks.{i}."
            out.update({f"{after}{theirs}.{end}": state[f"{before}{ours}.{end}"] for ours, theirs in DOUBLE.items()})
            out[f"{after}img_attn.qkv.{end}"] = joined(before, ("attn.to_q", "attn.to_k", "attn.to_v"), end)
            out[f"{after}txt_attn.qkv.{end}"] = joined(before, [f"attn.add_{x}_proj" for x in "qkv"], end)
        for i in range(TRANSFORMER["num_single_layers"]):
            before, after = f"single_transformer_blocks.{i}.", f"single_blocks.{i}."
            out.update({f"{after}{theirs}.{end}": state[f"{before}{ours}.{end}"] for ours, theirs in SINGLE.items()})
            out[f"{after}linear1.{end}"] = joined(before, ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), end)
    for i in range(TRANSFORMER["num_layers"]):
        out.update({f"double_blocks.{i}.{theirs}.scale": state[f"transformer_blocks.{i}.{ours}.weight"]
                    for ours, theirs in DOUBLE_NORMS.items()})
    for i in range(TRANSFORMER["num_single_layers"]):
        out.update({f"single_blocks.{i}.norm.{x}_norm.scale": state[f"single_transformer_blocks.{i}.attn.norm_{x[0]}.weight"]
                    for x in ("query", "key")})
    return out


def write_single_file(kind):
    folder, out = OUT / kind, OUT / "single_file"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    state = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    file = {f"model.diffusion_model.{name}": value for name, value in transformer_original(state).items()}
    assert sum(value.numel() for value in file.values()) == sum(value.numel() for value in state.values())
    for name, value in load_file(folder / "vae/diffusion_pytorch_model.safetensors").items():
        shape = value.shape + (1, 1) if ".attentions." in name and value.dim() == 2 else value.shape
        file["vae." + vae_original(name, 2)] = value.reshape(shape)
    for part, prefix in (("text_encoder", "clip_l"), ("text_encoder_2", "t5xxl")):
        for name, value in load_file(folder / part / "model.safetensors").items():
            own = f"text_model.{name}" if part == "text_encoder" and not name.startswith("text_model.") else name
            file[f"text_encoders.{prefix}.transformer.{own}"] = value
    save_file({name: value.contiguous().clone() for name, value in file.items()}, out / "model.safetensors")
    settings = {"vae": {"norm_num_groups": 4}, "text_encoder": {"num_attention_heads": 2}}
    (out / "model.json").write_text(json.dumps(settings) + "\n")


def cases():
    usual = dict(steps=4, guidance=3.5, scale=1.0, negative="", height=16, width=16, tokens=20)
    yield dict(usual, kind="dev")
    yield dict(usual, kind="dev", guidance=1.5, width=24, steps=3, tokens=512)
    yield dict(usual, kind="dev", scale=4.0, negative="a blurry star", height=32)
    yield dict(usual, kind="dev", steps=1)
    yield dict(usual, kind="schnell", tokens=256)
    yield dict(usual, kind="schnell", height=24, steps=2)


def run(pipe, case):
    hidden, pooled, _ = pipe.encode_prompt(PROMPTS, None, max_sequence_length=case["tokens"])
    images = pipe(PROMPTS, negative_prompt=[case["negative"]] * 2 if case["scale"] > 1 else None,
                  true_cfg_scale=case["scale"], num_inference_steps=case["steps"], guidance_scale=case["guidance"],
                  height=case["height"], width=case["width"], max_sequence_length=case["tokens"],
                  generator=[torch.Generator().manual_seed(s) for s in SEEDS], output_type="pt").images
    return dict(hidden=hidden, pooled=pooled, images=images)


@torch.no_grad()
def main():
    pipes = {kind: make_pipeline(kind, seed) for seed, kind in enumerate(KINDS)}
    write_single_file("dev")
    rows, tensors = [], {}
    for case in cases():
        out = run(pipes[case["kind"]], case)
        images = out["images"]
        print(f"{case['kind']:8} mean {images.mean():.3f} std {images.std():.3f} "
              f"at the ends {((images == 0) | (images == 1)).float().mean():.3f}")
        tensors.update({f"{len(rows)}.{name}": value.contiguous() for name, value in out.items()})
        rows.append(case)
    save_file(tensors, HERE / "flux.safetensors")
    (HERE / "flux.json").write_text(json.dumps(dict(prompts=PROMPTS, seeds=SEEDS, cases=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
