#pragma once

// The stages of `laurel bench`: one per use of a model.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/clip/model.hpp"
#include "tools/bench/measure.hpp"

namespace bench {

struct StageOptions {
  int64_t images = 8;         // of end-to-end sampling and the PRDP update
  int64_t steps = 20;         // of sampling
  int64_t update_steps = 10;  // steps of the update's trajectories
  double guidance = 5.0;
  bool gradient_checkpointing = false;  // in the update, the DRaFT and distillation steps
  std::string train = "full";           // of distillation steps: "lora" or "full"
  at::Device device = at::kCPU;         // of UNet, VAE and CLIP
};

// Text encoder (only on the CPU), UNet at batches of 1, 8 and 16, UNet training step, VAE encode
// and decode, end-to-end sampling of one image and of `images`, guided sampling, with a CLIP its
// image features, the scores of JPEGs and an aesthetic reward of one and of five members, one PRDP
// update of a LoRA, one DRaFT step of a LoRA, one distillation step. The pipeline and the CLIP must
// outlive the stages.
std::vector<StagePlan> make_stages(const diffusion::Pipeline& pipeline,
                                   const std::optional<rewards::Clip>& clip,
                                   const StageOptions& options);

}  // namespace bench
