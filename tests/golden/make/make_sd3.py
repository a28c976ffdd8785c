"""Tiny random pipelines of Stable Diffusion 3 and 3.5, the text that diffusers makes of prompts and the images that it
samples, for tests/diffusion/pipeline/sd3_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_sd3.py
Writes tests/golden/sd3/<kind>/ (diffusers' layout, fp16), sd3/single_file/model.safetensors (of sd35, with the original
code's names, turned round here; diffusers' converter reads the transformer back), sd3.json (cases) and sd3.safetensors:
<i>.images [2, 3, H, W] in [0, 1], and the text of PROMPTS as <i>.{hidden, pooled, negative_hidden, negative_pooled}.
"""

import json
import pathlib
import shutil
import warnings

import diffusers
import torch
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer, PreTrainedTokenizerFast, T5Config,
                          T5EncoderModel)

from make_sample import PROMPTS, SEEDS, write_tokenizer
from make_single_file import vae_original

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parents[1]
OUT = HERE / "sd3"
TRANSFORMER = dict(sample_size=8, num_layers=3, attention_head_dim=8, num_attention_heads=2, caption_projection_dim=16,
                   joint_attention_dim=32, pooled_projection_dim=28, in_channels=16, out_channels=16,
                   pos_embed_max_size=8)
KINDS = {"sd3": {}, "sd35": dict(qk_norm="rms_norm", dual_attention_layers=(0, 1))}


