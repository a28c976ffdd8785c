#!/usr/bin/env python3
"""What a run costs on many processes, by formula: the tables of docs/scaling.md.

  benchmarks/scaling.py            prints the tables of 1 to 1,024 GPUs (reckoned; nothing here was measured on a GPU)
  benchmarks/scaling.py --check    compares the formulas with what 1, 2 and 4 processes took and exchanged (MEASURED)
"""
import math
import sys
from dataclasses import dataclass


# ---- traffic ----

BUCKET = 25 << 20  # bytes of gradients that are added up at once


def buckets(size):
    whole, rest = divmod(size, BUCKET)
    return [BUCKET] * whole + ([rest] if rest else [])


@dataclass
class Prdp:
    """An epoch: prompts x images, `steps` of the chain, `updates` optimiser steps, `trained` values."""
    images: int
    steps: int
    rewards: int
    updates: int
    trained: int
    images_per_update: int
    sharded: bool = False

    def sums(self):
        """Bytes of each tensor that the ranks add up in an epoch."""
        rows = 8 * self.images
        known = [rows * self.rewards, rows * self.steps, 8, rows, rows * self.steps]  # rewards, KL, flag, ids, log-ratios
        gradients = buckets(4 * self.trained) * self.updates
        values = [4 * self.trained] * self.updates if self.sharded else []
        ratios = [8 * self.images_per_update * self.steps] * (self.updates - 1)
        return known + gradients + values + ratios


@dataclass
class Network:
    bytes_per_second: float  # of one process
    latency: float           # seconds of a message


def ring(size, ranks, network):
    """Seconds of a sum of `size` bytes over a ring: each process sends 2 (R - 1) / R of it in 2 (R - 1) messages."""
    if ranks == 1:
        return 0.0
    return 2 * (ranks - 1) / ranks * size / network.bytes_per_second + 2 * (ranks - 1) * network.latency


def exchange(sizes, ranks, network):
    return sum(ring(size, ranks, network) for size in sizes)


# ---- work ----

def work(images, ranks, per_image, fixed):
    """Seconds of the busiest process: its images, and what every process does (start, texts, optimiser)."""
    return math.ceil(images / ranks) * per_image + fixed


# ---- the check ----

# Three epochs of the embedded model (8 prompts x 8 images, 10 steps, aesthetic and clip_score), by 1, 2 and 4 processes
# of one thread each: CPU seconds of the busiest process, user and system, start to end; bytes of an epoch's sums.
MEASURED = {
    "lora": {"cpu": {1: 28.03, 2: 14.91, 4: 8.59}, "bytes": 456200,
             "epoch": Prdp(64, 10, 2, 1, 111104, 64)},
    "full": {"cpu": {1: 38.35, 2: 23.13, 4: 16.29}, "bytes": 98775880,
             "epoch": Prdp(64, 10, 2, 4, 6172516, 16)},
}
EPOCHS = 3
TOLERANCE = 0.10


def check():
    failed = False
    for name, run in MEASURED.items():
        reckoned = sum(run["epoch"].sums())
        print(f"{name}: bytes of an epoch: reckoned {reckoned}, measured {run['bytes']}")
        failed |= reckoned != run["bytes"]
        # Two unknowns from 1 and 2 processes; 4 is forecast.
        images = EPOCHS * run["epoch"].images
        per_image = 2 * (run["cpu"][1] - run["cpu"][2]) / images
        fixed = run["cpu"][1] - images * per_image
        forecast = work(images, 4, per_image, fixed)
        error = forecast / run["cpu"][4] - 1
        print(f"{name}: {per_image:.4f} s an image, {fixed:.2f} s a process; 4 processes: reckoned {forecast:.2f} s, "
              f"measured {run['cpu'][4]:.2f} s ({100 * error:+.1f} %)")
        failed |= abs(error) > TOLERANCE
    return 1 if failed else 0


# ---- the tables ----

TERA = 1e12
GPU = 300 * TERA                     # FLOP/s that a GPU is assumed to reach, about 40 % of an H200's bf16 peak
ETHERNET = Network(1.25e9, 50e-6)    # Gloo through host memory; 100 Gb/s shared by 8 processes of a machine
FABRIC = Network(50e9, 5e-6)         # NCCL over 400 Gb/s a GPU
SD15_STEP = 1.607 * TERA             # a guided forward pass, 512 x 512
SD15_DECODE = 2.515 * TERA
REWARD = 0.335 * TERA                # ViT-H/14
LORA_R8, LORA_R64, WHOLE = 1594368, 12754944, 859520964  # trained values of SD 1.5: attention's q, k, v, out; all
PRDP_IMAGES, PRDP_STEPS, PRDP_ACTIVE = 2048, 10, 9
LCD_ROW = 10.52 * TERA               # RG-LCD: student 3, guided teacher 2, target 1, VAE and reward both ways
LCD_BATCH = 1024


def prdp_rows():
    draw = 2 * PRDP_STEPS * SD15_STEP + SD15_DECODE + REWARD  # policy and reference
    for trained, backward in ((LORA_R8, 1), (WHOLE, 2)):
        image = draw + PRDP_ACTIVE * SD15_STEP * (1 + backward)
        epoch = Prdp(PRDP_IMAGES, PRDP_STEPS, 1, 1, trained, PRDP_IMAGES)
        yield epoch.sums(), image / GPU, PRDP_IMAGES


def lcd_rows():
    for trained in (LORA_R64, WHOLE):
        yield buckets(4 * trained) + [8] * 6, LCD_ROW / GPU, LCD_BATCH


def table(title, rows):
    print(f"\n{title}\n")
    rows = list(rows)
    for ranks in [2 ** k for k in range(11)]:
        cells = []
        for sizes, per_row, total in rows:
            busy = work(total, ranks, per_row, 0)
            alone = work(total, 1, per_row, 0)
            for network in (ETHERNET, FABRIC):
                seconds = busy + exchange(sizes, ranks, network)
                cells.append(f"{seconds:9.2f} s {100 * alone / seconds / ranks:4.0f} %")
        print(f"| {ranks:5} | " + " | ".join(cells) + " |")


def main():
    if sys.argv[1:] == ["--check"]:
        sys.exit(check())
    if sys.argv[1:]:
        sys.exit(f"scaling.py: expected --check or nothing, found {' '.join(sys.argv[1:])}")
    columns = "GPUs | LoRA, Ethernet | LoRA, fabric | whole UNet, Ethernet | whole UNet, fabric"
    table("PRDP, an epoch: " + columns, prdp_rows())
    table("RG-LCD, a step: " + columns, lcd_rows())


if __name__ == "__main__":
    main()
