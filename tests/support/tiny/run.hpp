#pragma once

// A training run of milliseconds: a task of a small model, and what a run leaves behind.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "finetune/policy/config.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "finetune/run/run_folder.hpp"
#include "finetune/run/training_run.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace tests {

// The mean of a colour channel, as the world's smallest taste.
inline rewards::Reward channel_reward(const std::string& name,
                                      int64_t channel,
                                      bool differentiable) {
  return {{.name = name, .unit = "x10", .differentiable = differentiable},
          [channel](const rewards::RewardBatch& batch) {
            return 10 * batch.images.select(1, channel).mean({1, 2});
          }};
}

// A model whose latents are its pixels: 8 x 8, an image is latent / 5 + 0.5, so that few values of
// a normal latent are cut to [0, 1].
inline std::shared_ptr<diffusion::Pipeline> tiny_pixel_pipeline() {
  const auto pipeline = std::make_shared<diffusion::Pipeline>(tiny_pipeline());
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::UNetConfig unet = tiny_unet_config();
  unet.in_channels = unet.out_channels = 3;
  pipeline->network = diffusion::make_unet(unet, generator);
  pipeline->vae = diffusion::identity_vae(8);
  pipeline->vae.config.scaling_factor = 2.5;
  return pipeline;
}

// Redness is trained, greenness is held out.
inline finetune::TrainingTask tiny_task() {
  finetune::TrainingTask task = finetune::make_training_task(tiny_pixel_pipeline());
  task.prompts = {"a", "b", "c", "d"};
  task.seen = {"a", "b"};
  task.unseen = {"y", "z"};
  task.rewards = {{channel_reward("redness", 0, true), 1.0}};
  task.eval_rewards = {{channel_reward("greenness", 1, true), 1.0}};
  task.model = "tiny";
  return task;
}

// What short runs have in common: images of three steps, four LoRA ranks, an evaluation and a
// checkpoint every second epoch or step.
template <class Config>
Config short_run() {
  Config config;
  config.sample_num_steps = 3;
  config.sample_guidance_scale = 2;
  config.rank = 4;
  config.learning_rate = 1e-2;
  config.eval_every = 2;
  config.eval_prompts = 2;
  config.eval_images = 2;
  config.checkpointing_steps = 2;
  config.checkpoints_total_limit = 0;
  return config;
}

// Four epochs of eight images.
template <class Config>
Config short_online_run() {
  auto config = short_run<Config>();
  config.num_epochs = 4;
  config.prompts_per_epoch = 2;
  config.images_per_prompt = 4;
  config.sample_batch_size = 8;
  return config;
}

inline finetune::FinetuneConfig tiny_config(const std::string& method = "prdp") {
  auto config = short_online_run<finetune::FinetuneConfig>();
  config.method = finetune::policy_method(method);
  config.sigma_min = 0.1;
  config.skip_sharp_steps = false;
  config.train_batch_size = 8;
  return config;
}

inline finetune::RunOptions run_options(const std::filesystem::path& folder,
                                        const std::string& kind,
                                        int64_t seed,
                                        const std::string& resume) {
  finetune::RunOptions options;
  options.folder = folder;
  options.resume_from = resume;
  options.record = {.kind = kind,
                    .model = "tiny",
                    .reward = "redness",
                    .device = "cpu",
                    .seed = seed,
                    .synthetic = false};
  return options;
}

// Keeps what is said, where it is asked for.
inline finetune::Reporter reporter_into(std::vector<std::string>* said) {
  finetune::Reporter reporter;
  if (said) reporter.say = [said](const std::string& line) { said->push_back(line); };
  return reporter;
}

// A run's lines of metrics, those of evaluations or the others.
inline std::vector<nlohmann::json> metrics(const std::filesystem::path& folder, bool evaluation) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(data::read_file(folder / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(data::parse_json(line));
    if (lines.back().value("evaluation", false) != evaluation) lines.pop_back();
  }
  return lines;
}

inline void expect_same_tensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const auto first = data::read_safetensors(a), second = data::read_safetensors(b);
  ASSERT_EQ(first.tensors.size(), second.tensors.size());
  for (const auto& [name, tensor] : first.tensors)
    EXPECT_TRUE(at::equal(tensor, second.tensors.at(name))) << name;
}

}  // namespace tests
