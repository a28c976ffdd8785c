#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace diffusion {

// What the network's output means; diffusers' prediction_type.
enum class Prediction { kEpsilon, kV, kSample };

// The sampling methods. A diffusers scheduler that laurel lacks is read for its noise schedule and
// sampled with kDdim.
enum class Sampler { kDdim, kDdpm, kEuler, kEulerAncestral, kDpmpp2m };

enum class Spacing { kClassDefault, kLeading, kTrailing, kLinspace };

// The keys of diffusers' scheduler_config.json, with SD 1's values where a key is absent and
// diffusers' classes disagree. Latents are never clipped (clip_sample), as in diffusers' own
// StableDiffusionPipeline.
struct SchedulerConfig {
  std::string class_name = "DDIMScheduler";  // written back as it was read
  Sampler sampler = Sampler::kDdim;          // that class_name stands for
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.00085;  // 0..1
  double beta_end = 0.012;
  std::string beta_schedule = "scaled_linear";  // linear | scaled_linear | squaredcos_cap_v2
  std::vector<double> trained_betas;            // when not empty, used in place of beta_schedule
  Prediction prediction_type = Prediction::kEpsilon;
  Spacing timestep_spacing = Spacing::kClassDefault;  // leading for DDIM and DDPM, else linspace
  int64_t steps_offset = 1;                           // of leading spacing
  bool set_alpha_to_one = false;                      // DDIM: what follows timestep 0
  bool rescale_betas_zero_snr = false;                // Lin et al. 2023, algorithm 1
  bool use_karras_sigmas = false;                     // Euler and DPM++ 2M
  int64_t solver_order = 2;                           // DPM++: 1 or 2
  bool lower_order_final = true;                      // DPM++: below 15 steps
  bool euler_at_final = false;                        // DPM++
  std::string final_sigmas_type = "zero";             // Euler, DPM++: zero | sigma_min
};

// Reads <folder>/scheduler_config.json, or the file itself. Keys of no effect here are passed over.
// steps_offset becomes 1 whatever the file says, as StableDiffusionPipeline does. Throws BadInput
// for an unknown _class_name, beta_schedule, prediction_type or spacing (the nearest known one is
// named), and for settings that latent diffusion here lacks (thresholding, learned variance).
SchedulerConfig read_scheduler_config(const std::filesystem::path& folder_or_file);

// Writes <folder>/scheduler_config.json; diffusers reads it.
void write_scheduler_config(const std::filesystem::path& folder, const SchedulerConfig& config);

struct SamplerChoice {
  Sampler sampler = Sampler::kDdim;
  bool karras = false;
};

// "ddim", "euler_a", "Euler a", "dpm++2m", "DPM++ 2M Karras", "DPMSolverMultistepScheduler": the
// spellings of diffusers, of stable-diffusion.cpp and of web UIs. Throws BadInput, `where` first.
SamplerChoice sampler_from_name(const std::string& name, const std::string& where);

// As web UIs print it: "DPM++ 2M Karras".
std::string sampler_label(const SamplerChoice& choice);

Spacing spacing_from_name(const std::string& name, const std::string& where);
std::string spacing_name(Spacing spacing);
Prediction prediction_from_name(const std::string& name, const std::string& where);
std::string prediction_name(Prediction prediction);

}  // namespace diffusion
