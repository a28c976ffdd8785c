#pragma once

// A teacher, latents and rewards of milliseconds, for tests of distillation.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "finetune/distill/distill.hpp"
#include "tests/support/tiny/run.hpp"

namespace tests {

inline finetune::TrainingTask distill_task(int64_t time_cond_proj_dim = 16) {
  finetune::TrainingTask task = tiny_task();
  task.teacher = task.unet;
  task.unet = finetune::make_student(task.teacher, time_cond_proj_dim);
  task.config_text = "learning_rate = 0.001\nmax_train_steps = 4\n";
  return task;
}

inline finetune::EncodedImages distill_data() {
  auto generator = at::detail::createCPUGenerator(2);
  return {at::randn({12, 3, 8, 8}, generator).to(at::kHalf),
          at::full({12, 3, 8, 8}, 0.1).to(at::kHalf),
          {"a", "b", "c", "d", "a", "b", "c", "d", "a", "b", "c", "d"}};
}

inline finetune::DistillConfig distill_config() {
  finetune::DistillConfig config;
  config.train_full = true;
  config.learning_rate = 1e-3;
  config.adam_weight_decay = 0;
  config.ema_decay = 0.95;
  config.max_train_steps = 4;
  config.train_batch_size = 4;
  config.time_cond_proj_dim = 16;
  config.beta = 0.01;
  config.reward_chunk = 3;
  config.eval_every = 2;
  config.eval_prompts = 2;
  config.eval_images = 2;
  config.teacher_steps = 4;
  config.checkpointing_steps = 2;
  config.checkpoints_total_limit = 0;
  return config;
}

}  // namespace tests
