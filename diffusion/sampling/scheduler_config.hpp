#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/sampling/flow_config.hpp"
#include "diffusion/sampling/noise_level.hpp"

namespace diffusion {

struct Sampler;
struct SigmaSchedule;
extern const Sampler kDdim;  // the default

enum class Spacing { kClassDefault, kLeading, kTrailing, kLinspace };

// The keys of diffusers' scheduler_config.json, with SD 1's values. Latents are never clipped
// (clip_sample), as in diffusers' own StableDiffusionPipeline.
struct SchedulerConfig {
  std::string class_name = "DDIMScheduler";  // written back as it was read
  const Sampler* sampler = &kDdim;           // of class_name; DDIM where laurel lacks the class
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.00085;  // 0..1
  double beta_end = 0.012;
  std::string beta_schedule = "scaled_linear";  // linear | scaled_linear | squaredcos_cap_v2
  std::vector<double> trained_betas;            // when not empty, used in place of beta_schedule
  Prediction prediction_type = Prediction::kEpsilon;
  Spacing timestep_spacing =
      Spacing::kClassDefault;           // leading for DDIM, DDPM and PNDM, else linspace
  int64_t steps_offset = 1;             // of leading spacing
  bool set_alpha_to_one = false;        // DDIM and PNDM: what follows timestep 0
  bool rescale_betas_zero_snr = false;  // Lin et al. 2023, algorithm 1
  // use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas; nullptr: none of them
  const SigmaSchedule* sigma_schedule = nullptr;
  std::string final_sigmas_type = "zero";  // Euler, DPM++, UniPC: zero | sigma_min
  int64_t solver_order = 2;                // DPM++ and UniPC: 1..3, the SDE form 1..2
  std::string solver_type;        // DPM++: midpoint | heun, UniPC: bh1 | bh2; "": the first
                                  // of DPM++, the last of UniPC
  bool lower_order_final = true;  // DPM++ 2M: below 15 steps; DPM++ 2S and UniPC: always
  bool euler_at_final = false;    // DPM++ 2M
  std::vector<int64_t> disable_corrector;  // UniPC: steps, from 0, that no corrector follows
  bool skip_prk_steps = true;              // PNDM: no Runge-Kutta warm-up
  int64_t original_inference_steps = 50;   // LCM and TCD: of the distillation
  double timestep_scaling = 10;            // LCM
  // Set where the levels are those of flow matching: betas and timestep_spacing then have no
  // effect, and prediction_type is kFlow.
  std::optional<FlowConfig> flow{};
};

// Reads <folder>/scheduler_config.json, or the file itself; keys of no effect here are ignored.
// steps_offset becomes 1 whatever the file says, as StableDiffusionPipeline does. Throws BadInput
// for an unknown _class_name, beta_schedule, prediction_type or spacing, and names the nearest
// known one; and for settings that laurel lacks (thresholding, invert_sigmas, ...).
SchedulerConfig read_scheduler_config(const std::filesystem::path& folder_or_file);

// Writes <folder>/scheduler_config.json; diffusers reads it.
void write_scheduler_config(const std::filesystem::path& folder, const SchedulerConfig& config);

Spacing spacing_from_name(const std::string& name, const std::string& where);
std::string spacing_name(Spacing spacing);
Prediction prediction_from_name(const std::string& name, const std::string& where);
std::string prediction_name(Prediction prediction);

}  // namespace diffusion
