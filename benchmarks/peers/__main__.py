"""laurel beside the programs that people use for the same work, on one machine, in turns.   python3 benchmarks/peers --quick

Peers (rows.py): diffusers eager and compiled, OpenVINO, stable-diffusion.cpp, open_clip. They are installed from PyPI into the
output folder, stable-diffusion.cpp is compiled there; a peer that cannot be installed is named and its rows stay empty. Models
have random weights and are written once: the arithmetic does not know.

Works: `start` (a program's start alone), `unet` and `transformer` (a guided step of one image: a batch of 2), `vae` (a decode of
one image), `sample` (a whole command or script, start to image, 4 steps), `prdp` (one optimiser step of a rank-8 LoRA on a pair
of trajectories), `DRaFT step` and `LCD step` (of a rank-8 LoRA on two images, DRaFT-1 with a chain of one step), `score` (an
image of 512 px, of which a ViT-B/32's share). With --shape tiny, the embedded model: `sampling` (16 images, 20 steps), `update` (of PRDP, 10 steps), `DRaFT step`, and of the whole network `LCD step`, `RG-LCD step`.

Every figure is of a process of its own, pinned to --cores. Steps and decodes are timed inside it, after one untimed run; `start`,
`sample` and `score` from outside. Programs take turns, each round in the other order. Processor seconds (user and system) are
compared, because other load on a machine moves the clock more. A round that is in results.jsonl is not measured again.
"""
import argparse
import hashlib
import json
import os
import pathlib
import sys

from measure import Failed, Results
from rows import LAUREL, PEERS
from table import markdown

ROOT = pathlib.Path(__file__).resolve().parents[2]
FULL = ("start", "unet", "vae", "sample", "prdp", "DRaFT step", "LCD step", "score")
SHAPES = {"sd15": FULL, "sd21": FULL, "sdxl": ("start", "unet", "vae", "sample"), "sd35m": ("start", "transformer"),
          "tiny": ("start", "sample", "sampling", "update", "DRaFT step", "LCD step", "RG-LCD step", "score")}
RESOLUTIONS = {"sd15": 512, "sd21": 768, "sdxl": 1024, "sd35m": 1024, "tiny": 64}
QUICK = {"shape": "sd15", "resolution": 256, "rounds": 1, "repeats": 1, "count": 34, "only": ["start", "unet", "vae", "sample", "score"],
         "peers": ["laurel", "diffusers", "OpenVINO", "stable-diffusion.cpp", "open_clip"]}


class Context(argparse.Namespace):
    """The options, and what the peers' rows keep."""
    python = None
    round = 0

    def log(self, name):
        return self.output / f"{name}.log"


def parsed():
    parser = argparse.ArgumentParser(prog="benchmarks/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round at 256 px, no compiled diffusers, no training: meant for five minutes of an idle machine")
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build/release/bin/laurel")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs/peers", help="folder of the environments, models and results")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="sd15")
    parser.add_argument("--resolution", type=int, help="pixels; default: the shape's own")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--cores", help="processors to use, as 0,1; default: the first --threads")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="timed runs inside a process")
    parser.add_argument("--only", nargs="+", metavar="WORK", help=f"works: {', '.join(dict.fromkeys(work for works in SHAPES.values() for work in works))}")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help=f"beside laurel: {', '.join(peer.name for peer in PEERS[1:])}")
    parser.add_argument("--count", type=int, default=130, help="images of score")
    parser.add_argument("--update-steps", type=int, help="of the update's trajectories; default 1, tiny 10")
    options = parser.parse_args(namespace=Context())
    if options.quick:
        vars(options).update(QUICK)
    return resolved(parser, options)


def resolved(parser, options):
    """Defaults that depend on others; refuses what is not known."""
    works, names, tiny = SHAPES[options.shape], [peer.name for peer in PEERS], options.shape == "tiny"
    options.only, options.peers = options.only or list(works), options.peers or names
    for word, known in [(word, works) for word in options.only] + [(word, names) for word in options.peers]:
        if word not in known:
            parser.error(f"expected one of {', '.join(known)}, found '{word}'")
    options.resolution = options.resolution or RESOLUTIONS[options.shape]
    options.update_steps = options.update_steps or (10 if tiny else 1)
    options.cores = {int(word) for word in options.cores.split(",")} if options.cores else set(sorted(os.sched_getaffinity(0))[: options.threads])
    options.train, options.checkpointing = ("full", False) if tiny else ("lora", True)
    options.images = 16 if tiny else 2
    options.steps, options.sample_steps, options.guidance, options.prompt = 20, 4, 5.0, "a red circle on a blue background"
    options.drawn = {}  # a round's process of stable-diffusion.cpp
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    return options


def key_of(options, peer, work, number):
    """What a figure belongs to. laurel's own are of one program file."""
    key = {name: getattr(options, name) for name in ("shape", "resolution", "precision", "threads", "repeats")} | {"peer": peer.name, "work": work, "round": number}
    if work == "score":
        key["count"] = options.count
    if peer is LAUREL:
        key["program"] = hashlib.sha256(options.laurel.read_bytes()).hexdigest()[:12]
    return key


def installed(options):
    """-> the peers that are there, and why others are not."""
    present, reasons = [], {}
    for peer in [peer for peer in PEERS if peer is LAUREL or peer.name in options.peers]:
        try:
            peer.install(options)
            present.append(peer)
        except (Failed, OSError) as problem:
            if peer is LAUREL:
                raise SystemExit(f"benchmarks/peers: {problem}") from problem
            reasons[peer.name] = f"missing: {problem}"
            print(f"{peer.name} is missing, its rows stay empty: {problem}", file=sys.stderr)
    return present, reasons


def measured(options, results, peer, work, number):
    """-> a line of the results, or None and why."""
    key, options.round = key_of(options, peer, work, number), number
    line = results.find(key)
    if line:
        return line, None
    try:
        line = results.add(key, peer.works[work](options))
    except Failed as problem:
        print(f"{peer.name}, {work}: {problem}", file=sys.stderr)
        return None, f"failed: {problem}"
    figures = line["figures"]
    print(f"  {work}, round {number}, {peer.name}: {figures['wall']:.3f} s, {figures['user'] + figures['system']:.3f} s of processor, peak {figures['peak_mb']:.0f} MB (load {line['load']})", flush=True)
    return line, None


def main():
    options = parsed()
    present, reasons = installed(options)
    results, lines = Results(options.output / "results.jsonl"), {}
    empty = {(name, work): reason for name, reason in reasons.items() for work in options.only}
    for work in options.only:
        able = [peer for peer in present if work in peer.works]
        empty |= {(peer.name, work): peer.cannot[work] for peer in present if work in peer.cannot}
        for number in range(1, options.rounds + 1):
            for peer in able if number % 2 else able[::-1]:
                line, reason = measured(options, results, peer, work, number)
                if line:
                    lines.setdefault((work, peer.name), []).append(line)
                else:
                    empty[peer.name, work] = reason
    text = markdown(options, lines, empty)
    (options.output / "table.md").write_text(text)
    print("\n" + text)


if __name__ == "__main__":
    main()
