#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/images/edit_dataset.hpp"
#include "diffusion/pipeline/edit_conditioning.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/distributed/process_group.hpp"
#include "rewards/reward.hpp"

namespace finetune {

// What images are made from: a text, or the edit of a source image. Converts from its text.
struct TrainingPrompt {
  TrainingPrompt(std::string words = "") : text(std::move(words)) {}
  TrainingPrompt(const char* words) : text(words) {}
  explicit TrainingPrompt(const data::EditTriple& triple)
      : text(triple.instruction), edit(triple) {}
  std::string text;                        // of an edit: the instruction
  std::optional<data::EditTriple> edit{};  // its edited image is not looked at
};
// As records name it: the text, of an edit "000012.png: make the red circle blue".
std::string label_of(const TrainingPrompt& prompt);

// What a run works on: the model, prompts, rewards.
struct TrainingTask {
  std::shared_ptr<diffusion::Pipeline> pipeline;  // text encoders, VAE, schedule; on the device
  diffusion::Network unet;                        // the starting model
  diffusion::Network teacher;          // of a distillation: what the starting model was made from
  std::vector<int64_t> latent_shape;   // {C, H, W}
  at::Device device = at::kCPU;        // of the networks in training
  std::string negative_prompt{};       // what guidance starts from
  diffusion::RewardRequest request{};  // what edits should earn
  double image_guidance_scale = 1;     // of edits; 1: none
  // -> [B, D] features for diversity; empty: the pixels. A function, since the model that has them
  // is a reward's.
  std::function<at::Tensor(const at::Tensor& images)> embed{};

  std::vector<TrainingPrompt> prompts;                // trained on
  std::vector<TrainingPrompt> seen, unseen;           // evaluated: from among them, and not
  std::vector<rewards::WeightedReward> rewards;       // trained
  std::vector<rewards::WeightedReward> eval_rewards;  // evaluated only: held-out and gold
  std::vector<std::string> guard_rewards{};  // names of those evaluated by which the guard judges

  std::string model;        // where the model came from, for records
  std::string config_text;  // the resolved configuration, `key = value` a line
  bool synthetic = false;   // the built-in world
};

// At the pipeline's network and schedule, on its device. `pixels`: of an image's sides; 0: the
// model's own.
TrainingTask make_training_task(std::shared_ptr<diffusion::Pipeline> pipeline, int64_t pixels = 0);

// Pixels of an image per latent, along a side.
int64_t vae_factor(const TrainingTask& task);

// -> N rows on the task's device
diffusion::TextCondition encode(const TrainingTask& task,
                                const std::vector<TrainingPrompt>& prompts);
// What guidance starts from. -> 1 row on the task's device
diffusion::TextCondition unconditional(const TrainingTask& task);
// SDXL's size conditions of the task's images. -> [1, 6] on the task's device; else undefined
at::Tensor size_conditions(const TrainingTask& task);
// What the network reads of edits' sources (the middle square, at the task's size) and of the
// request. -> N rows on the task's device; nothing where the prompts are texts alone
diffusion::EditCondition edit_condition(const TrainingTask& task,
                                        const std::vector<TrainingPrompt>& prompts);

// latents: [B, C, h, w], unit variance -> [B, 3, H, W] in [0, 1], fp32 at least: rewards see no
// half precision
at::Tensor decode(const TrainingTask& task, const at::Tensor& latents);
// The same before it is cut to [0, 1]; differentiable.
at::Tensor decode_unclamped(const TrainingTask& task, const at::Tensor& latents);
// Makes `decode` work in tiles, or not, in every copy of the task.
void tile_vae(const TrainingTask& task, bool on);

// Writes a whole checkpoint with this UNet, in diffusers' layout.
void save_pipeline(const TrainingTask& task,
                   const std::filesystem::path& folder,
                   const diffusion::Network& unet,
                   const diffusion::SchedulerConfig& scheduler);

// Images and what they were made from, as rewards see them.
rewards::RewardBatch reward_batch(const at::Tensor& images,
                                  const std::vector<TrainingPrompt>& prompts);
// Each image by each reward, in raw units; rewards that compare images refuse. -> [B, M] fp64 on
// the CPU
at::Tensor score_images(const std::vector<rewards::WeightedReward>& rewards,
                        const at::Tensor& images,
                        const std::vector<TrainingPrompt>& prompts,
                        const ProcessGroup& ranks = {});

// The measures of images by these rewards (rewards/combine/measures.hpp), some of which may compare
// a prompt's images: scores_of makes them scores. -> [B, W] fp64 on the CPU
at::Tensor measure_images(const std::vector<rewards::WeightedReward>& rewards,
                          const at::Tensor& images,
                          const std::vector<TrainingPrompt>& prompts,
                          const ProcessGroup& ranks = {});

// Those of the evaluated rewards by which the guard judges, in order.
std::vector<rewards::WeightedReward> guard_rewards_of(const TrainingTask& task);

// How a run tells about itself.
struct Reporter {
  std::function<void(const std::string& line)> say = [](const std::string&) {};
  std::function<void(const std::string& what, int64_t done, int64_t total)> progress =
      [](const std::string&, int64_t, int64_t) {};
};

}  // namespace finetune
