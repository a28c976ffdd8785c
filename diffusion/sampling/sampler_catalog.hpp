#pragma once

// The sampling methods and what diffusers, stable-diffusion.cpp, ComfyUI, kohya and web UIs call
// them.

#include <optional>
#include <string>
#include <vector>

namespace diffusion {

enum class Sampler {
  kDdim,
  kDdpm,
  kPndm,
  kEuler,
  kEulerAncestral,
  kHeun,
  kDpmpp2m,     // DPM-Solver++, multistep
  kDpmpp2mSde,  // its SDE form
  kDpmpp2s,     // DPM-Solver++, singlestep
  kDpmppSde,    // two evaluations a step, noise after both
  kUniPc,
  kLcm,
  kTcd
};

// How the noise levels of the methods that think in sigma are spread: as the timesteps are, or by
// Karras et al. 2022, evenly in log sigma, by a beta distribution (Lee et al. 2024).
enum class Sigmas { kPlain, kKarras, kExponential, kBeta };

struct SamplerChoice {
  Sampler sampler = Sampler::kDdim;
  Sigmas sigmas = Sigmas::kPlain;
};

// "ddim", "euler_a", "Euler a", "dpm++2m", "dpmpp_2m_sde", "DPM++ 2M Karras", "k_heun",
// "UniPCMultistepScheduler". Throws BadInput, `where` first, that names the nearest known one.
SamplerChoice sampler_from_name(const std::string& name, const std::string& where);

// "ddim, ddpm, pndm, ...": what --help lists.
std::string sampler_flags();

// As web UIs print it: "DPM++ 2M Karras".
std::string sampler_label(const SamplerChoice& choice);

// diffusers' class -> its method; none where laurel lacks it. DPMSolverMultistepScheduler is
// kDpmpp2m, whatever its algorithm_type.
std::optional<Sampler> sampler_of_class(const std::string& class_name);

// diffusers' classes that have a method here.
std::vector<std::string> sampler_classes();

// Whether the method takes Sigmas other than plain ones.
bool spreads_sigmas(Sampler sampler);

// Whether it has an eta: DDIM and TCD.
bool has_eta(Sampler sampler);

}  // namespace diffusion
