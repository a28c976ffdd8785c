#pragma once

// An editing model and edits of milliseconds.

#include <cmath>

#include "diffusion/pipeline/edit_conditioning.hpp"
#include "finetune/edit/edit.hpp"
#include "tests/support/tiny/families.hpp"
#include "tests/support/tiny/run.hpp"

namespace tests {

inline diffusion::RewardBranchConfig native_branch() {
  diffusion::RewardBranchConfig config;
  config.layout = diffusion::RewardLayout::kNative;
  config.embedding_dim = 4;
  return config;
}

inline diffusion::RewardBranchConfig published_branch() {
  diffusion::RewardBranchConfig config = diffusion::published_reward_config();
  config.embedding_dim = 4;
  config.text_dim = 8;
  return config;
}

// tiny_ip2p() with a silent reward branch.
inline diffusion::Pipeline tiny_editor(
    const diffusion::RewardBranchConfig& branch = native_branch()) {
  diffusion::Pipeline pipeline = tiny_ip2p();
  auto generator = at::detail::createCPUGenerator(3);
  pipeline.network =
      diffusion::with_reward_branch(diffusion::unet_of(pipeline.network), branch, generator);
  return pipeline;
}

// Makes the branch speak: random numbers in its last layers.
inline void unsilence(diffusion::UNet& unet) {
  auto generator = at::detail::createCPUGenerator(4);
  for (at::Tensor* tensor :
       {&unet.reward.time_2.weight, &unet.reward.text_time.weight, &unet.reward.proj_out.weight}) {
    if (tensor->defined()) *tensor = at::randn(tensor->sizes(), generator) * 0.3;
  }
}

inline finetune::EncodedEdits random_edits(int64_t count, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  finetune::EncodedEdits edits{at::randn({count, 4, 8, 8}, generator).to(at::kHalf),
                               at::randn({count, 4, 8, 8}, generator).to(at::kHalf),
                               at::full({count, 4, 8, 8}, 0.1).to(at::kHalf),
                               at::rand({count, 3}, generator) * 5,
                               {},
                               {}};
  edits.scores[0][1] = std::nan("");
  for (int64_t i = 0; i < count; ++i) {
    edits.instructions.push_back(i % 2 ? "a" : "b");
    edits.feedback.push_back(i % 3 ? "blurred" : "");
  }
  return edits;
}

inline finetune::EditData edit_data() {
  finetune::EditData data{random_edits(12, 5), random_edits(4, 6), {}, {}, {}};
  data.texts.hidden = [](const std::vector<std::string>& texts) {
    static const finetune::TrainingTask task = tiny_task();
    return finetune::encode(task, {texts.begin(), texts.end()}).hidden;
  };
  data.sources = at::rand({4, 3, 8, 8});
  data.edited = data.sources;
  return data;
}

inline finetune::TrainingTask edit_task() {
  finetune::TrainingTask task =
      finetune::make_training_task(std::make_shared<diffusion::Pipeline>(tiny_editor()));
  task.eval_rewards = {{channel_reward("greenness", 1, true), 1.0}};
  task.model = "tiny";
  task.config_text = "learning_rate = 0.001\nmax_train_steps = 4\n";
  return task;
}

inline finetune::EditConfig edit_config() {
  finetune::EditConfig config;
  config.train_full = true;
  config.ema_decay = 0.9;
  config.max_train_steps = 4;
  config.train_batch_size = 4;
  config.eval_every = 2;
  config.eval_prompts = 2;
  config.eval_images = 1;
  config.eval_steps = 2;
  config.checkpointing_steps = 2;
  config.checkpoints_total_limit = 0;
  return config;
}

}  // namespace tests
