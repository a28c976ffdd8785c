#pragma once

// How rewards changed since the start at the same prompts and seeds.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace guard {

// What a change of a reward is measured in: its pooled deviation within a prompt; with one image a
// prompt, over all images; 1 where it does not vary. start: [I, H] raw -> [H] fp64
at::Tensor change_scales(const at::Tensor& start, const std::vector<int64_t>& prompt_ids);

struct PairedChange {
  double mean = 0;                  // over rewards, then over prompts, in deviations of the start
  double error = 0;                 // standard error of the mean over prompts; NaN with one prompt
  double bound = 0;                 // the mean is below it with confidence 1 - level; NaN as error
  int64_t prompts = 0;              // that have a finite score before and after
  std::vector<double> by_reward{};  // H, each the mean over its prompts; NaN without any
  std::vector<double> by_image{};   // I, the mean over rewards; NaN without any
};
// The paired test over prompts: mean + t(1 - level, G - 1) error < 0 proves a fall. Scores that are
// not finite are left out. now, start: [I, H] raw, row for row at the same prompt and seed; scales:
// [H] > 0; level: in (0, 1). Throws c10::Error for other shapes.
PairedChange paired_change(const at::Tensor& now,
                           const at::Tensor& start,
                           const at::Tensor& scales,
                           const std::vector<int64_t>& prompt_ids,
                           double level);

// The mean is below it with confidence 1 - level, in (0, 1), by Student's t; NaN with one prompt.
double upper_bound(const PairedChange& change, double level);

}  // namespace guard
