#!/usr/bin/env python3
"""laurel against Python's diffusers + PyTorch on one machine: sampling, one PRDP update, one step of distillation.

Every figure comes from a process of its own, the programs taking turns, so that a machine that slows down slows both.
A process warms up once and reports the median of its timed runs; its peak memory is the largest resident size that the
kernel saw (ru_maxrss), program and libraries included.

The PRDP update (Deng et al. 2024) starts from the same kind of trajectories: N latents, T steps, guidance in one double
batch, a rank-8 LoRA on to_q, to_k, to_v and to_out.0, the reference's means already stored, all pairs inside a prompt.
Python does it twice:
  graph  the straightforward way: the log-ratios of all T steps with their graph, the loss, one backward;
  twopass  laurel's own algorithm: the loss's weights first, then one step's graph at a time.

The distillation's step (Luo et al. 2023; Li et al. 2024) trains the whole UNet with a guidance embedding and a moving
average on 16 latents: student, teacher with and without the prompt, target, pseudo-Huber; with the reward also the decoder
and the CLIP score of the student's images. Python does it as diffusers' train_lcm_distill script does: two calls of the
teacher, one backward of the sum.

--shape sd15: the full-size networks with random weights instead of a checkpoint, one step each and no warm-up: the UNet on
a guided image (a batch of 2), a decode of the VAE, and one optimiser step of a rank-8 LoRA on a pair of trajectories of
--update-steps steps (two passes, one trajectory at a time, gradient checkpointing on both sides). --shape sd35m: the
transformer of Stable Diffusion 3.5 medium on a guided image with 333 rows of text. Memory is told above the
size of the weights. On a machine that others use too, the processor's seconds with --threads 1 tell more than the clock's.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ("sampling", "PRDP update", "LCD step", "RG-LCD step")
SHAPE_WORK = {"sd15": ("unet", "vae", "prdp"), "sd21": ("unet", "vae", "prdp"), "sd35m": ("transformer",)}
SHAPE_STAGES = tuple(dict.fromkeys(stage for stages in SHAPE_WORK.values() for stage in stages))


# ---- full-size networks, random weights ------------------------------------------------------------------------------

def shape_unet(options):
    import torch
    from diffusers import UNet2DConditionModel
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    heads = {"attention_head_dim": 8, "cross_attention_dim": 768} if options.shape == "sd15" else {
        "attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True}
    return UNet2DConditionModel(sample_size=options.resolution // 8, **heads).requires_grad_(False).eval()


def shape_unet_work(options):
    import torch
    unet, side = shape_unet(options), options.resolution // 8
    x, context = torch.randn(2, 4, side, side), torch.randn(2, 77, unet.config.cross_attention_dim)

    def run():
        with torch.no_grad():
            unet(x, 500, context)
    return unet, run


def shape_vae_work(options):
    import torch
    from diffusers import AutoencoderKL
    torch.set_num_threads(options.threads)
    vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                        latent_channels=4, sample_size=512).requires_grad_(False).eval()
    latents = torch.randn(1, 4, options.resolution // 8, options.resolution // 8)

    def run():
        with torch.no_grad():
            vae.decode(latents / 0.18215)
    return vae, run


def shape_prdp_work(options):
    """The same update as laurel's: a pair of one prompt, log-ratios stored as 0, weights first, then a step's graph at a time."""
    import torch
    from peft import LoraConfig
    unet, side, steps, sigma = shape_unet(options), options.resolution // 8, options.update_steps, 0.1
    weights = sum(value.nbytes for value in unet.parameters())
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    unet.enable_gradient_checkpointing()
    unet.train()
    params = [value for value in unet.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(params, lr=1e-6)
    latents = torch.randn(2, steps + 1, 4, side, side)
    reference = latents[:, 1:] + sigma * torch.randn(2, steps, 4, side, side)
    context = torch.randn(2, 77, unet.config.cross_attention_dim)
    rewards = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def log_ratio(row, k):
        x, following, mean_reference = latents[row:row + 1, k], latents[row:row + 1, k + 1], reference[row:row + 1, k]
        uncond, cond = unet(torch.cat([x, x]), 951 - 50 * (k % 20), context).sample.chunk(2)
        epsilon = uncond + 5.0 * (cond - uncond)
        mean = 0.9 * x + 0.1 * epsilon
        return ((mean - mean_reference).double() * (2 * following - mean - mean_reference).double()).sum() / (2 * sigma ** 2)

    def run():
        leaf = torch.zeros(2, steps, dtype=torch.float64, requires_grad=True)
        u = leaf.sum(1)
        error = (u[1] - u[0]) - (rewards[1] - rewards[0])
        row_weights = torch.autograd.grad(error.square(), leaf)[0]
        for row in range(2):
            for k in range(steps):
                (log_ratio(row, k) * row_weights[row, k]).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return weights, run


def shape_transformer_work(options):
    import torch
    from diffusers import SD3Transformer2DModel
    torch.set_num_threads(options.threads)
    network = SD3Transformer2DModel(sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096, caption_projection_dim=1536,
                                    pooled_projection_dim=2048, out_channels=16, pos_embed_max_size=384, dual_attention_layers=tuple(range(13)), qk_norm="rms_norm").requires_grad_(False).eval()
    side = options.resolution // 8
    x, context, pooled, t = torch.randn(2, 16, side, side), torch.randn(2, 333, 4096), torch.randn(2, 2048), torch.full((2,), 500)

    def run():
        with torch.no_grad():
            network(x, encoder_hidden_states=context, pooled_projections=pooled, timestep=t)
    return network, run


def shape_worker(options):
    import torch
    make = {"unet": shape_unet_work, "vae": shape_vae_work, "prdp": shape_prdp_work, "transformer": shape_transformer_work}
    holder, run = make[options.worker](options)
    weights = holder if isinstance(holder, int) else sum(value.nbytes for value in holder.parameters())
    times, before = [], time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
        for _ in range(options.repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(times), "cpu_s": (time.process_time() - before) / options.repeats, "weights_mb": weights / 2 ** 20}))


def worker(options):
    if options.shape:
        shape_worker(options)
        return
    import python_side as side
    make = {"sampling": lambda: side.sampling_work(options), "graph": lambda: side.update_work(options, False), "twopass": lambda: side.update_work(options, True),
            "lcd": lambda: side.Distillation(options, False).step, "rg-lcd": lambda: side.Distillation(options, True).step}[options.worker]
    run = make()
    run()
    print(json.dumps({"seconds": statistics.median(side.times_of(options, run, options.repeats))}))


# ---- both sides in turns ---------------------------------------------------------------------------------------------

def measured(command, environment):
    """Runs a process; returns its output and its peak resident size in MB."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, env=environment, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed with {process.returncode}: {' '.join(map(str, command))}")
    return output, usage.ru_maxrss / 1024


