"""Images of the tiny random Stable Diffusion 3.5 in tests/golden/sd3/sd35 under skip-layer guidance, for
tests/tools/sample/guides/skipped_layers_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23:  python tests/golden/make/make_skip_layers.py
Writes tests/golden/skip_layers.safetensors: for each of CASES <i>.images [2, 3, 16, 16] in [0, 1]; the cases stand in the
file's metadata as JSON.
"""

import json
import pathlib
import warnings

import diffusers
import torch
from safetensors.torch import save_file

from make_sample import PROMPTS, SEEDS

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parents[1]
CASES = [dict(layers=[1], scale=2.8, start=0.01, stop=0.6), dict(layers=[0, 1], scale=1.5, start=0.3, stop=1.0),
         dict(layers=[1], scale=2.8, start=0.5, stop=0.55)]  # the last leads no step of six
STEPS, GUIDANCE, TOKENS = 6, 5.0, 20


@torch.no_grad()
def main():
    pipe = diffusers.StableDiffusion3Pipeline.from_pretrained(HERE / "sd3" / "sd35", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    tensors = {}
    for i, case in enumerate(CASES):
        tensors[f"{i}.images"] = pipe(
            PROMPTS, num_inference_steps=STEPS, guidance_scale=GUIDANCE, height=16, width=16, max_sequence_length=TOKENS,
            generator=[torch.Generator().manual_seed(seed) for seed in SEEDS], output_type="pt", skip_guidance_layers=case["layers"],
            skip_layer_guidance_scale=case["scale"], skip_layer_guidance_start=case["start"],
            skip_layer_guidance_stop=case["stop"]).images.contiguous()
        print(case, f"mean {tensors[f'{i}.images'].mean():.4f}")
    settings = dict(prompts=PROMPTS, seeds=SEEDS, steps=STEPS, guidance=GUIDANCE, tokens=TOKENS, cases=CASES)
    save_file(tensors, HERE / "skip_layers.safetensors", metadata={"settings": json.dumps(settings)})


if __name__ == "__main__":
    main()
