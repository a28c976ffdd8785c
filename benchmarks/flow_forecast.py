#!/usr/bin/env python3
"""What finetuning Stable Diffusion 3.5 and FLUX.1 would take on cards, reckoned: the tables of docs/gpu.md. Nothing is measured.

  benchmarks/flow_forecast.py     # `laurel bench --shape NAME --dry_run` counts operations and bytes on tensors without values

A run is 100 epochs of 64 rated images of 10 steps without guidance, an adapter of rank 8, checkpointing, bf16. Of an image, in
passes F of the network (a step with a gradient is 3 F: forward, again forward, backward to the activations):

  prdp, d3po        10 drawn, 10 by the start, 30 with a gradient
  grpo, dpok        the same: the exact KL is the start's pass
  ddpo              10 drawn, 30
  grpo, 3 steps     10 drawn, 3 by the start, 9: the window of Flow-GRPO-Fast
  nft, dpo, kto     10 drawn, 16 draws of noise: one by the start or the average, 3 with a gradient
  rwr               10 drawn, 16 draws of noise: 3 with a gradient
  raft              10 drawn, 16 draws of noise of one image of eight
  draft             10 drawn, of which the last has a gradient (2 F more), and the decode's gradient

Each image is decoded once. Memory is that of one image at a time: weights in bf16, the decoder in fp32, the larger of a step's
tensors and a decode's, counted as in fp32 (in bf16 they take less), 1.7 GB of rewards (a ViT-L/14 in fp32) and 1 GB of driver
and libraries (assumed). Text is encoded on the CPU. `whole`: the network is trained itself, 32 bytes a value (fp32 values,
gradient, AdamW's moments, the start, and the copy of a braked run). Hours are at half of the card's bf16 peak with fp32 sums,
as its vendor states it without sparsity; the half is assumed. Only the standard library is needed.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGES, STEPS, DRAWS, KEPT = 6400, 10, 16, 1 / 8
REWARDS, DRIVER = 1.7e9, 1e9
WHOLE = 32  # bytes a trained value
SHARE = 0.5
NAMES = {"sd35m": "3.5 medium", "sd35l": "3.5 large", "flux": "FLUX.1"}


class Card(NamedTuple):
    name: str
    memory: float  # bytes
    peak: float    # FLOP/s


CARDS = (Card("RTX 4080, 16 GB", 16e9, 97.5e12), Card("RTX 4090, 24 GB", 24e9, 165e12), Card("H100, 80 GB", 80e9, 989e12), Card("H200, 141 GB", 141e9, 989e12))
# Passes of an image, beside its decode.
METHODS = {"prdp, d3po": 5 * STEPS, "grpo, dpok": 5 * STEPS, "ddpo": 4 * STEPS, "grpo, 3 steps": STEPS + 4 * 3, "nft, dpo, kto": STEPS + 4 * DRAWS,
           "rwr": STEPS + 3 * DRAWS, "raft": STEPS + 3 * DRAWS * KEPT, "draft": STEPS + 2}
DECODES = {"draft": "decode_gradient"}  # the others: "vae"


class Model(NamedTuple):
    """A network at a size: a stage's operations and bytes of tensors, those of one image."""
    name: str
    pixels: int
    weights: float
    values: float  # trained ones, where the network is
    flops: dict
    bytes: dict


def counted(laurel, shape, pixels, precision):
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "forecast.json"
        subprocess.run([laurel, "bench", "--shape", shape, "--resolution", str(pixels), "--precision", precision, "--device", "cpu", "--dry_run", "--output", output],
                       check=True, stdout=subprocess.DEVNULL)
        return {stage["name"]: stage for stage in json.loads(output.read_text())["stages"]}


def model_of(laurel, shape, pixels):
    half, full = (counted(laurel, shape, pixels, precision) for precision in ("bf16", "fp32"))
    network = half["transformer"]
    flops = {"transformer": network["flops"] / network["batch"]} | {name: half[name]["flops"] for name in ("vae", "decode_gradient")}
    held = {name: half[name]["beside_bytes"] for name in ("vae", "decode_gradient", "prdp")}
    return Model(NAMES.get(shape, shape), pixels, network["weights_bytes"] + half["vae"]["weights_bytes"], full["transformer"]["weights_bytes"] / 4, flops, held)


def memory(model, name, whole=False):
    fixed = model.weights + REWARDS + DRIVER + (WHOLE * model.values if whole else 0)
    return fixed + max(model.bytes["prdp"], model.bytes[DECODES.get(name, "vae")])


def work(model, name):
    """FLOP of a run."""
    return IMAGES * (METHODS[name] * model.flops["transformer"] + model.flops[DECODES.get(name, "vae")])


def hours(model, name, card):
    if memory(model, name) > card.memory:
        return "-"
    return f"{work(model, name) / (SHARE * card.peak) / 3600:.3g}"


def smallest(size):
    return next((f"{card.memory / 1e9:.0f}" for card in CARDS if size <= card.memory), "none")


def line(cells):
    return "| " + " | ".join(cells) + " |"


def head(cells):
    return [line(cells), "|" + "---|" * len(cells)]


def memory_table(models):
    rows = head(["", "px", "weights", "all but draft", "smallest card", "draft", "smallest card", "whole network", "smallest card"])
    for model in models:
        sizes = [memory(model, "prdp, d3po"), memory(model, "draft"), memory(model, "prdp, d3po", whole=True)]
        cells = [cell for size in sizes for cell in (f"{size / 1e9:.1f} GB", smallest(size))]
        rows.append(line([model.name, str(model.pixels), f"{model.weights / 1e9:.1f} GB", *cells]))
    return rows


def hours_table(models, cards):
    """Of cards with the same figures."""
    rows = head([" and ".join(card.name for card in cards)] + [f"{model.name}, {model.pixels} px" for model in models])
    return rows + [line([name] + [hours(model, name, cards[0]) for model in models]) for name in METHODS]


def alike(models):
    """The cards, those with the same figures together."""
    groups = {}
    for card in CARDS:
        groups.setdefault(tuple(hours(model, name, card) for name in METHODS for model in models), []).append(card)
    return groups.values()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--shapes", default="sd35m,sd35l,flux")
    parser.add_argument("--resolutions", default="512,1024")
    options = parser.parse_args()
    models = [model_of(options.laurel, shape, int(pixels)) for shape in options.shapes.split(",") for pixels in options.resolutions.split(",")]
    print("\n".join(memory_table(models)))
    for cards in alike(models):
        print("\n" + "\n".join(hours_table(models, cards)))


if __name__ == "__main__":
    main()
