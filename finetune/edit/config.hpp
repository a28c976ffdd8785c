#pragma once

#include "finetune/task/training_config.hpp"

namespace finetune {

// What the training of an editing model is told. Names and defaults are those of diffusers'
// train_instruct_pix2pix where it has one.
struct EditConfig : TrainingConfig {
  int64_t max_train_steps = 10000;
  int64_t train_batch_size = 32;
  // p: of the edits, p lose the text alone, p text and image, p the image alone (Brooks et al.
  // 2023, 3.2.1).
  double conditioning_dropout_prob = 0.05;
  double reward_dropout = 0.1;       // all axes at once, and the feedback
  double reward_axis_dropout = 0.1;  // each axis by itself
  bool shuffle_scores = false;       // the control: scores of other edits of the batch

  int64_t eval_steps = 20;    // of the evaluation's samples, DDIM
  double guidance_scale = 1;  // 1: none
  double image_guidance_scale = 1;
};

}  // namespace finetune
