#pragma once

// What laurel does with a model, one stage each.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/clip/model.hpp"
#include "tools/bench/measure.hpp"

namespace bench {

struct StageOptions {
  int64_t images = 8;         // of end-to-end sampling and of the PRDP update
  int64_t steps = 20;         // of sampling
  int64_t update_steps = 10;  // of the update's trajectories
  double guidance = 5.0;
  bool gradient_checkpointing = false;  // of the update and the steps of distillation
  at::Device device = at::kCPU;         // where UNet, VAE and CLIP are
};

// Text encoder (on the CPU alone), UNet at batches of 1, 8 and 16, its training step, VAE both
// ways, sampling end to end of one image and of `images`, image features and scores of JPEGs where
// there is a CLIP, one PRDP update of a LoRA, and a step of distillation. The pipeline and the CLIP
// must outlive them.
std::vector<StagePlan> make_stages(const diffusion::Pipeline& pipeline,
                                   const std::optional<rewards::Clip>& clip,
                                   const StageOptions& options);

}  // namespace bench
