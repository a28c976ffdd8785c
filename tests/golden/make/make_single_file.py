"""Whole checkpoints in one file, with the original code's names, for tests/diffusion/checkpoints/single_file_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_single_file.py
Writes tests/golden/single_file/<family>/: model.ckpt or model.safetensors (fp16, random weights), model.json (what shapes
cannot tell), tokenizer/ and images.safetensors: what diffusers samples from the same networks.
The names are turned round here from our own understanding of them; diffusers' from_single_file reads the files back.
"""

import collections
import json
import pathlib
import re
import shutil
import tempfile
import warnings

import diffusers
import torch
from make_sample import FOLDER as SD1, write_tokenizer
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
OUT = pathlib.Path(__file__).resolve().parents[1] / "single_file"
PROMPTS = ["a red circle", "two blue squares above a green star"]
SEEDS = [5, 77]

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
TOP = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
       "time_embedding.cond_proj": "time_embed.cond_proj",
       "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
       "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}


def unet_original(name, layers, attentions):
    """`attentions`: the names of the blocks that have some."""
    for ours, theirs in TOP.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours):]
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, i, rest = found[1], int(found[2]), found[3]
        return f"middle_block.{1 if kind == 'attentions' else 2 * i}.{resnet(rest) if kind == 'resnets' else rest}"
    side, level, kind, i, rest = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name).groups()
    level, i = int(level), int(i)
    place = (1 if side == "down" else 0) + level * (layers + 1)
    blocks = "input_blocks" if side == "down" else "output_blocks"
    if kind == "downsamplers":
        return f"{blocks}.{place + layers}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"{blocks}.{place + layers}.{2 if f'up_blocks.{level}' in attentions else 1}.{rest}"
    if kind == "resnets":
        return f"{blocks}.{place + i}.0.{resnet(rest)}"
    return f"{blocks}.{place + i}.1.{rest}"


def resnet(rest):
    head, end = rest.rsplit(".", 1)
    return f"{RESNET[head]}.{end}"


def vae_original(name, levels):
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
    name = name.replace("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")
    name = re.sub(r"mid_block\.attentions\.0\.to_(\w)", r"mid.attn_1.\1", name)
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}", name)
    name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
    return name.replace("resnets", "block").replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")


def open_clip(state):
    """transformers' names in OpenCLIP's, queries, keys and values packed."""
    out = {}
    for name, value in state.items():
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            out["text_projection"] = value.t().contiguous()
        elif name.startswith("embeddings.position"):
            out["positional_embedding"] = value
        elif name.startswith("embeddings.token"):
            out["token_embedding.weight"] = value
        elif name.startswith("final_layer_norm"):
            out[name.replace("final_layer_norm", "ln_final")] = value
        elif "k_proj" in name or "v_proj" in name:
            continue
        else:
            if "q_proj" in name:
                bare = "text_model." + name if "text_model." + name in state else name
                value = torch.cat([state[bare.replace("q_proj", k)] for k in ("q_proj", "k_proj", "v_proj")])
                name = re.sub(r"self_attn\.q_proj\.", "self_attn.in_proj_", name)
            for ours, theirs in (("encoder.layers", "transformer.resblocks"), ("layer_norm", "ln_"), ("self_attn", "attn"),
                                 ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                name = name.replace(ours, theirs)
            out[name] = value
    return out


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def clip(state):
    return {name if name.startswith("text_model.") else "text_model." + name: value for name, value in state.items()}


def original(pipe, text):
    """The state of a single file; `text`: that of the text encoders, with their prefixes."""
    unet, vae = pipe.unet.state_dict(), pipe.vae.state_dict()
    attentions = {name.split(".attentions")[0] for name in unet if ".attentions." in name}
    layers, levels = pipe.unet.config.layers_per_block, len(pipe.vae.config.block_out_channels)
    state = {"model.diffusion_model." + unet_original(name, layers, attentions): v for name, v in unet.items()}
    for name, value in vae.items():
        if "attentions" in name and name.endswith("weight") and value.dim() == 2:
            value = value[:, :, None, None]  # 1x1 convolutions in the original code
        state["first_stage_model." + vae_original(name, levels)] = value
    return {**state, **text, "betas": torch.linspace(0.1, 0.2, 4)}


def unet_and_vae(context, groups=4, **more):
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, layers_per_block=1, norm_num_groups=groups, cross_attention_dim=context, block_out_channels=(8, 16),
        attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **more)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=groups, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.5)
    with torch.no_grad():  # random networks answer too faintly to tell right from wrong
        for name, parameter in unet.named_parameters():
            if "attn2" in name:
                parameter *= 3
        unet.conv_out.weight *= 4
        vae.decoder.conv_out.weight *= 2
    return unet.eval(), vae.eval()


