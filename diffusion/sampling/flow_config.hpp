#pragma once

// The keys of scheduler_config.json that flow matching has, of every class of diffusers that runs
// on its levels.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace diffusion {

struct FlowForm;

// With the values of FlowMatchEulerDiscreteScheduler.
struct FlowConfig {
  double shift = 1;  // shift, of the solvers flow_shift: above 0; S(t) = shift t / (1 + (shift - 1)
                     // t) (Esser et al. 2024, eq. 23)
  bool use_dynamic_shifting = false;  // the shift follows from the image's size
  double base_shift = 0.5, max_shift = 1.15;
  int64_t base_image_seq_len = 256, max_image_seq_len = 4096;  // patches
  double shift_terminal = 0;  // the last time of a run, which the others are stretched to; 0: none
  std::string time_shift_type = "exponential";  // of dynamic shifting: exponential | linear
  // Not in the file. The times before the shift are 1, (n - 1) / n, ... 1 / n, as the pipeline of
  // FLUX.1 gives them to its scheduler.
  bool even_times = false;
  int64_t image_tokens = 0;  // of a run with one size, where make_schedule is told none
};

// The keys of the class of `form`; others have no effect in diffusers and are ignored. Throws
// BadInput naming `source` for values out of range, and for settings that laurel lacks:
// invert_sigmas, stochastic_sampling.
FlowConfig flow_config_from_json(const nlohmann::json& object,
                                 const FlowForm& form,
                                 const std::string& source);

// Adds the keys of the class of `form`.
void add_flow_config(nlohmann::json& object, const FlowConfig& config, const FlowForm& form);

// The shift of an image of `image_tokens` patches. Throws BadInput when the shift is dynamic and
// image_tokens is 0, not told.
double shift_of(const FlowConfig& config, int64_t image_tokens);

}  // namespace diffusion
