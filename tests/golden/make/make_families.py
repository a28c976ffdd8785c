"""Tiny random pipelines of each family and the images that diffusers makes from them, for
tests/diffusion/pipeline/families_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_families.py
Writes tests/golden/families/<kind>/ (diffusers' layout, fp16), families.json (cases) and families.safetensors:
<i>.images [2, 3, 16, 16] in [0, 1], source (the image to edit), and the text encoders' outputs as <kind>.<name>.
"""

import json
import pathlib
import shutil
import warnings

import diffusers
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from make_sample import PROMPTS, SEEDS, write_tokenizer

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
# diffusers 0.42 looks for the tower of a CLIPTextModel inside it; in transformers 5 it is the tower.
CLIPTextModel.text_model = property(lambda self: self)
HERE = pathlib.Path(__file__).resolve().parents[1]
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
             set_alpha_to_one=False, timestep_spacing="leading")
UNET = dict(sample_size=8, layers_per_block=1, norm_num_groups=4, block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))


def text_model(ids, cls=CLIPTextModel, **options):
    settings = dict(vocab_size=len(ids), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                    num_attention_heads=2, max_position_embeddings=32, bos_token_id=ids["<|startoftext|>"],
                    eos_token_id=ids["<|endoftext|>"], pad_token_id=1)
    return cls(CLIPTextConfig(**{**settings, **options}))


def parts(kind, folder):
    """The parts of a family; the text encoders of SDXL and SD2 have the oddities of the released files."""
    ids = write_tokenizer(folder / "tokenizer")
    result = dict(tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"))
    unet = dict(UNET, attention_head_dim=2, cross_attention_dim=16)
    scheduler = diffusers.DDIMScheduler(**BETAS)
    if kind == "sdxl":
        write_tokenizer(folder / "tokenizer_2")
        settings = folder / "tokenizer_2" / "tokenizer_config.json"
        settings.write_text(settings.read_text().replace('"pad_token": "<|endoftext|>"', '"pad_token": "!"'))
        result["tokenizer_2"] = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
        assert result["tokenizer_2"].pad_token_id == 0
        result["text_encoder"] = text_model(ids, eos_token_id=2)
        result["text_encoder_2"] = text_model(ids, CLIPTextModelWithProjection, eos_token_id=2, hidden_act="gelu",
                                              hidden_size=24, num_attention_heads=3, num_hidden_layers=3,
                                              projection_dim=12)
        unet.update(attention_head_dim=(2, 4), transformer_layers_per_block=[1, 2], use_linear_projection=True,
                    cross_attention_dim=40, addition_embed_type="text_time", addition_time_embed_dim=4,
                    projection_class_embeddings_input_dim=12 + 6 * 4)
        scheduler = diffusers.EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, steps_offset=1,
                                                     beta_schedule="scaled_linear", timestep_spacing="leading")
    elif kind == "sd2v":
        result["text_encoder"] = text_model(ids, hidden_act="gelu", projection_dim=20)
        unet.update(attention_head_dim=(2, 4), use_linear_projection=True)
        scheduler = diffusers.DDIMScheduler(**dict(BETAS, prediction_type="v_prediction",
                                                   rescale_betas_zero_snr=True, timestep_spacing="trailing"))
    else:
        result["text_encoder"] = text_model(ids)
        if kind == "lcm":
            unet["time_cond_proj_dim"] = 16
        if kind == "ip2p":
            unet["in_channels"] = 8
    result["unet"] = diffusers.UNet2DConditionModel(**unet)
    result["vae"] = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.5)
    return dict(result, scheduler=scheduler)


CLASSES = {
    "sdxl": diffusers.StableDiffusionXLPipeline,
    "sd2v": diffusers.StableDiffusionPipeline,
    "lcm": diffusers.LatentConsistencyModelPipeline,
    "ip2p": diffusers.StableDiffusionInstructPix2PixPipeline,
}