def t5_tokenizer(folder):
    """A unigram tokenizer of letters and a few words, in the file that transformers writes for T5."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -3.0)]
    pieces += [(letter, -5.0 - 0.1 * i) for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")]
    pieces += [("\u2581" + word, -2.5) for word in ("a", "red", "blue", "square", "star", "two")] + [("s", -2.0)]
    vocabulary = list(dict(pieces).items())
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Metaspace("\u2581", "always")])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
                                   model_max_length=512)
    fast.save_pretrained(folder)
    return fast, len(vocabulary)


def clip(ids, hidden, heads, layers, act):
    return CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=len(ids), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=32, bos_token_id=ids["<|startoftext|>"],
        eos_token_id=ids["<|endoftext|>"], pad_token_id=1, projection_dim=hidden, hidden_act=act))


def parts(folder, options):
    ids = write_tokenizer(folder / "tokenizer")
    write_tokenizer(folder / "tokenizer_2")
    settings = folder / "tokenizer_2" / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"pad_token": "<|endoftext|>"', '"pad_token": "!"'))
    tokenizer_3, words = t5_tokenizer(folder / "tokenizer_3")
    return dict(
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        tokenizer_3=tokenizer_3,
        text_encoder=clip(ids, 16, 2, 2, "quick_gelu"),
        text_encoder_2=clip(ids, 12, 3, 3, "gelu"),
        text_encoder_3=T5EncoderModel(T5Config(vocab_size=words + 3, d_model=32, d_kv=6, d_ff=40, num_layers=2,
                                               num_heads=3, feed_forward_proj="gated-gelu")),
        transformer=diffusers.SD3Transformer2DModel(**{**TRANSFORMER, **options}),
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=16, sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))


def make_pipeline(kind, seed):
    torch.manual_seed(seed)
    folder = OUT / kind
    shutil.rmtree(folder, ignore_errors=True)
    made = parts(folder, KINDS[kind])
    with torch.no_grad():  # random networks answer too faintly to tell right from wrong
        made["text_encoder"].text_projection.weight.copy_(torch.eye(16))  # as in the released files
        for part in ("text_encoder", "text_encoder_2", "text_encoder_3", "transformer"):
            for name, parameter in made[part].named_parameters():
                if name != "text_projection.weight" or part != "text_encoder":
                    parameter += 0.1 * torch.randn_like(parameter)
        made["transformer"].proj_out.weight *= 3
        made["vae"].decoder.conv_out.weight *= 2
    for part in ("vae", "text_encoder", "text_encoder_2", "text_encoder_3", "transformer"):  # fp16 on both sides
        made[part].eval().half().save_pretrained(folder / part)
        made[part].float()
    made["scheduler"].save_pretrained(folder / "scheduler")
    pipe = diffusers.StableDiffusion3Pipeline(**made)
    pipe.set_progress_bar_config(disable=True)
    index = {key: value for key, value in pipe.config.items() if not key.startswith("_")}
    index = {"_class_name": "StableDiffusion3Pipeline", "_diffusers_version": "0.42.1", **index}
    (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    return pipe


BLOCK = {"norm1.linear": "x_block.adaLN_modulation.1", "norm1_context.linear": "context_block.adaLN_modulation.1",
         "attn.norm_q": "x_block.attn.ln_q", "attn.norm_k": "x_block.attn.ln_k",
         "attn.norm_added_q": "context_block.attn.ln_q", "attn.norm_added_k": "context_block.attn.ln_k",
         "attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj",
         "attn2.norm_q": "x_block.attn2.ln_q", "attn2.norm_k": "x_block.attn2.ln_k",
         "attn2.to_out.0": "x_block.attn2.proj", "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2",
         "ff_context.net.0.proj": "context_block.mlp.fc1", "ff_context.net.2": "context_block.mlp.fc2"}
FUSED = {"attn.to_": ("x_block.attn.qkv", "attn.to_{}"), "attn.add_": ("context_block.attn.qkv", "attn.add_{}_proj"),
         "attn2.to_": ("x_block.attn2.qkv", "attn2.to_{}")}
TOP = {"pos_embed.proj": "x_embedder.proj", "context_embedder": "context_embedder",
       "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
       "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
       "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
       "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
       "norm_out.linear": "final_layer.adaLN_modulation.1", "proj_out": "final_layer.linear"}


def transformer_original(state, layers):
    """diffusers' names in the original code's."""
    swap = lambda rows: torch.cat(rows.chunk(2)[::-1])
    out = {"pos_embed": state["pos_embed.pos_embed"]}
    for end in ("weight", "bias"):
        for ours, theirs in TOP.items():
            value = state[f"{ours}.{end}"]
            out[f"{theirs}.{end}"] = swap(value) if ours == "norm_out.linear" else value
        for i in range(layers):
            before, after = f"transformer_blocks.{i}.", f"joint_blocks.{i}."
            for ours, theirs in BLOCK.items():
                if f"{before}{ours}.{end}" not in state:
                    continue
                value = state[f"{before}{ours}.{end}"]
                last = i + 1 == layers and ours == "norm1_context.linear"
                out[f"{after}{theirs}.{end}"] = swap(value) if last else value
            for theirs, ours in FUSED.values():
                names = [f"{before}{ours.format(part)}.{end}" for part in "qkv"]
                if names[0] in state:
                    out[f"{after}{theirs}.{end}"] = torch.cat([state[name] for name in names])
    return out


def write_single_file(kind):
    from safetensors.torch import load_file
    folder, out = OUT / kind, OUT / "single_file"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    state = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    original = transformer_original(state, TRANSFORMER["num_layers"])
    back = convert_sd3_transformer_checkpoint_to_diffusers(dict(original))
    # diffusers' converter knows dual layers by the position tables of the released files alone.
    assert all(torch.equal(value, state[name]) for name, value in back.items() if name in state)
    file = {f"model.diffusion_model.{name}": value for name, value in original.items()}
    vae = load_file(folder / "vae/diffusion_pytorch_model.safetensors")
    for name, value in vae.items():
        shape = value.shape + (1, 1) if ".attentions." in name and value.dim() == 2 else value.shape
        file["first_stage_model." + vae_original(name, 2)] = value.reshape(shape)
    for part, prefix in (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"), ("text_encoder_3", "t5xxl")):
        for name, value in load_file(folder / part / "model.safetensors").items():
            if part != "text_encoder" or name != "text_projection.weight":
                file[f"text_encoders.{prefix}.transformer.{name}"] = value
    save_file({name: value.contiguous().clone() for name, value in file.items()}, out / "model.safetensors")
    settings = {"transformer": {"sample_size": 8, "attention_head_dim": 8}, "vae": {"norm_num_groups": 4},
                "text_encoder": {"num_attention_heads": 2}, "text_encoder_2": {"num_attention_heads": 3}}
    (out / "model.json").write_text(json.dumps(settings) + "\n")


def cases():
    usual = dict(steps=4, guidance=5.0, negative="", height=16, width=16, t5=True, tokens=20, clip_skip=0, scheduler={},
                 sampler="FlowMatchEulerDiscreteScheduler")
    for kind in KINDS:
        yield dict(usual, kind=kind)
        yield dict(usual, kind=kind, negative="a blurry star", clip_skip=1, width=24)
        yield dict(usual, kind=kind, t5=False, guidance=1.0)
    yield dict(usual, kind="sd3", tokens=256, steps=2)
    yield dict(usual, kind="sd3", t5=False, tokens=0, height=32, steps=1)
    yield dict(usual, kind="sd3", sampler="FlowMatchHeunDiscreteScheduler")
    yield dict(usual, kind="sd35", scheduler=dict(use_dynamic_shifting=True), width=24)


def run(pipe, case):
    pipe.scheduler = getattr(diffusers, case["sampler"]).from_config(pipe.scheduler.config, shift=3.0, **{
        "use_dynamic_shifting": False, **case["scheduler"]})
    encoder, tokenizer = pipe.text_encoder_3, pipe.tokenizer_3
    if not case["t5"]:
        pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    arguments = dict(max_sequence_length=case["tokens"], clip_skip=case["clip_skip"] or None)
    negative = [case["negative"]] * 2
    text = pipe.encode_prompt(PROMPTS, None, None, negative_prompt=negative, **arguments)
    images = pipe(PROMPTS, negative_prompt=negative, num_inference_steps=case["steps"],
                  guidance_scale=case["guidance"], height=case["height"], width=case["width"],
                  generator=[torch.Generator().manual_seed(s) for s in SEEDS], output_type="pt", **arguments).images
    pipe.register_modules(text_encoder_3=encoder, tokenizer_3=tokenizer)
    return dict(zip(("hidden", "negative_hidden", "pooled", "negative_pooled"), text), images=images)


@torch.no_grad()
def main():
    pipes = {kind: make_pipeline(kind, seed) for seed, kind in enumerate(KINDS)}
    write_single_file("sd35")
    rows, tensors = [], {}
    for case in cases():
        out = run(pipes[case["kind"]], case)
        images = out["images"]
        print(f"{case['kind']:5} mean {images.mean():.3f} std {images.std():.3f} "
              f"at the ends {((images == 0) | (images == 1)).float().mean():.3f}")
        tensors.update({f"{len(rows)}.{name}": value.contiguous() for name, value in out.items()})
        rows.append(case)
    save_file(tensors, HERE / "sd3.safetensors")
    (HERE / "sd3.json").write_text(json.dumps(dict(prompts=PROMPTS, seeds=SEEDS, cases=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