def text_tower(kind, ids, width, layers, **more):
    tower = kind(CLIPTextConfig(
        vocab_size=len(ids), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=2,
        max_position_embeddings=32, bos_token_id=ids["<|startoftext|>"], eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"], **more))
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return tower.eval()


def ddim(prediction):
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False, timestep_spacing="leading", prediction_type=prediction)


def rounded(module):
    return module.half().float()


def images(pipe):
    pipe.set_progress_bar_config(disable=True)
    found = pipe(PROMPTS, num_inference_steps=4, guidance_scale=5.0, height=16, width=16,
                 generator=[torch.Generator().manual_seed(s) for s in SEEDS], output_type="pt").images
    print(f"{type(pipe).__name__:32} mean {found.mean():.3f} std {found.std():.3f}")
    return found.contiguous()


def check(pipe, state, folder):
    """diffusers reads the file back to the same weights."""
    with tempfile.TemporaryDirectory() as place:
        pipe.save_pretrained(place + "/folder")
        save_file({name: value.contiguous() for name, value in state.items()}, place + "/model.safetensors")
        again = type(pipe).from_single_file(place + "/model.safetensors", config=place + "/folder", local_files_only=True)
        for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
            if getattr(pipe, part, None) is None:
                continue
            read = getattr(again, part).state_dict()
            for name, value in getattr(pipe, part).state_dict().items():
                assert torch.equal(read[name], value), (part, name)


def half(state):
    return {name: value.half().contiguous() for name, value in state.items()}


def write(folder, pipe, state, hints):
    check(pipe, state, folder)
    save_file({"images": images(pipe)}, folder / "images.safetensors")
    (folder / "model.json").write_text(json.dumps(hints, indent=1) + "\n")


def fresh(name):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder, write_tokenizer(folder / "tokenizer")


def pad_with_zero(folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "!"}, indent=1))
    return CLIPTokenizer.from_pretrained(folder)


HINTS = {"unet": {"attention_head_dim": 2, "norm_num_groups": 4, "sample_size": 8},
         "vae": {"norm_num_groups": 4, "scaling_factor": 0.5}, "text_encoder": {"num_attention_heads": 2}}


def make_sd1():
    """As a trainer leaves it: a moving average and the trainer's own things around."""
    folder, _ = fresh("sd1")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(SD1, torch_dtype=torch.float32, safety_checker=None)
    state = original(pipe, prefixed("cond_stage_model.transformer.", clip(pipe.text_encoder.state_dict())))
    write(folder, pipe, state, {**HINTS, "scheduler": {"prediction_type": "v_prediction"}})
    state = half(state)
    state["model_ema.decay"] = torch.tensor(0.9999)
    state["model_ema.diffusion_modelinput_blocks00bias"] = torch.ones(8)
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(32)[None]
    torch.save({"state_dict": collections.OrderedDict(state), "global_step": 7, "optimizer_states": [{"lr": 1e-4}]},
               folder / "model.ckpt")


def make_sd2():
    folder, ids = fresh("sd2")
    tokenizer = pad_with_zero(folder / "tokenizer")
    torch.manual_seed(2)
    unet, vae = unet_and_vae(16, use_linear_projection=True)
    text = text_tower(CLIPTextModel, ids, 16, 2, hidden_act="gelu")
    pipe = diffusers.StableDiffusionPipeline(
        vae=rounded(vae), text_encoder=rounded(text), tokenizer=tokenizer, unet=rounded(unet), scheduler=ddim("v_prediction"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    state = original(pipe, prefixed("cond_stage_model.model.", open_clip(text.state_dict())))
    write(folder, pipe, state, HINTS)
    for name in list(state):  # the last layer, which Stable Diffusion 2 does not run, and what else OpenCLIP has
        if "resblocks.1." in name:
            state[name.replace("resblocks.1.", "resblocks.2.")] = torch.randn_like(state[name])
    state["cond_stage_model.model.text_projection"] = torch.randn(16, 16)
    state["cond_stage_model.model.logit_scale"] = torch.tensor(4.6)
    state["v_pred"] = torch.tensor([])
    save_file(half(state), folder / "model.safetensors")


def make_sdxl():
    folder, ids = fresh("sdxl")
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")
    tokenizer_2 = pad_with_zero(folder / "tokenizer_2")
    torch.manual_seed(3)
    unet, vae = unet_and_vae(16 + 24, use_linear_projection=True, addition_embed_type="text_time",
                             addition_time_embed_dim=8, projection_class_embeddings_input_dim=12 + 6 * 8)
    text = text_tower(CLIPTextModel, ids, 16, 2)
    text_2 = text_tower(CLIPTextModelWithProjection, ids, 24, 2, hidden_act="gelu", projection_dim=12)
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=rounded(vae), text_encoder=rounded(text), text_encoder_2=rounded(text_2), unet=rounded(unet),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"), tokenizer_2=tokenizer_2, scheduler=ddim("epsilon"),
        add_watermarker=False)
    state = original(pipe, {**prefixed("conditioner.embedders.0.transformer.", clip(text.state_dict())),
                            **prefixed("conditioner.embedders.1.model.", open_clip(text_2.state_dict()))})
    write(folder, pipe, state, {**HINTS, "text_encoder_2": {"num_attention_heads": 2}})
    save_file(half(state), folder / "model.safetensors", metadata={"modelspec.architecture": "stable-diffusion-xl-v1-base"})


def make_family(kind, pipeline):
    """A family of tests/golden/make/make_families.py in one file: its images are in families.safetensors."""
    source = OUT.parent / "families" / kind
    folder = OUT / kind
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source / "tokenizer", folder / "tokenizer")
    pipe = pipeline.from_pretrained(source, torch_dtype=torch.float32, safety_checker=None)
    state = original(pipe, prefixed("cond_stage_model.transformer.", clip(pipe.text_encoder.state_dict())))
    (folder / "model.json").write_text(json.dumps(HINTS, indent=1) + "\n")
    save_file(half(state), folder / "model.safetensors")


if __name__ == "__main__":
    make_family("lcm", diffusers.LatentConsistencyModelPipeline)
    make_family("ip2p", diffusers.StableDiffusionInstructPix2PixPipeline)
    make_sd1()
    make_sd2()
    make_sdxl()
