#pragma once

// The list of sampling methods, and what diffusers, stable-diffusion.cpp, ComfyUI, kohya and web
// UIs call them.

#include <string>
#include <vector>

#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {

// In the order of --help.
const std::vector<const Sampler*>& samplers();

// The method of a flag, "euler_a". Throws where there is none: for flags that code names.
const Sampler* sampler_of_flag(const std::string& flag);

// The method of a class of diffusers, the first of its methods where it has several; nullptr where
// laurel lacks it.
const Sampler* sampler_of_class(const std::string& class_name);

// The form on flow matching of diffusers' class of that name; nullptr: it has none here.
const FlowForm* flow_form_of_class(const std::string& class_name);

// Whether that class runs on flow matching's levels alone.
bool runs_on_flow_alone(const std::string& class_name);

struct SamplerChoice {
  const Sampler* sampler = &kDdim;
  const SigmaSchedule* sigma_schedule = nullptr;  // nullptr: as the timesteps are spaced
};

// "ddim", "euler_a", "Euler a", "dpm++2m", "dpmpp_2m_sde", "DPM++ 2M Karras", "k_heun",
// "UniPCMultistepScheduler". Throws BadInput, `where` first, that names the nearest known one.
SamplerChoice sampler_from_name(const std::string& name, const std::string& where);

// "ddim, ddpm, pndm, ...": what --help lists.
std::string sampler_flags();

// As web UIs print it: "DPM++ 2M Karras".
std::string sampler_label(const SamplerChoice& choice);

// diffusers' classes that have a method here.
std::vector<std::string> sampler_classes();

}  // namespace diffusion