def sides(options):
    """Name -> the work that it is compared at and a function that measures it once."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}

    def laurel(stage):
        with tempfile.TemporaryDirectory() as folder:
            figures = pathlib.Path(folder) / "figures.json"
            _, peak = measured([options.laurel, "bench", "--model", options.model, "--only", stage, "--threads", options.threads, "--repeats", options.repeats, "--images", options.images,
                                "--steps", options.steps, "--update_steps", options.update_steps, "--cfg_scale", options.guidance, "--output", figures], environment)
            return {"seconds": json.loads(figures.read_text())["stages"][0]["median_s"], "peak_mb": peak}

    def python(kind):
        output, peak = measured([sys.executable, __file__, "--worker", kind, "--model", options.model, "--threads", options.threads, "--repeats", options.repeats,
                                 "--images", options.images, "--steps", options.steps, "--update-steps", options.update_steps, "--guidance", options.guidance], environment)
        return {"seconds": json.loads(output.splitlines()[-1])["seconds"], "peak_mb": peak}

    return {"sampling": {"laurel": lambda: laurel("sampling"), "diffusers": lambda: python("sampling")},
            "PRDP update": {"laurel": lambda: laurel("PRDP update"), "graph": lambda: python("graph"), "twopass": lambda: python("twopass")},
            "LCD step": {"laurel": lambda: laurel("LCD step"), "diffusers": lambda: python("lcd")},
            "RG-LCD step": {"laurel": lambda: laurel("RG-LCD step"), "diffusers": lambda: python("rg-lcd")}}


def shape_sides(options):
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    common = ["--shape", options.shape, "--resolution", options.resolution, "--threads", options.threads, "--repeats", options.repeats, "--precision", options.precision]

    def laurel(stage):
        with tempfile.TemporaryDirectory() as folder:
            figures = pathlib.Path(folder) / "figures.json"
            _, peak = measured([options.laurel, "bench", *common, "--only", stage, "--update_steps", options.update_steps, "--output", figures], environment)
            stage = json.loads(figures.read_text())["stages"][0]
            return {"seconds": stage["median_s"], "cpu_s": stage["cpu_s"], "peak_mb": peak - stage["weights_mb"], "load": os.getloadavg()[0]}

    def python(stage):
        output, peak = measured([sys.executable, __file__, "--worker", stage, *common, "--update-steps", options.update_steps], environment)
        figures = json.loads(output.splitlines()[-1])
        return {"seconds": figures["seconds"], "cpu_s": figures["cpu_s"], "peak_mb": peak - figures["weights_mb"], "load": os.getloadavg()[0]}

    return {stage: {"laurel": lambda stage=stage: laurel(stage), "diffusers": lambda stage=stage: python(stage)} for stage in SHAPE_WORK[options.shape]}


def report(work, rounds):
    """Ratios round by round: how many times as long as laurel, and laurel's memory as a share."""
    lines, figures = [], {}
    for name in rounds[0]:
        seconds, peak = [entry[name]["seconds"] for entry in rounds], [entry[name]["peak_mb"] for entry in rounds]
        figures[name] = {"seconds": seconds, "peak_mb": peak}
        line = f"{work:12} {name:10} {statistics.median(seconds):8.3f} s ({min(seconds):.3f}..{max(seconds):.3f})  peak {statistics.median(peak):6.0f} MB"
        if name != "laurel":
            times = [entry[name]["seconds"] / entry["laurel"]["seconds"] for entry in rounds]
            share = [entry["laurel"]["peak_mb"] / entry[name]["peak_mb"] for entry in rounds]
            figures[name].update({"times_laurel": times, "laurel_memory_share": share})
            line += f"  laurel is {statistics.median(times):.2f} x as fast ({min(times):.2f}..{max(times):.2f}) with {statistics.median(share):.2f} of the memory"
        lines.append(line)
    return lines, figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laurel", type=pathlib.Path, default=ROOT / "build/release/bin/laurel")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/tiny-world")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, help="timed runs inside a process; default 3, with --shape 1")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=16, help="even")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--update-steps", type=int, help="default 10, with --shape 1")
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--only", choices=WORK + SHAPE_STAGES)
    parser.add_argument("--shape", choices=tuple(SHAPE_WORK), help="full-size networks with random weights instead of --model")
    parser.add_argument("--resolution", type=int, default=512, help="pixels, with --shape")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of matrix products, with --shape")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--worker", choices=("sampling", "graph", "twopass", "lcd", "rg-lcd") + SHAPE_STAGES, help=argparse.SUPPRESS)
    parser.set_defaults(device="cpu", compiled=False, checkpointing=False)
    options = parser.parse_args()
    options.update_steps = options.update_steps or (1 if options.shape else 10)
    options.repeats = options.repeats or (1 if options.shape else 3)
    if options.worker:
        worker(options)
        return
    load = os.getloadavg()[0]
    print(f"{options.threads} threads, load {load:.1f} before the start, {options.images} images, {options.steps} steps, update of {options.update_steps} steps, {options.rounds} rounds", flush=True)
    everything = {"threads": options.threads, "load": load, "images": options.images, "steps": options.steps, "update_steps": options.update_steps, "work": {}}
    for work, programs in (shape_sides if options.shape else sides)(options).items():
        if options.only not in (None, work):
            continue
        rounds = []
        for number in range(options.rounds):
            order = list(programs) if number % 2 == 0 else list(programs)[::-1]
            done = {name: programs[name]() for name in order}
            rounds.append({name: done[name] for name in programs})
            if options.shape:
                print(f"  round {number + 1} {work}: " + ", ".join(f"{name} {value['seconds']:.1f} s ({value['cpu_s']:.1f} s of processor), {value['peak_mb']:.0f} MB above the weights (load {value['load']:.1f})" for name, value in rounds[-1].items()), flush=True)
        lines, everything["work"][work] = report(work, rounds)
        print("\n".join(lines), flush=True)
    if options.output:
        options.output.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
