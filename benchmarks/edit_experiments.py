#!/usr/bin/env python3
"""The comparisons of docs/results-edit.md: editing models that are asked for a reward, against their twins.

`run` draws the edits and trains every arm on every seed, one process of `laurel finetune edit` after the other, each on one
thread; it goes on where it was stopped. `measure` edits the same test scenes from the same noise with every arm, for every
request and guidance, and has `laurel world edit-scores` score the pictures. `edit_experiments_report.py` prints the tables.
`measure` needs Python's
torch, diffusers and transformers: the networks are run by diffusers, as an outside reading of the checkpoints; the reward
branch, which diffusers lacks, joins its class embedding.

  benchmarks/edit_experiments.py run --output runs/edit --seeds 1,2,3,4,5
  benchmarks/edit_experiments.py measure --output runs/edit --seeds 1,2,3,4,5
  benchmarks/edit_experiments_report.py --output runs/edit --seeds 1,2,3,4,5

Latent arms (64 x 64, the embedded autoencoder): `start` learns to edit from all the edits without rewards; from it go on, for
equally many steps,
  reward   told the scores, asked for what it should earn
  twin     the same edits, no scores
  well     only the edits that score 4.5 or more on every axis, no scores
and from `reward`
  prdp     PRDP by the sum of the exact scores, asking for 5, 5, 5
Flat arms (16 x 16, identity autoencoder, from random weights): `flat` is told the scores, `flat-shuffled` the scores of other
edits (the control).
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
AXES = ("instruction_following", "detail_preserving", "generation_quality")
TEST_SEED = 78
# Of the velocity: a model of the noise learns little about the first steps, which set the background.
LATENT = {"data": "seen", "prediction_type": "v_prediction", "train_batch_size": 32, "lr_warmup_steps": 200}
SECOND = LATENT | {"learning_rate": 1e-3, "lr_scheduler": "cosine", "from": "start", "max_train_steps": 5000}
FLAT = {"data": "flat", "resolution": 16, "pixel_space": True, "prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2",
        "block_out_channels": [32, 64, 64], "attention_levels": 1, "norm_num_groups": 8, "train_batch_size": 32,
        "learning_rate": 8e-4, "lr_scheduler": "cosine"}
ARMS = {
    "start": LATENT | {"learning_rate": 7e-4, "reward_branch": "none", "max_train_steps": 8000},
    "reward": SECOND,
    "twin": SECOND | {"reward_branch": "none"},
    "well": SECOND | {"reward_branch": "none", "min_score": 4.5},
    "prdp": {"from": "reward", "data": "seen", "reward": "instruction_following=1,detail_preserving=1,generation_quality=1",
             "num_epochs": 60, "prompts_per_epoch": 16, "images_per_prompt": 8, "prompts_per_update": 8, "sample_num_steps": 10,
             "sample_guidance_scale": 1, "target_kl": 200, "train": "full", "save_as": "whole", "learning_rate": 1e-4},
    "flat": FLAT | {"max_train_steps": 6000},
    "flat-shuffled": FLAT | {"max_train_steps": 6000, "shuffle_scores": True},
}
DATA = {"seen": ["--count", 20000], "flat": ["--count", 40000, "--flat"]}
TESTS = {"seen": [], "unseen": ["--split", "unseen"], "flat": ["--flat"]}
NULL = (None, None, None)
BEST = (5, 5, 5)
PLAIN = (1, 1, 1, NULL)
GUIDED = (3, 1.5, 1, NULL)
SWEPT = (0, 2, 4)  # and 5: of the latent arm


def sweep(axis, levels=(0, 1, 2, 3, 4)):
    return [tuple(level if i == axis else 5 for i in range(3)) for level in levels]


def draws_of(arm):
    """[(test set, request, guidance)]; guidance: text, image, reward, and what the reward is held against."""
    if arm.startswith("flat"):
        requests = [BEST, NULL] + (sum(map(sweep, range(3)), []) + [(0, 0, 0)] if arm == "flat" else [])
        return [("flat", request, PLAIN) for request in requests]
    if arm == "prdp":
        return [(test, request, guidance) for test in ("seen", "unseen") for request in (BEST, NULL) for guidance in (PLAIN, GUIDED)]
    if arm == "reward":
        draws = [("seen", request, PLAIN) for request in [BEST, NULL]] + [("seen", request, GUIDED) for request in (BEST, NULL)]
        draws += [("unseen", request, guidance) for request in (BEST, NULL) for guidance in (PLAIN, GUIDED)]
        draws += [("seen", request, guidance) for guidance in (PLAIN, GUIDED) for axis in (2, 0, 1) for request in sweep(axis, SWEPT)]
        return draws + [("seen", BEST, guidance) for guidance in ((1, 1, 2, NULL), (1, 1, 3, NULL), (1, 1, 2, (0, 0, 0)), (3, 3, 1, NULL), (3, 1.5, 2, NULL))]
    return [(test, NULL, guidance) for test in ("seen", "unseen") for guidance in (PLAIN, GUIDED)]


# ---- training --------------------------------------------------------------------------------------------------------

def flags(settings):
    words = []
    for key, value in settings.items():
        if isinstance(value, bool):
            words += [f"--{key}"] if value else []
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{key}", str(one)]
    return words


def call(options, *words):
    done = subprocess.run([str(options.laurel), *map(str, words)], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(f"failed: laurel {' '.join(map(str, words))}\n{done.stderr.strip()}")
    return done.stdout


def edits(options, folder, words):
    if not (folder / "metadata.jsonl").exists():
        call(options, "world", "edits", "--out", folder, *words)
    return folder


def command_of(options, arm, seed):
    settings = dict(ARMS[arm]) | options.settings
    data = settings.pop("data")
    first = settings.pop("from", None)
    first_seed = options.start_seed if first == "start" and options.start_seed else seed
    folder = edits(options, options.output / "data" / data, DATA[data])
    command = ["--model", model_of(options, first, first_seed)] if first else []
    if arm == "prdp":
        command = ["finetune", "prdp", *command, "--edits", folder, "--eval_every", 20, "--eval_prompts", 32, "--eval_images", 1]
    else:
        command = ["finetune", "edit", *command, "--data", folder, "--eval_every", 0, "--eval_prompts", 4, "--checkpointing_steps", 250]
        if "min_score" not in settings:
            kept = f"{data}-{first}-{first_seed}.latents" if first else f"{data}.latents"
            command += ["--latents", options.output / "data" / kept]
    return [*command, "--seed", seed, *flags(settings)]


def run(options):
    for seed in options.seeds:
        for arm in options.arms:
            folder = options.output / arm / f"seed-{seed}"
            if (folder / "done").exists():
                continue
            started = time.time()
            print(f"{arm} seed {seed}", flush=True)
            call(options, *command_of(options, arm, seed), "-o", folder, "--resume_from_checkpoint", "latest")
            (folder / "done").write_text(f"{time.time() - started:.0f} s\n")


def model_of(options, arm, seed):
    folder = options.output / arm / f"seed-{seed}"
    return folder / (folder.name if arm == "prdp" else "model")  # PRDP names a whole checkpoint after its run


# ---- measuring -------------------------------------------------------------------------------------------------------

class Editor:
    """A folder of `laurel finetune edit`, run by diffusers."""

    def __init__(self, folder):
        import torch
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
        from safetensors.torch import load_file
        from transformers import CLIPTextModel, CLIPTokenizer
        self.torch = torch
        torch.set_num_threads(1)
        config = json.loads((folder / "unet" / "config.json").read_text())
        self.reward = config.pop("reward_condition", None)
        if self.reward:
            config["class_embed_type"] = "identity"
        weights = {k: v.float() for k, v in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items()}
        self.branch = {k: weights.pop(k) for k in list(weights) if k.startswith("reward_embedding.")}
        self.unet = UNet2DConditionModel.from_config(config)
        self.unet.load_state_dict(weights)
        self.unet.eval()
        identity = json.loads((folder / "vae" / "config.json").read_text())["_class_name"] == "AutoencoderIdentity"
        self.vae = None if identity else AutoencoderKL.from_pretrained(folder / "vae").float().eval()
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval()

    def encode(self, images):
        images = 2 * images - 1
        return images if self.vae is None else self.vae.encode(images).latent_dist.mode()

    def decode(self, latents):
        images = latents if self.vae is None else self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ((images + 1) / 2).clamp(0, 1)

    def texts(self, texts):
        length = self.text_encoder.config.max_position_embeddings
        tokens = self.tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return self.text_encoder(tokens.input_ids).last_hidden_state

    def embedding(self, request, batch):
        """The reward branch (native layout): each axis as a timestep, and whether it is asked for."""
        if not self.reward:
            return None
        torch, half = self.torch, self.reward["embedding_dim"] // 2
        rates = torch.exp(torch.arange(half) * -math.log(self.reward["max_period"]) / half)
        valid = torch.tensor([float(score is not None) for score in request])
        angles = torch.tensor([score or 0.0 for score in request])[:, None] * rates
        waves = torch.cat([angles.cos(), angles.sin()], 1) * valid[:, None]
        row = torch.cat([waves.flatten(), valid])
        linear = lambda i, x: torch.nn.functional.linear(x, self.branch[f"reward_embedding.linear_{i}.weight"],
                                                         self.branch[f"reward_embedding.linear_{i}.bias"])
        return linear(2, torch.nn.functional.silu(linear(1, row))).expand(batch, -1)

    def edit(self, images, instructions, request, guidance, steps):
        torch = self.torch
        text_scale, image_scale, reward_scale, against = guidance
        source, text = self.encode(images), self.texts(instructions)
        empty = self.texts([""]).expand_as(text)
        noise = torch.cat([torch.randn((1, *source.shape[1:]), generator=torch.Generator().manual_seed(i)) for i in range(len(images))])
        wanted, unwanted = (self.embedding(r, len(images)) for r in (request, against))
        self.scheduler.set_timesteps(steps)
        latents = noise
        for t in self.scheduler.timesteps:
            predict = lambda image, hidden, reward: self.unet(torch.cat([latents, image], 1), t, hidden, class_labels=reward).sample
            full = predict(source, text, wanted)
            out = full
            if text_scale != 1 or image_scale != 1:
                image_only, none = predict(source, empty, wanted), predict(torch.zeros_like(source), empty, wanted)
                out = none + image_scale * (image_only - none) + text_scale * (full - image_only)
            if reward_scale != 1:
                out = out + (reward_scale - 1) * (full - predict(source, text, unwanted))
            latents = self.scheduler.step(out, t, latents).prev_sample
        return self.decode(latents)


def read_images(paths):
    import numpy
    import torch
    from PIL import Image
    return torch.stack([torch.from_numpy(numpy.array(Image.open(p).convert("RGB"))).permute(2, 0, 1) for p in paths]) / 255


def write_images(folder, images):
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray((255 * image).round().byte().permute(1, 2, 0).numpy()).save(folder / f"{i:06d}.png")


def name_of(test, request, guidance):
    word = lambda r: ",".join("-" if s is None else f"{s:g}" for s in r)
    text, image, reward, against = guidance
    held = f" against {word(against)}" if reward != 1 and against != NULL else ""
    return f"{test} {word(request)} text {text:g} image {image:g} reward {reward:g}{held}"


def score(options, test, images, record):
    scratch = record.with_suffix("")
    write_images(scratch, images)
    call(options, "world", "edit-scores", "--edits", options.output / "data" / f"test-{test}" / "metadata.jsonl", "--images", scratch,
         "--out", record)
    if not options.keep_images:
        shutil.rmtree(scratch)


def measure(options):
    import torch
    tests = {}
    for test, words in TESTS.items():
        folder = edits(options, options.output / "data" / f"test-{test}",
                       ["--count", options.tests, "--seed", TEST_SEED, "--flawless", *words])
        lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        tests[test] = {"source": read_images([folder / line["file_name"] for line in lines]),
                       "target": read_images([folder / line["edited_file_name"] for line in lines]),
                       "text": [line["edit_prompt"] for line in lines]}
    with torch.no_grad():
        for seed in options.seeds:
            for arm in options.arms:
                model = model_of(options, arm, seed)
                if not model.exists():
                    continue
                editor = None
                for test, request, guidance in draws_of(arm):
                    record = options.output / "scores" / arm / f"seed-{seed}" / (name_of(test, request, guidance).replace(" ", "_") + ".jsonl")
                    if record.exists():
                        continue
                    record.parent.mkdir(parents=True, exist_ok=True)
                    editor = editor or Editor(model)
                    of = tests[test]
                    images = editor.edit(of["source"], of["text"], request, guidance, options.steps)
                    score(options, test, images, record)
                    print(arm, seed, record.stem, [round(value, 2) for value in means(rows(record))], flush=True)
        baselines(options, tests)


def baselines(options, tests):
    """What needs no model but the autoencoder: its reconstruction of the exact target, and somebody else's target."""
    editor = None
    for test, of in tests.items():
        for name in ("reconstruction", "random"):
            record = options.output / "scores" / "baselines" / f"{test}_{name}.jsonl"
            if record.exists() or (test == "flat" and name == "reconstruction"):
                continue
            record.parent.mkdir(parents=True, exist_ok=True)
            images = of["target"].roll(1, 0)
            if name == "reconstruction":
                editor = editor or Editor(next(options.output.glob("start/seed-*/model")))
                latents = editor.encode(of["target"]) * editor.vae.config.scaling_factor
                images = editor.decode(latents)
            score(options, test, images, record)
        file = options.output / "scores" / "baselines" / f"{test}.txt"
        file.write_text(call(options, "world", "edit-scores", "--edits", options.output / "data" / f"test-{test}" / "metadata.jsonl"))


def rows(record):
    return [[json.loads(line)["scores"][axis] for axis in AXES] for line in record.read_text().splitlines()]


def means(table):
    return [statistics.fmean(column) for column in zip(*table)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "measure"))
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[1])
    parser.add_argument("--start_seed", type=int, help="every seed's arms go on from this seed's start; default: from their own")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    parser.add_argument("--tests", type=int, default=40, help="test edits of each set")
    parser.add_argument("--steps", type=int, default=16, help="of DDIM")
    parser.add_argument("--keep_images", action="store_true")
    parser.add_argument("--settings", type=json.loads, default={}, help='JSON on top of every arm: {"max_train_steps": 700}')
    options = parser.parse_args()
    {"run": run, "measure": measure}[options.command](options)


if __name__ == "__main__":
    main()
