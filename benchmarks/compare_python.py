#!/usr/bin/env python3
"""laurel against Python's diffusers + PyTorch on one machine: sampling, and one PRDP update.

Every figure comes from a process of its own, the programs taking turns, so that a machine that slows down slows both.
A process warms up once and reports the median of its timed runs; its peak memory is the largest resident size that the
kernel saw (ru_maxrss), program and libraries included.

The PRDP update (Deng et al. 2024) starts from the same kind of trajectories: N latents, T steps, guidance in one double
batch, a rank-8 LoRA on to_q, to_k, to_v and to_out.0, the reference's means already stored, all pairs inside a prompt.
Python does it twice:
  graph  the straightforward way: the log-ratios of all T steps with their graph, the loss, one backward;
  twopass  laurel's own algorithm: the loss's weights first, then one step's graph at a time.
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
WORK = ("sampling", "PRDP update")


# ---- the Python side, in a process of its own ------------------------------------------------------------------------

def timed(run, repeats):
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def prompts_of(count):
    return [f"a {('red', 'green', 'blue', 'yellow')[k % 4]} {('circle', 'square', 'triangle')[k % 3]}" for k in range(count)]


def load_pipeline(options):
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    torch.set_num_threads(options.threads)
    pipeline = StableDiffusionPipeline.from_pretrained(options.model, torch_dtype=torch.float32, safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sampling_work(options):
    import torch
    pipeline = load_pipeline(options)

    def run():
        generators = [torch.Generator().manual_seed(k) for k in range(options.images)]
        pipeline(prompts_of(options.images), num_inference_steps=options.steps, guidance_scale=options.guidance, eta=0.0, generator=generators, output_type="np")
    return run


class Chain:
    """Trajectories of the base model, and DDIM steps at eta 1 as Gaussians (Song et al. 2021, eq. 12 and 16)."""

    def __init__(self, options):
        import torch
        self.torch, self.options = torch, options
        pipeline = load_pipeline(options)
        pipeline.scheduler.set_timesteps(options.update_steps)
        self.unet = pipeline.unet.requires_grad_(False)
        self.times = pipeline.scheduler.timesteps.tolist()
        self.abar = pipeline.scheduler.alphas_cumprod.double()
        self.gap = pipeline.scheduler.config.num_train_timesteps // options.update_steps
        with torch.no_grad():
            condition = pipeline.encode_prompt(["a red circle", "a blue square"], "cpu", 1, True, [""] * 2)
        self.texts = condition[0].repeat_interleave(options.images // 2, 0)
        self.empty = condition[1][:1].expand(options.images, -1, -1)
        generator = torch.Generator().manual_seed(1)
        shape = (options.images, self.unet.config.in_channels, self.unet.config.sample_size, self.unet.config.sample_size)
        self.latents, self.reference = [torch.randn(shape, generator=generator)], []
        with torch.no_grad():
            for k in range(options.update_steps):
                mean, sigma = self.mean(k)
                self.reference.append(mean)
                self.latents.append(mean + sigma * torch.randn(shape, generator=generator))
        self.rewards = torch.randn(options.images, generator=generator, dtype=torch.float64)

    def mean(self, k):
        torch, x, t = self.torch, self.latents[k], self.times[k]
        both = self.unet(torch.cat([x, x]), t, torch.cat([self.empty, self.texts])).sample
        uncond, cond = both.chunk(2)
        epsilon = uncond + self.options.guidance * (cond - uncond)
        now, before = float(self.abar[t]), float(self.abar[max(t - self.gap, 0)])
        variance = (1 - before) / (1 - now) * (1 - now / before)
        sigma = max(variance ** 0.5, 0.1)
        x0 = (x - (1 - now) ** 0.5 * epsilon) / now ** 0.5
        return before ** 0.5 * x0 + max(1 - before - sigma ** 2, 0.0) ** 0.5 * epsilon, sigma

    def log_ratio(self, k):
        """log pi / pi_ref of step k, in nats. -> [N] fp64"""
        mean, sigma = self.mean(k)
        reference = self.reference[k]
        return ((mean - reference).double() * (2 * self.latents[k + 1] - mean - reference).double()).sum((1, 2, 3)) / (2 * sigma ** 2)

    def loss(self, ratios):
        """PRDP, eq. 10 and 12: the squared error of each pair's reward difference. ratios: [N, T]"""
        torch, half = self.torch, self.options.images // 2
        clipped = ratios + (ratios.clamp(-0.2, 0.2) - ratios).detach()
        total = torch.zeros((), dtype=torch.float64)
        for first in (0, half):
            u, r = clipped.sum(1)[first:first + half], self.rewards[first:first + half]
            error = (u[:, None] - u[None]) - (r[:, None] - r[None])
            total = total + error.square().sum() / 2
        return total / (half * (half - 1))


def update_work(options, two_pass):
    from peft import LoraConfig
    chain = Chain(options)
    torch, steps = chain.torch, range(options.update_steps)
    chain.unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    params = [value for value in chain.unet.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(params, lr=1e-6)
    stored = torch.zeros(options.images, options.update_steps, dtype=torch.float64)  # the policy that drew is the one updated

    def run():
        if two_pass:
            leaf = stored.clone().requires_grad_(True)
            weights = torch.autograd.grad(chain.loss(leaf), leaf)[0]
            for k in steps:
                (chain.log_ratio(k) * weights[:, k]).sum().backward()
        else:
            chain.loss(torch.stack([chain.log_ratio(k) for k in steps], 1)).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return run


def worker(options):
    make = {"sampling": lambda: sampling_work(options), "graph": lambda: update_work(options, False), "twopass": lambda: update_work(options, True)}[options.worker]
    print(json.dumps({"seconds": timed(make(), options.repeats)}))


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
            "PRDP update": {"laurel": lambda: laurel("PRDP update"), "graph": lambda: python("graph"), "twopass": lambda: python("twopass")}}


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
    parser.add_argument("--repeats", type=int, default=3, help="timed runs inside a process")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=16, help="even")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--update-steps", type=int, default=10)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--only", choices=WORK)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--worker", choices=("sampling", "graph", "twopass"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return
    load = os.getloadavg()[0]
    print(f"{options.threads} threads, load {load:.1f} before the start, {options.images} images, {options.steps} steps, update of {options.update_steps} steps, {options.rounds} rounds", flush=True)
    everything = {"threads": options.threads, "load": load, "images": options.images, "steps": options.steps, "update_steps": options.update_steps, "work": {}}
    for work, programs in sides(options).items():
        if options.only not in (None, work):
            continue
        rounds = []
        for number in range(options.rounds):
            order = list(programs) if number % 2 == 0 else list(programs)[::-1]
            done = {name: programs[name]() for name in order}
            rounds.append({name: done[name] for name in programs})
        lines, everything["work"][work] = report(work, rounds)
        print("\n".join(lines), flush=True)
    if options.output:
        options.output.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
