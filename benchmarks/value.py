#!/usr/bin/env python3
"""The value of a noisy latent (docs/results-value.md): what it tells, what it adds to guides and to finetuning.

  benchmarks/value.py run --laurel build/release/bin/laurel --output runs/value
  benchmarks/value.py report --output runs/value

explained: `laurel train-reward value` on chains of the embedded, synthetic world, once reading the noisy latent alone and
once the expected one beside it; the share of the final reward's variance within held-out captions that each explains by
step, and the rating of the expected picture, which needs no training.
particles: particles rated by the network, against particles rated by decoded pictures, and the best of n plain samples, on
seen captions. The network is that of the same seed; 4.4 passes of the network count as one decoding.
steps: short GRPO runs without and with rewards of steps, by the expected picture, by a distilled student, by the network,
and by the network in random order (a control); and DPOK without and with the network as its baseline.

A part that is finished is kept; a stopped run goes on where it was. Seeds are the outer loop. Only the standard library is
needed.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys

from guidance import DECODING, best_at, interval, processor_seconds
from run_statistics import bootstrap
from wider_evaluation import call, captions_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS, POOL = 10, 12
CHAIN = ["--steps", STEPS, "--eta", 1, "--cfg-scale", 5, "--sampling-method", "ddim"]
CAPTION_SEED, FIRST_SEED, APART = 979, 7000000, 100
RATED = ("clip_score", "aesthetic", "oracle", "rater_preference")
NETWORKS = {"noisy latent": [], "with the expected one": ["--expected"]}

# What follows --reward, passes of the network for an image, and decodings.
PARTICLES = {
    "decoded": (["--guide", "particles=4"], 8 * STEPS, 16),
    "value": (["--guide", "particles=4", "--guide_value", "noisy latent"], 8 * STEPS, 4),
    "value, expected": (["--guide", "particles=4", "--guide_value", "with the expected one"], 8 * STEPS, 4),
}
# Method, and its options; NETWORK and STUDENT stand for folders.
NETWORK, STUDENT = "NETWORK", "STUDENT"
BY_VALUE, BY_STUDENT = ["value", "--step_value", NETWORK], ["student", "--step_student", STUDENT]
CREDIT = {f"{name} {scale:g}": ("grpo", ["--step_reward_scale", scale, "--step_rewards", *words])
          for name, words in (("value", BY_VALUE), ("expected picture", ["expected"]), ("student", BY_STUDENT)) for scale in (0.5, 2)}
CREDIT = {"grpo": ("grpo", []), **CREDIT, "value 2, shuffled": ("grpo", [*CREDIT["value 2"][1], "--shuffle_step_rewards"]),
          "dpok": ("dpok", []), "dpok, value as baseline": ("dpok", ["--baseline_value", NETWORK])}
EPOCHS, PROMPTS, IMAGES = 8, 4, 8


def place_of(options, *words):
    return options.output.joinpath(*(str(word).replace(" ", "-").replace(",", "") for word in words))


def timed(options, done, *words):
    """Runs a command once; keeps its processor seconds in `done`."""
    if done.exists():
        return
    print(done.relative_to(options.output), file=sys.stderr, flush=True)
    done.parent.mkdir(parents=True, exist_ok=True)
    began = processor_seconds()
    call(options, *words)
    done.with_suffix(".tmp").write_text(json.dumps({"seconds": processor_seconds() - began}) + "\n")
    done.with_suffix(".tmp").rename(done)


# --- explained


def network_of(options, seed, reward, network):
    return place_of(options, "explained", reward, network, f"seed-{seed}")


def run_explained(options, seed):
    for reward in options.rewards:
        for network, words in NETWORKS.items():
            folder = network_of(options, seed, reward, network)
            timed(options, folder.with_suffix(".json"), "train-reward", "value", "--reward", reward, *CHAIN, "--max_prompts",
                  options.prompts, "--held_out", options.held_out / options.prompts, "--chains", options.chains, "--trajectories",
                  place_of(options, "chains", f"seed-{seed}"), "--max_train_steps", options.updates, "--seed", seed, *words, "-o", folder)


def report_explained(options):
    print(f"\n### explained\n\n{options.prompts - options.held_out} captions to train on, {options.held_out} held out, {options.chains} chains of each; "
          "of each seed the share, then the mean and the mean of the 95 % intervals (bootstrap over captions).")
    for reward in options.rewards:
        reports = {network: [json.loads((network_of(options, seed, reward, network) / "report.json").read_text())["explained"]
                             for seed in options.seeds] for network in NETWORKS}
        print(f"\n`{reward}`\n\n| step | timestep | expected picture | " + " | ".join(NETWORKS) + " |\n|" + "---|" * (3 + len(NETWORKS)))
        for step in range(STEPS):
            columns = [(reports["noisy latent"], "expected")] + [(reports[network], "value") for network in NETWORKS]
            cells = []
            for found, key in columns:
                shares = [report[step][key] for report in found]
                low, high = (statistics.fmean(share["interval_95"][end] for share in shares) for end in (0, 1))
                cells.append("{:.2f} [{:.2f}, {:.2f}] ({})".format(statistics.fmean(share["value"] for share in shares), low, high,
                                                                 ", ".join(f"{share['value']:.2f}" for share in shares)))
            print(f"| {step + 1} of {STEPS} | {reports['noisy latent'][0][step]['timestep']:.0f} | " + " | ".join(cells) + " |")


# --- particles


class Image:
    def __init__(self, rewards):
        self.rewards = rewards


def seeded_captions(options, seed):
    file = options.output / f"seen-{seed}.txt"
    captions = captions_file(options, "seen", CAPTION_SEED).read_text().splitlines()
    first = FIRST_SEED + APART * len(captions) * seed
    file.write_text("".join(f"{caption} --d {first + APART * i}\n" for i, caption in enumerate(captions)))
    return file


def draw(options, folder, seed, *words):
    timed(options, folder.with_suffix(".json"), "sample", "--prompts", seeded_captions(options, seed), *CHAIN, "--output-dir", folder, *words)
    rated = folder.with_suffix(".jsonl")
    if not rated.exists():
        call(options, "score", folder, "--rewards", ",".join(RATED), "--format", "jsonl", "--output", rated.with_suffix(".part"))
        rated.with_suffix(".part").rename(rated)


def run_particles(options, seed):
    draw(options, place_of(options, "particles", "plain", f"seed-{seed}"), seed, "-n", POOL)
    for reward in options.rewards:
        for arm, (words, _, _) in PARTICLES.items():
            words = [network_of(options, seed, reward, word) if word in NETWORKS else word for word in words]
            draw(options, place_of(options, "particles", reward, arm, f"seed-{seed}"), seed, "--reward", reward, *words)


def images_of(folder):
    found = {}
    for line in folder.with_suffix(".jsonl").read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["prompt"], []).append(Image(record["rewards"]))
    return found


def with_interval(values):
    low, high = interval(values)
    return f"{statistics.fmean(values):+.3f} [{low:+.3f}, {high:+.3f}]"


def report_particles(options):
    pools = {seed: images_of(place_of(options, "particles", "plain", f"seed-{seed}")) for seed in options.seeds}
    plain_cost = 2 * STEPS + DECODING
    captions = sorted(pools[options.seeds[0]])
    print(f"\n### particles\n\n{len(captions)} seen captions, seeds {', '.join(map(str, options.seeds))}. Less the best of n plain samples at the same cost "
          f"(n of {POOL}, all choices); then less `decoded`. 95 %: bootstrap over captions, paired; the mean over seeds of each.")
    for reward in options.rewards:
        led = {arm: {seed: images_of(place_of(options, "particles", reward, arm, f"seed-{seed}")) for seed in options.seeds} for arm in PARTICLES}
        gold = "oracle" if reward == "clip_score" else "rater_preference"
        print(f"\n`{reward}`\n\n| arm | cost | n | {reward} | {gold} | less decoded, {reward} | less decoded, {gold} |\n|" + "---|" * 7)
        for arm, (_, passes, decodings) in PARTICLES.items():
            cost, cells = passes + DECODING * decodings, []
            count = min(cost / plain_cost, POOL)
            for rated in (reward, gold):
                cells.append(with_interval([statistics.fmean(led[arm][seed][caption][0].rewards[rated] - best_at(pools[seed][caption], count, reward, rated)
                                                             for seed in options.seeds) for caption in captions]))
            for rated in (reward, gold):
                cells.append("" if arm == "decoded" else with_interval(
                    [statistics.fmean(led[arm][seed][caption][0].rewards[rated] - led["decoded"][seed][caption][0].rewards[rated]
                                      for seed in options.seeds) for caption in captions]))
            print(f"| {arm} | {cost:.0f} | {count:.1f} | " + " | ".join(cells) + " |")


# --- steps


def student(options):
    """The folder of one student of 10-step chains for all seeds; no reward has touched it."""
    folder = place_of(options, "student")
    timed(options, folder.with_suffix(".json"), "distill", "--config", ROOT / "models" / "recipes" / "distill.toml", "--reward", "",
          "--guard", "off", "--teacher_steps", STEPS, "--max_train_steps", 150, "--eval_every", 150, "-o", folder)
    return folder / "model"


def run_steps(options, seed):
    folders = {NETWORK: network_of(options, seed, "aesthetic", "noisy latent"), STUDENT: student(options)}
    for arm, (method, words) in CREDIT.items():
        folder = place_of(options, "steps", arm, f"seed-{seed}")
        if not folder.with_suffix(".json").exists():
            shutil.rmtree(folder, ignore_errors=True)
        timed(options, folder.with_suffix(".json"), "finetune", method, "--reward", "aesthetic", "--prompts", "world", "--max_train_prompts", 64,
              "--num_epochs", EPOCHS, "--prompts_per_epoch", PROMPTS, "--images_per_prompt", IMAGES, "--prompts_per_update", 2,
              "--sample_num_steps", STEPS, "--sample_guidance_scale", 5, "--train", "full", "--learning_rate", "1e-4", "--eval_every", EPOCHS,
              "--eval_prompts", 16, "--eval_images", 2, "--eval_rewards", "oracle", "--guard", "off", "--seed", 100 + seed,
              *[folders.get(word, word) for word in words], "-o", folder)


def cell(gain):
    return f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def kl(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["seen/kl_nats"] for line in lines if line.get("evaluation")][-1]


def report_steps(options):
    print(f"\n### steps\n\n{EPOCHS} epochs of {PROMPTS} captions x {IMAGES} images, the whole network, learning rate 1e-4. Gains over the start on 16 "
          "seen and 16 unseen captions x 2 images; 95 %: a bootstrap over seeds and captions, paired.\n")
    print("| arm | runs | aesthetic, seen | unseen | less the method alone, seen | unseen | oracle, unseen | KL, nats | seconds |\n" + "|---" * 9 + "|")
    done = {arm: {seed: folder for seed in options.seeds if (folder := place_of(options, "steps", arm, f"seed-{seed}")).with_suffix(".json").exists()}
            for arm in CREDIT}
    for arm, folders in done.items():
        if not folders:
            continue
        alone = done[CREDIT[arm][0]]
        both = sorted(set(folders) & set(alone)) if alone is not folders else []
        cells = [cell(bootstrap(list(folders.values()), "aesthetic", split)) for split in ("seen", "unseen")]
        cells += [cell(bootstrap([folders[seed] for seed in both], "aesthetic", split, against=[alone[seed] for seed in both])) if both else ""
                  for split in ("seen", "unseen")]
        cells.append(cell(bootstrap(list(folders.values()), "oracle", "unseen")))
        cells.append(f"{statistics.fmean(map(kl, folders.values())):.0f}")
        cells.append(f"{statistics.fmean(json.loads(folder.with_suffix('.json').read_text())['seconds'] for folder in folders.values()):.0f}")
        print(f"| {arm} | {len(folders)} | " + " | ".join(cells) + " |")


PARTS = {"explained": (run_explained, report_explained), "particles": (run_particles, report_particles), "steps": (run_steps, report_steps)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "value")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--rewards", type=lambda text: text.split(","), default=["clip_score", "aesthetic"])
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--prompts", type=int, default=240, help="captions of a value network")
    parser.add_argument("--held_out", type=int, default=24, help="of these")
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--captions", type=int, default=64, help="of the particles")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        raise SystemExit(f"--parts: expected some of {', '.join(PARTS)}, found {', '.join(unknown)}")
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    for seed in options.seeds if options.action == "run" else []:
        for part in options.parts:
            PARTS[part][0](options, seed)
    for part in options.parts if options.action == "report" else []:
        PARTS[part][1](options)


if __name__ == "__main__":
    main()
