"""Goldens of tests/diffusion/sampling/sampler_test.cpp: diffusers' schedulers, step by step, around a fixed
stand-in for the network. Run by hand, from any folder, with torch 2.11 and diffusers 0.42.1 (and
torchsde 0.2.6 and scipy 1.17, which diffusers asks for DPMSolverSDEScheduler and beta sigmas):

    python tests/golden/make/make_schedulers.py

Each case is a row of schedulers.json (class, its scheduler_config.json, steps, eta) and two tensors
of schedulers.safetensors: <i>.timesteps [calls] and <i>.states [calls + 1, 2, 1, 2, 3], the first
being the scaled initial noise of two generators seeded 11 and 12.

DPMSolverSDEScheduler takes no generator: its noise is torchsde's Brownian tree. Here the same
Brownian motion comes from the two generators, a draw for each of its increments.
"""
import inspect
import itertools
import json
import pathlib
import warnings

import diffusers
import torch
from diffusers.schedulers import scheduling_dpmsolver_sde
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).resolve().parents[1]
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
          steps_offset=1)


def network(x, t):
    return 0.3 * x + 0.5 * torch.sin(3 * x + float(t) / 1000)


class Brownian:
    """The increments W(from) - W(to) over sqrt(from - to), asked for first from -> middle, then from -> to."""
    generators = []

    def __init__(self, x, sigma_min, sigma_max, seed):
        self.shape, self.asked = (1, *x.shape[1:]), None

    def __call__(self, start, end):
        part = torch.cat([torch.randn(self.shape, generator=g) for g in Brownian.generators])
        if self.asked is None:
            self.asked = (end, part)
            return part
        (middle, first), self.asked = self.asked, None
        return ((start - middle).sqrt() * first + (middle - end).sqrt() * part) / (start - end).sqrt()


scheduling_dpmsolver_sde.BrownianTreeNoiseSampler = Brownian


def shift_of(config, image_tokens):
    """The mu of diffusers' pipelines (calculate_shift)."""
    slope = (config["max_shift"] - config["base_shift"]) / (config["max_image_seq_len"] - config["base_image_seq_len"])
    return image_tokens * slope + config["base_shift"] - slope * config["base_image_seq_len"]


def run(name, settings, steps, eta, image_tokens):
    scheduler = getattr(diffusers, name)(**settings)
    extra = {"mu": shift_of(dict(FLUX, **scheduler.config), image_tokens)} if image_tokens else {}
    scheduler.set_timesteps(steps, **extra)
    generators = Brownian.generators = [torch.Generator().manual_seed(s) for s in (11, 12)]
    x = torch.cat([torch.randn((1, 1, 2, 3), generator=g) for g in generators])
    x = x * getattr(scheduler, "init_noise_sigma", 1)  # flow matching has none
    takes = inspect.signature(scheduler.step).parameters
    extra = {key: value for key, value in dict(eta=eta, generator=generators).items() if key in takes}
    if name == "EulerDiscreteScheduler":
        del extra["generator"]  # of churn, which has none here
    states = [x]
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = network(scaled, t)
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


SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
ZERO_SNR = dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")
SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def pndm_cases():
    base, name = dict(SD, skip_prk_steps=True, set_alpha_to_one=False), "PNDMScheduler"
    for prediction in PREDICTIONS[:2]:  # diffusers lacks sample
        for spacing in SPACINGS:
            for steps in (5, 10):
                yield name, dict(base, timestep_spacing=spacing, prediction_type=prediction), steps, 0.0
        for steps in (4, 6, 10):
            yield name, dict(base, skip_prk_steps=False, prediction_type=prediction), steps, 0.0
    for steps in (1, 2, 3):
        yield name, base, steps, 0.0
    yield name, dict(base, set_alpha_to_one=True, steps_offset=0), 8, 0.0
    yield name, dict(base, beta_schedule="squaredcos_cap_v2"), 6, 0.0


def sigma_cases(name, base=SD, predictions=PREDICTIONS, spacings=SPACINGS):
    for prediction in predictions:
        for spacing in spacings:
            for steps in (5, 8):
                settings = dict(base, prediction_type=prediction)
                yield name, settings if spacing is None else dict(settings, timestep_spacing=spacing), steps, 0.0
    for key in SIGMAS:
        yield name, dict(base, **{key: True}), 7, 0.0
    yield name, dict(base, beta_schedule="squaredcos_cap_v2"), 6, 0.0
    yield name, base, 1, 0.0


def dpm_cases():
    multi, single = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
    sde = dict(SD, algorithm_type="sde-dpmsolver++")
    yield from sigma_cases(multi, sde)
    for settings in (dict(use_karras_sigmas=True, timestep_spacing="leading"), dict(solver_type="heun"),
                     dict(solver_order=1), dict(final_sigmas_type="sigma_min", euler_at_final=True), ZERO_SNR):
        yield multi, dict(sde, **settings), 9, 0.0
    for steps in (6, 17):
        for settings in (dict(solver_order=3), dict(solver_type="heun"), dict(use_exponential_sigmas=True),
                         dict(use_beta_sigmas=True), dict(solver_order=3, final_sigmas_type="sigma_min")):
            yield multi, dict(SD, **settings), steps, 0.0
    base = {key: value for key, value in SD.items() if key != "steps_offset"}
    yield from sigma_cases(single, base, spacings=(None,))
    for steps in (6, 7, 8):
        for solver in ("midpoint", "heun"):
            yield single, dict(base, solver_order=3, solver_type=solver), steps, 0.0
            yield single, dict(base, solver_type=solver, final_sigmas_type="sigma_min"), steps, 0.0
    yield single, dict(base, solver_order=1), 6, 0.0


