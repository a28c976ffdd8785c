"""Goldens of tests/diffusion_samplers_test.cpp: diffusers' schedulers, step by step, around a fixed
stand-in for the network. Run by hand, from any folder, with torch 2.11 and diffusers 0.42.1:

    python tests/golden/make_schedulers.py

Each case is a row of schedulers.json (class, its scheduler_config.json, steps, eta) and two tensors
of schedulers.safetensors: <i>.timesteps [steps] and <i>.states [steps + 1, 2, 1, 2, 3], the first
being the scaled initial noise of two generators seeded 11 and 12.
"""
import json
import pathlib
import warnings

import diffusers
import torch
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
          steps_offset=1)


def network(x, t):
    return 0.3 * x + 0.5 * torch.sin(3 * x + float(t) / 1000)


def run(name, settings, steps, eta):
    scheduler = getattr(diffusers, name)(**settings)
    scheduler.set_timesteps(steps)
    generators = [torch.Generator().manual_seed(s) for s in (11, 12)]
    x = torch.cat([torch.randn((1, 1, 2, 3), generator=g) for g in generators])
    x = x * scheduler.init_noise_sigma
    states = [x]
    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(x, t), t)
        extra = {}
        if name == "DDIMScheduler":
            extra["eta"] = eta
        if name != "DPMSolverMultistepScheduler":
            if name != "EulerDiscreteScheduler":
                extra["generator"] = generators
        x = scheduler.step(output, t, x, **extra).prev_sample
        states.append(x)
    return scheduler.timesteps.to(torch.float32), torch.stack(states)


def cases():
    for name in ("DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler",
                 "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"):
        base = dict(SD)
        if name in ("DDIMScheduler", "DDPMScheduler"):
            base["clip_sample"] = False
        if name == "DDIMScheduler":
            base["set_alpha_to_one"] = False
        for spacing in ("leading", "trailing", "linspace"):
            for prediction in ("epsilon", "v_prediction", "sample"):
                if name == "EulerAncestralDiscreteScheduler" and prediction == "sample":
                    continue  # diffusers lacks it
                settings = dict(base, timestep_spacing=spacing, prediction_type=prediction)
                for steps in (5, 7, 10):
                    yield name, settings, steps, (0.7 if steps == 7 else float(steps == 10))
        yield name, dict(base, beta_schedule="linear", beta_start=0.0001, beta_end=0.02), 6, 0.0
        yield name, dict(base, beta_schedule="squaredcos_cap_v2"), 6, 1.0
        yield name, dict(base, rescale_betas_zero_snr=True, timestep_spacing="trailing",
                         prediction_type="v_prediction"), 6, 0.0
        yield name, dict(base, steps_offset=0, timestep_spacing="leading"), 8, 0.5
    yield "DDIMScheduler", dict(SD, clip_sample=False, set_alpha_to_one=True), 10, 1.0
    yield "EulerDiscreteScheduler", dict(SD, use_karras_sigmas=True), 8, 0.0
    yield "EulerDiscreteScheduler", dict(SD, final_sigmas_type="sigma_min"), 8, 0.0
    dpm = "DPMSolverMultistepScheduler"
    yield dpm, dict(SD, use_karras_sigmas=True), 8, 0.0
    yield dpm, dict(SD, use_karras_sigmas=True), 20, 0.0
    yield dpm, dict(SD, solver_order=1), 8, 0.0
    yield dpm, dict(SD, final_sigmas_type="sigma_min"), 8, 0.0
    yield dpm, dict(SD, final_sigmas_type="sigma_min", lower_order_final=False), 8, 0.0
    yield dpm, dict(SD, final_sigmas_type="sigma_min", euler_at_final=True), 16, 0.0


def main():
    rows, tensors = [], {}
    for name, settings, steps, eta in cases():
        timesteps, states = run(name, settings, steps, eta)
        assert torch.isfinite(states).all(), (name, settings)
        tensors[f"{len(rows)}.timesteps"], tensors[f"{len(rows)}.states"] = timesteps, states
        rows.append({"config": dict(settings, _class_name=name), "steps": steps, "eta": eta})
    for schedule in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        for zero in (False, True):
            scheduler = diffusers.DDIMScheduler(**dict(SD, beta_schedule=schedule), rescale_betas_zero_snr=zero)
            tensors[f"alphas_cumprod.{schedule}.{int(zero)}"] = scheduler.alphas_cumprod[::37].contiguous()
    save_file(tensors, HERE / "schedulers.safetensors")
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    (HERE / "schedulers.json").write_text(f"[\n{lines}\n]\n")
    print(len(rows), "cases")


if __name__ == "__main__":
    main()
