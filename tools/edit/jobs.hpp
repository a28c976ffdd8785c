#pragma once

// The edits that `laurel edit` comes to.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "tools/edit/options.hpp"

namespace tools {

struct EditJob {
  std::filesystem::path image, mask;  // mask "": none
  std::string instruction, negative_prompt, caption;
  uint64_t seed = 0;  // of the first of its candidates, then counting up
  int64_t steps = 0;
  double cfg_text = 0, cfg_image = 0, request_scale = 1, strength = 1;
  std::vector<double> request, request_low;  // one an axis, NaN: not asked for; empty: nothing
  std::string feedback;
  std::string set;               // of the gallery: "instruction_following 5"; "": none
  std::filesystem::path output;  // the file to write
  std::string where;             // "jobs.jsonl:12"; "": the command line
};

using Warn = std::function<void(const std::string&)>;

// "5,5,5" (a value an axis, `-` for none), "AXIS=5,...", "none", "auto" (the highest on every
// axis); values outside the range are brought to its end, with a warning. Throws BadInput for an
// unknown axis (the known ones are listed), another number of values, and a model that reads none.
std::vector<double> parse_request(const std::string& text,
                                  const diffusion::RewardBranchConfig& axes,
                                  const std::string& where,
                                  const Warn& warn);
// "instruction_following=5, generation_quality=4"; "": nothing is asked for
std::string request_text(const std::vector<double>& request,
                         const diffusion::RewardBranchConfig& axes);

struct EditPlan {
  std::vector<EditJob> jobs;
  std::vector<std::string> faults;  // lines of the batch that are no edits
};
// What the flags alone tell to be wrong. Throws BadInput.
void check_edit(const EditConfig& config);
// The images of the flags, or the lines of the batch file; each `count` times, or once at each
// value of a sweep. `random_seed` stands in for a seed of -1. Throws BadInput for bad flags.
EditPlan plan_edits(const EditConfig& config,
                    const diffusion::RewardBranchConfig& axes,
                    uint64_t random_seed,
                    const Warn& warn);

// InstructPix2Pix's size rule: the longer side about `resolution`, both multiples of `unit` (64
// pixels of Stable Diffusion; eight latent elements).
struct PixelSize {
  int64_t width, height;
};
PixelSize edit_size(int64_t width, int64_t height, int64_t resolution, int64_t unit);

// The largest middle part of that shape, resized. image: [C, H, W] -> [C, height, width]
at::Tensor fitted_middle(const at::Tensor& image, const PixelSize& size);

}  // namespace tools