def unipc_cases():
    name = "UniPCMultistepScheduler"
    yield from sigma_cases(name)
    for settings in (dict(solver_order=1), dict(solver_order=3), ZERO_SNR,
                     dict(solver_type="bh1", final_sigmas_type="sigma_min"),  # to zero, diffusers has NaN
                     dict(solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min"),
                     dict(disable_corrector=[0, 2]),
                     dict(final_sigmas_type="sigma_min"), dict(final_sigmas_type="sigma_min", use_karras_sigmas=True),
                     dict(final_sigmas_type="sigma_min", lower_order_final=False)):
        yield name, dict(SD, **settings), 9, 0.0


def deis_cases():
    name = "DEISMultistepScheduler"
    yield from sigma_cases(name)
    for settings in (dict(solver_order=1), dict(lower_order_final=False)):
        for steps in (9, 17):
            yield name, dict(SD, **settings), steps, 0.0
    for steps in (2, 9, 12):  # with more, the third order's fp32 coefficients of diffusers lose digits
        yield name, dict(SD, solver_order=3), steps, 0.0
    yield name, dict(SD, solver_order=3, use_exponential_sigmas=True), 9, 0.0
    yield name, dict(SD, solver_order=3, lower_order_final=False), 9, 0.0


def distilled_cases():
    for name in ("LCMScheduler", "TCDScheduler"):
        for prediction in PREDICTIONS:
            for steps in (1, 4, 7):
                for eta in (0.0, 0.3, 1.0) if name == "TCDScheduler" else (0.0,):
                    yield name, dict(SD, prediction_type=prediction), steps, eta
        for settings in (dict(original_inference_steps=30), dict(original_inference_steps=8),
                         dict(beta_schedule="linear", beta_start=0.0001, beta_end=0.02),
                         dict(rescale_betas_zero_snr=True, prediction_type="v_prediction")):
            yield name, dict(SD, **settings), 8, 0.4
    yield "LCMScheduler", dict(SD, timestep_scaling=0.01), 3, 0.0


def newer_cases():
    yield from pndm_cases()
    yield from sigma_cases("HeunDiscreteScheduler")
    yield from sigma_cases("DPMSolverSDEScheduler", predictions=PREDICTIONS[:2])  # diffusers lacks sample
    for key in SIGMAS[1:]:
        yield "EulerDiscreteScheduler", dict(SD, **{key: True}), 8, 0.0
    yield from dpm_cases()
    yield from unipc_cases()
    yield from distilled_cases()
    yield from deis_cases()


FLUX = dict(base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096)


def flow_cases():
    """Of flow matching: with the number of an image's patches where the shift is dynamic."""
    euler, heun = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
    for steps in (1, 2, 4, 10, 28, 50):
        yield euler, dict(shift=3.0), steps, 0
    fewer = dict(num_train_timesteps=500, shift=2.0)
    for settings in ({}, dict(shift=1.5), dict(shift=3.0, shift_terminal=0.1), fewer):
        yield euler, settings, 7, 0
        if "shift_terminal" not in settings:
            yield heun, settings, 7, 0
    for key in SIGMAS:
        yield euler, dict(shift=3.0, **{key: True}), 8, 0
    dynamic = dict(FLUX, shift=3.0, use_dynamic_shifting=True)
    for tokens in (16, 1024, 4096):
        yield euler, dynamic, 4, tokens
    yield euler, dict(dynamic, time_shift_type="linear", base_shift=0.6), 6, 1024
    yield euler, dict(dynamic, use_karras_sigmas=True, shift_terminal=0.02), 6, 1024
    for steps in (1, 2, 5):
        yield heun, dict(shift=3.0), steps, 0
    base = dict(SD, prediction_type="flow_prediction", use_flow_sigmas=True)
    multi, single, unipc = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler"
    for name in (multi, single, unipc):
        settings = {key: value for key, value in base.items() if name != single or key != "steps_offset"}
        for steps in (1, 4, 9, 17):
            yield name, dict(settings, flow_shift=3.0), steps, 0
        yield name, settings, 6, 0
        yield name, dict(settings, solver_order=3, flow_shift=1.5), 7, 0
        yield name, dict(settings, use_dynamic_shifting=True), 5, 1024
    for settings in (dict(solver_type="heun"), dict(algorithm_type="sde-dpmsolver++"), dict(euler_at_final=True)):
        for steps in (5, 17):
            yield multi, dict(base, flow_shift=3.0, **settings), steps, 0
    yield unipc, dict(base, flow_shift=3.0, shift_terminal=0.05), 8, 0


def all_cases():
    for name, settings, steps, eta in itertools.chain(cases(), newer_cases()):
        yield name, settings, steps, eta, 0
    for name, settings, steps, image_tokens in flow_cases():
        yield name, settings, steps, 0.0, image_tokens


def main():
    rows, tensors = [], {}
    for name, settings, steps, eta, image_tokens in all_cases():
        timesteps, states = run(name, settings, steps, eta, image_tokens)
        assert torch.isfinite(states).all(), (name, settings)
        tensors[f"{len(rows)}.timesteps"], tensors[f"{len(rows)}.states"] = timesteps, states
        rows.append({"config": dict(settings, _class_name=name), "steps": steps, "eta": eta})
        if image_tokens:
            rows[-1]["image_tokens"] = image_tokens
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
