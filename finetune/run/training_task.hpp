#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/networks/network.hpp"
#include "diffusion/pipeline/conditioning.hpp"
#include "diffusion/sampling/scheduler_config.hpp"
#include "finetune/distributed/process_group.hpp"
#include "rewards/reward.hpp"

namespace finetune {

// What a run works on: the model's parts as functions, prompts, rewards.
struct Task {
  diffusion::Network unet;     // the starting model
  diffusion::Network teacher;  // of a distillation: what the starting model was made from
  diffusion::SchedulerConfig scheduler;
  std::vector<int64_t> latent_shape;  // {C, H, W}
  int64_t vae_factor = 8;             // pixels of an image per latent, along a side
  at::Device device = at::kCPU;
  std::function<diffusion::TextCondition(const std::vector<std::string>& prompts)>
      encode;                                             // -> N rows
  std::function<diffusion::TextCondition()> uncondition;  // -> 1 row: what guidance starts from
  at::Tensor time_ids;                                    // [1, 6] SDXL's; undefined otherwise
  // What an editing model begins with: the prompts then name edits. Empty: it edits nothing.
  std::function<diffusion::EditCondition(const std::vector<std::string>& prompts)> edit;
  std::function<at::Tensor(const at::Tensor& latents)>
      decode;  // [B, C, H, W] -> [B, 3, H, W] fp32 in [0, 1]
  std::function<at::Tensor(const at::Tensor& latents)>
      decode_unclamped;                   // the same, before it is cut to [0, 1]; differentiable
  std::function<void(bool on)> tile_vae;  // makes `decode` work in tiles; empty: it cannot
  // Writes a whole checkpoint with this UNet, in diffusers' layout; empty: it cannot.
  std::function<void(const std::filesystem::path& folder,
                     const diffusion::Network& unet,
                     const diffusion::SchedulerConfig& scheduler)>
      save_pipeline;
  std::function<at::Tensor(const at::Tensor& images)>
      embed;  // -> [B, D] features for diversity; empty: the pixels

  std::vector<std::string> prompts;       // trained on
  std::vector<std::string> seen, unseen;  // evaluated: from among them, and not
  std::vector<rewards::Reward> rewards;   // trained
  std::vector<rewards::Reward> watched;   // evaluated only: held-out and gold

  std::string model;        // where the model came from, for records
  std::string config_text;  // the resolved configuration, `key = value` a line
  bool synthetic = false;   // the built-in world
};

// Each image by each reward, in raw units. -> [B, M] fp64 on the CPU
at::Tensor score_images(const std::vector<rewards::Reward>& rewards,
                        const at::Tensor& images,
                        const std::vector<std::string>& prompts,
                        const ProcessGroup& ranks = {});

// How a run tells about itself.
struct Reporter {
  std::function<void(const std::string& line)> say = [](const std::string&) {};
  std::function<void(const std::string& what, int64_t done, int64_t total)> progress =
      [](const std::string&, int64_t, int64_t) {};
};

}  // namespace finetune
