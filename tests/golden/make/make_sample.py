"""A tiny Stable Diffusion pipeline with random weights and the images that diffusers samples from it,
for tests/diffusion/pipeline/generate_test.cpp and
tests/tools/sample/command_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_sample.py
Writes tests/golden/pipeline/ (diffusers' layout, fp16), sample.json (settings) and sample.safetensors
(<i>.images [2, 3, 16, 16] in [0, 1]; latents: the noise given in the last case).
"""

import json
import pathlib
import warnings

import diffusers
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parents[1]
FOLDER = HERE / "pipeline"
PROMPTS = ["a red circle", "two blue squares above a green star"]
SEEDS = [5, 77]


def bytes_to_unicode():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(others))]


def write_tokenizer(folder):
    folder.mkdir(parents=True, exist_ok=True)
    symbols = bytes_to_unicode()
    merges = ["r e", "re d</w>", "c i", "ci r", "b l", "a r", "t w"]
    vocabulary = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    ids = {symbol: i for i, symbol in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    settings = dict(tokenizer_class="CLIPTokenizer", model_max_length=32, bos_token="<|startoftext|>",
                    eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="<|endoftext|>")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    return ids


def make_pipeline():
    torch.manual_seed(1)
    ids = write_tokenizer(FOLDER / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(FOLDER / "tokenizer")
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(ids), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, bos_token_id=ids["<|startoftext|>"], eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"]))
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, layers_per_block=1, norm_num_groups=4, cross_attention_dim=16, block_out_channels=(8, 16),
        attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.5)
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False, timestep_spacing="leading", prediction_type="v_prediction")
    with torch.no_grad():  # random networks answer too faintly to tell right from wrong
        for parameter in text.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for name, parameter in unet.named_parameters():
            if "attn2" in name:
                parameter *= 3
        unet.conv_out.weight *= 4
        vae.decoder.conv_out.weight *= 2
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae.eval(), text_encoder=text.eval(), tokenizer=tokenizer, unet=unet.eval(), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    for part in ("vae", "text_encoder", "unet"):  # rounded to fp16 on both sides
        getattr(pipe, part).half().save_pretrained(FOLDER / part)
        getattr(pipe, part).float()
    scheduler.save_pretrained(FOLDER / "scheduler")
    index = dict(_class_name="StableDiffusionPipeline", _diffusers_version="0.42.1",
                 scheduler=["diffusers", "DDIMScheduler"], text_encoder=["transformers", "CLIPTextModel"],
                 tokenizer=["transformers", "CLIPTokenizer"], unet=["diffusers", "UNet2DConditionModel"],
                 vae=["diffusers", "AutoencoderKL"], safety_checker=[None, None], feature_extractor=[None, None],
                 requires_safety_checker=False)
    (FOLDER / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    return pipe


def cases():
    usual = dict(sampler="DDIMScheduler", settings={}, steps=6, eta=0.0, guidance=5.0, negative="")
    yield usual
    yield dict(usual, eta=1.0)
    yield dict(usual, guidance=1.0)
    yield dict(usual, negative="blurry")
    yield dict(usual, settings=dict(timestep_spacing="trailing"))
    yield dict(usual, sampler="DDPMScheduler")
    yield dict(usual, sampler="EulerDiscreteScheduler")
    yield dict(usual, sampler="EulerAncestralDiscreteScheduler")
    yield dict(usual, sampler="DPMSolverMultistepScheduler")
    yield dict(usual, sampler="DPMSolverMultistepScheduler", settings=dict(use_karras_sigmas=True))
    yield dict(usual, sampler="EulerDiscreteScheduler", latents=True)
    yield dict(usual, sampler="PNDMScheduler", settings=dict(skip_prk_steps=True))
    yield dict(usual, sampler="HeunDiscreteScheduler")
    yield dict(usual, sampler="DPMSolverMultistepScheduler",
               settings=dict(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True))
    yield dict(usual, sampler="DPMSolverSinglestepScheduler")
    yield dict(usual, sampler="UniPCMultistepScheduler")
    yield dict(usual, sampler="LCMScheduler", steps=4)
    yield dict(usual, sampler="TCDScheduler", steps=4, eta=0.3)


def main():
    pipe = make_pipeline()
    given = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(9))
    base, rows, tensors = pipe.scheduler.config, [], {"latents": given}
    for case in cases():
        pipe.scheduler = getattr(diffusers, case["sampler"]).from_config(base, **case["settings"])
        images = pipe(PROMPTS, num_inference_steps=case["steps"], eta=case["eta"], guidance_scale=case["guidance"],
                      negative_prompt=[case["negative"]] * 2, height=16, width=16,
                      generator=[torch.Generator().manual_seed(s) for s in SEEDS],
                      latents=given.clone() if "latents" in case else None, output_type="pt").images
        print(f"{case['sampler']:34} mean {images.mean():.3f} std {images.std():.3f} "
              f"at the ends {((images == 0) | (images == 1)).float().mean():.3f}")
        tensors[f"{len(rows)}.images"] = images.contiguous()
        rows.append(case)
    save_file(tensors, HERE / "sample.safetensors")
    text = json.dumps(dict(prompts=PROMPTS, seeds=SEEDS, cases=rows), indent=1)
    (HERE / "sample.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
