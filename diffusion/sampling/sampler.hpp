#pragma once

// Sampling methods. Each equals diffusers' scheduler of its name, step by step.
//
// All of them are linear in the state x, the network's outputs and fresh noise. So a method is a
// table with a row of coefficients for each call of the network, and one loop runs them all.

#include <functional>
#include <optional>
#include <vector>

#include "diffusion/sampling/noise_schedule.hpp"
#include "diffusion/sampling/random_noise.hpp"

namespace diffusion {

// The guided output of the network for x: [B, C, H, W] at `timestep` (fractional for some methods)
// -> [B, C, H, W].
using Denoiser = std::function<at::Tensor(const at::Tensor& x, double timestep)>;

// A call of the network, before the state that follows is made.
struct SamplerCallState {
  int64_t call = 0, calls = 1;  // 0 .. calls - 1 of the run
  at::Tensor x0;                // [B, C, H, W] what the output says of it
  // [B] fp64: the log-density of the noise that led here from the state before, as the step would
  // be with SamplerOptions::unmoved, less that as it was. Undefined: without it, at the first call,
  // and where the step drew no noise.
  at::Tensor log_ratio{};
};

struct SamplerOptions {
  const Sampler* sampler = &kDdim;
  int64_t steps = 20;    // 1..num_train_timesteps, of LCM and TCD 1..original_inference_steps
  double eta = 0.0;      // 0..1, DDIM: 1 is the DDPM posterior; TCD: its gamma; 0 is deterministic
  double sigma_min = 0;  // DDIM: floor of a step's sigma, see ddim_steps
  // Called after each call of the network with the number of calls done.
  std::function<void(int64_t done)> on_step{};
  // Called after each call of the network: which rows go on, [B] int64; undefined: all as they are.
  // Two copies of a row part with the next noise that is drawn, each from its own generator.
  std::function<at::Tensor(const SamplerCallState& state)> select{};
  // Of a network whose output a guide has moved: the output of the call just made without the move,
  // [B, C, H, W].
  std::function<at::Tensor()> unmoved{};
};

// A network's output read as both x0 and epsilon, by `predict`.
struct BothEstimates {
  Prediction prediction = Prediction::kEpsilon;
  NoiseLevel level{};
};

// One call of the network on x, and the x that follows. e[0], e[1], ... are the estimates so far,
// the newest first; each call adds one.
struct SamplerCall {
  double timestep = 0;     // what the network is told
  double input_scale = 1;  // the network sees input_scale x
  OutputTransform estimate{};
  // In place of `estimate`: the call adds x0 as e[0] and epsilon as e[1].
  std::optional<BothEstimates> both{};
  // start = start_from_x x + start_from_start (start of the call before) + sum start_from_estimates
  // e
  double start_from_x = 1, start_from_start = 0;
  std::vector<double> start_from_estimates{};
  // next x = from_start start + sum from_estimates e + from_noise z + from_previous_noise (z of the
  // call before), z standard normal
  double from_start = 0;
  std::vector<double> from_estimates{};
  double from_noise = 0, from_previous_noise = 0;
};
struct SamplerTable {
  double initial_scale = 1;  // x starts at initial_scale * noise
  std::vector<SamplerCall> calls{};
};

// How a method runs on the levels of flow matching, where it does.
struct FlowForm {
  // diffusers' class, whose use_flow_sigmas it is where Sampler::diffusers_class is the same;
  // nullptr: none
  const char* diffusers_class = nullptr;
  std::vector<const char*> config_keys{};  // of FlowConfig, that the class has
  bool takes_sigma_schedule = false;       // Karras sigmas and the like
  bool starts_from_one = false;            // in sigma_levels: see flow_solver_times
  SamplerTable (*table)(const NoiseSchedule&, const SamplerOptions&) = nullptr;
};

// A sampling method. Each row is defined in diffusion/sampling/methods/ beside its table, and
// listed in sampler_catalog.cpp.
struct Sampler {
  const char* flag;             // of --sampling-method: "dpm++2m"
  const char* label;            // of web UIs: "DPM++ 2M"
  const char* diffusers_class;  // "DPMSolverMultistepScheduler"
  // Its algorithm_type, where the class has several. The first row of a class is its default.
  const char* algorithm_type = nullptr;
  // Further spellings, in lower case without spaces, - and _, and with ++ for pp: "dpmsolver++"
  std::vector<const char*> aliases{};
  // The keys of scheduler_config.json that this class has and most lack.
  std::vector<const char*> config_keys{};
  bool takes_sigma_schedule = false;  // Karras sigmas and the like
  bool integer_timesteps = false;     // in sigma_levels: the class rounds its timesteps
  bool has_eta = false;
  // Whether a run draws noise after the initial latents.
  bool (*stochastic)(const SamplerOptions&);
  // The values of absent keys where the class differs from most; nullptr: nowhere.
  void (*class_defaults)(SchedulerConfig&) = nullptr;
  // Throws BadInput when the options do not fit the schedule.
  SamplerTable (*table)(const NoiseSchedule&, const SamplerOptions&);
  const FlowForm* flow = nullptr;  // nullptr: it does not run on flow matching
};

// Values of Sampler::stochastic.
inline bool draws_always(const SamplerOptions&) { return true; }
inline bool draws_never(const SamplerOptions&) { return false; }
inline bool draws_with_eta(const SamplerOptions& options) { return options.eta > 0; }

// options.sampler's table. Throws BadInput as `sample` does.
SamplerTable sampler_table(const NoiseSchedule& schedule, const SamplerOptions& options);

// noise: [B, C, H, W] standard normal, the first draw of the generators (B of them, or none where
// the method draws nothing more). -> [B, C, H, W] latents x0, unit variance
// Throws BadInput when the options do not fit the schedule.
at::Tensor sample(const Denoiser& denoiser,
                  const at::Tensor& noise,
                  const NoiseSchedule& schedule,
                  std::vector<at::Generator>& generators,
                  const SamplerOptions& options);

// The same from a noised image instead of noise, in the last part of the steps (Meng et al. 2021,
// "SDEdit"; diffusers' img2img). latents: [B, C, H, W] of the image, unit variance; strength: (0,
// 1], the part of the steps that runs, at least one step.
struct InitialImage {
  at::Tensor latents;
  double strength = 1;
};
at::Tensor sample_from(const InitialImage& image,
                       const Denoiser& denoiser,
                       const at::Tensor& noise,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options);

// How often `sample` calls the network: `steps`, or more (PNDM: one more; Heun and DPM++ SDE: twice
// as often but one). Throws as it does.
int64_t network_calls(const NoiseSchedule& schedule, const SamplerOptions& options);

// Whether a run draws noise after the initial latents.
bool draws_noise(const SamplerOptions& options);

// Throws BadInput that names the methods which run on flow matching when `config` is of it and
// `sampler` is none of them, or when the method takes no sigmas of the config's kind there.
void check_runs_on(const SchedulerConfig& config, const Sampler& sampler);

}  // namespace diffusion
