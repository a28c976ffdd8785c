#pragma once

// What `laurel distill` is told.

#include <string>
#include <vector>

#include "finetune/distill/config.hpp"
#include "tools/finetune/training_options.hpp"

namespace tools {

struct DistillCommand : TrainingCommand {
  finetune::DistillConfig config;
  std::string data;        // "world", a folder; empty: the world for the embedded model
  std::string latents;     // file where encoded images are kept; empty: nowhere
  std::string max_memory;  // "12GB"; empty: a GPU's free memory
  int64_t images = 4000;
  std::string loss_type = "huber", reward_view = "whole";
  double guidance_scale = 8.5;  // w + 1
  int64_t guidance_width = -1;  // of the student's embedding; -1: 256, of adapters 0
};

void declare_distill(Options& options, DistillCommand& command);

// Moves what was given as text into the config, and checks what single options cannot. Throws
// BadInput.
void resolve_distill(DistillCommand& command);

}  // namespace tools
