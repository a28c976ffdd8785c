#pragma once

// What a call of `laurel edit` holds.

#include <ATen/core/Tensor.h>

#include <set>
#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/reward.hpp"
#include "tools/edit/jobs.hpp"
#include "tools/sample/guides/kinds.hpp"
#include "tools/sample/sampler_choice.hpp"

namespace tools {

struct EditRun {
  ImageEditConfig config;
  diffusion::Pipeline pipeline;
  diffusion::SamplerChoice choice;
  std::vector<rewards::WeightedReward> rewards;
  GuideSetting guide;
  EditPlan plan;
  int64_t micro_batch = 1;
  std::set<std::string> recorded;  // outputs that kEditResults tells of already
  size_t written = 0, passed = 0;
};

// A job with its images.
struct LoadedEdit {
  const EditJob* job;
  at::Tensor source, mask;  // [3, H, W], [1, H, W] or undefined
};

}  // namespace tools
