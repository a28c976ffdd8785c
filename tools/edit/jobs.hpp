#pragma once

// The jobs of `laurel edit`: one per image to write.

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
  uint64_t seed = 0;  // of the first candidate; the next ones count up
  int64_t steps = 0;
  double cfg_text = 0, cfg_image = 0, request_scale = 1, strength = 1;
  std::vector<double> request, request_low;  // one per axis, NaN: unset; empty: no request
  std::string feedback;
  std::string set;               // in the gallery: "instruction_following 5"; "": none
  std::filesystem::path output;  // the file to write
  std::string where;             // "jobs.jsonl:12"; "": the command line
};

using Warn = std::function<void(const std::string&)>;

// Parses "5,5,5" (one value per axis, `-` for unset), "AXIS=5,...", "none", "auto" (the highest
// value on every axis). Clamps values to the model's range, with a warning. Throws BadInput for an
// unknown axis (with the known ones), a wrong number of values, and a model without reward
// conditioning.
std::vector<double> parse_request(const std::string& text,
                                  const diffusion::RewardBranchConfig& axes,
                                  const std::string& where,
                                  const Warn& warn);
// "instruction_following=5, generation_quality=4"; "" without a request
std::string request_text(const std::vector<double>& request,
                         const diffusion::RewardBranchConfig& axes);

struct EditPlan {
  std::vector<EditJob> jobs;
  std::vector<std::string> faults;  // of invalid lines of the batch
};
// Throws BadInput for options that contradict each other.
void check_edit(const ImageEditConfig& config);
// The jobs for the given images, or for the lines of the batch file: `count` of each, or one per
// value of a sweep. `random_seed` replaces a seed of -1. Throws BadInput for bad options.
EditPlan plan_edits(const ImageEditConfig& config,
                    const diffusion::RewardBranchConfig& axes,
                    uint64_t random_seed,
                    const Warn& warn);

// InstructPix2Pix's size rule: the longer side is about `resolution`, both sides are multiples of
// `unit` (8 latent elements: 64 pixels for Stable Diffusion).
struct PixelSize {
  int64_t width, height;
};
PixelSize edit_size(int64_t width, int64_t height, int64_t resolution, int64_t unit);

// The largest centred crop of this aspect ratio, resized. image: [C, H, W] -> [C, height, width]
at::Tensor fitted_middle(const at::Tensor& image, const PixelSize& size);

}  // namespace tools