def make_pipeline(kind, seed):
    torch.manual_seed(seed)
    folder = HERE / "families" / kind
    shutil.rmtree(folder, ignore_errors=True)
    made = parts(kind, folder)
    with torch.no_grad():  # random networks answer too faintly to tell right from wrong
        for part in ("text_encoder", "text_encoder_2"):
            for parameter in made[part].parameters() if part in made else []:
                parameter += 0.1 * torch.randn_like(parameter)
        for name, parameter in made["unet"].named_parameters():
            if "attn2" in name or "cond_proj" in name or "add_embedding" in name:
                parameter *= 3
        made["unet"].conv_out.weight *= 4
        made["vae"].decoder.conv_out.weight *= 2
    for part in ("vae", "text_encoder", "text_encoder_2", "unet"):  # rounded to fp16 on both sides
        if part in made:
            made[part].eval().half().save_pretrained(folder / part)
            made[part].float()
    made["scheduler"].save_pretrained(folder / "scheduler")
    options = {} if kind == "sdxl" else dict(safety_checker=None, requires_safety_checker=False,
                                             feature_extractor=None)
    pipe = CLASSES[kind](**made, **options)
    pipe.set_progress_bar_config(disable=True)
    index = {key: value for key, value in pipe.config.items() if not key.startswith("_")}
    index = {"_class_name": CLASSES[kind].__name__, "_diffusers_version": "0.42.1", **index}
    (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    return pipe


def cases():
    usual = dict(sampler="DDIMScheduler", steps=5, guidance=5.0, negative="", arguments={})
    yield dict(usual, kind="sdxl", sampler="EulerDiscreteScheduler")  # no negative prompt: zeros
    yield dict(usual, kind="sdxl", sampler="EulerDiscreteScheduler", negative="blurry")
    yield dict(usual, kind="sdxl", arguments=dict(clip_skip=1), negative="blurry")
    yield dict(usual, kind="sdxl", guidance=1.0)
    sizes = dict(original_size=(64, 48), crops_coords_top_left=(4, 12), target_size=(24, 40))
    yield dict(usual, kind="sdxl", arguments=sizes)
    yield dict(usual, kind="sdxl", arguments=dict(guidance_rescale=0.7))
    yield dict(usual, kind="sd2v")  # zero terminal SNR, trailing, v
    yield dict(usual, kind="sd2v", arguments=dict(guidance_rescale=0.7))
    yield dict(usual, kind="sd2v", arguments=dict(clip_skip=1), negative="blurry")
    yield dict(usual, kind="lcm", sampler="LCMScheduler", steps=4, guidance=8.5)
    yield dict(usual, kind="lcm", sampler="LCMScheduler", steps=1, guidance=1.0)
    yield dict(usual, kind="lcm", guidance=3.0)
    yield dict(usual, kind="ip2p", arguments=dict(image_guidance_scale=1.5))
    yield dict(usual, kind="ip2p", sampler="EulerDiscreteScheduler", arguments=dict(image_guidance_scale=2.5),
               negative="blurry")
    yield dict(usual, kind="ip2p", guidance=1.0)
    yield dict(usual, kind="ip2p", arguments=dict(image_guidance_scale=0.5))


def images_of(pipe, base, case, source):
    arguments = dict(case["arguments"])
    if case["kind"] == "ip2p":
        arguments["image"] = source
    if case["kind"] != "lcm":
        arguments["negative_prompt"] = [case["negative"]] * 2 if case["negative"] else None
    if case["kind"] not in ("ip2p",):
        arguments.update(height=16, width=16)
    if case["kind"] == "lcm" and case["sampler"] != "LCMScheduler":  # another method on an LCM's network
        pipe = diffusers.StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
    # The latents of a pipeline are not clipped, whatever a class takes for its default.
    scheduler = getattr(diffusers, case["sampler"])
    unclipped = {key: False for key in ("clip_sample", "set_alpha_to_one") if case["sampler"] == "DDIMScheduler"}
    pipe.scheduler = scheduler.from_config(base, **unclipped)
    return pipe(PROMPTS, num_inference_steps=case["steps"], guidance_scale=case["guidance"],
                generator=[torch.Generator().manual_seed(s) for s in SEEDS], output_type="pt", **arguments).images


def text_outputs(kind, pipe):
    ids = pipe.tokenizer(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    encoder = pipe.text_encoder
    if kind == "sdxl":
        ids = pipe.tokenizer_2(PROMPTS, padding="max_length", return_tensors="pt").input_ids
        encoder = pipe.text_encoder_2
    out = encoder(ids, output_hidden_states=True)
    pooled = out.text_embeds if kind == "sdxl" else out.pooler_output
    return {f"{kind}.ids": ids, f"{kind}.hidden": out.last_hidden_state, f"{kind}.pooled": pooled,
            f"{kind}.penultimate": out.hidden_states[-2]}


@torch.no_grad()
def main():
    pipes = {kind: make_pipeline(kind, seed) for seed, kind in enumerate(CLASSES)}
    bases = {kind: pipe.scheduler.config for kind, pipe in pipes.items()}
    source = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(3))
    rows, tensors = [], {"source": source}
    for case in cases():
        images = images_of(pipes[case["kind"]], bases[case["kind"]], case, source)
        print(f"{case['kind']:5} {case['sampler']:24} mean {images.mean():.3f} std {images.std():.3f} "
              f"at the ends {((images == 0) | (images == 1)).float().mean():.3f}")
        tensors[f"{len(rows)}.images"] = images.contiguous()
        rows.append(case)
    for kind in ("sdxl", "sd2v"):
        tensors.update({name: value.contiguous() for name, value in text_outputs(kind, pipes[kind]).items()})
    save_file(tensors, HERE / "families.safetensors")
    text = json.dumps(dict(prompts=PROMPTS, seeds=SEEDS, cases=rows), indent=1)
    (HERE / "families.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
