#pragma once

#include <ATen/core/Generator.h>

#include <filesystem>
#include <map>
#include <string>

#include "data/train/optimizers.hpp"

namespace train {

// The state of a training loop, from which it resumes bit for bit: one safetensors file, written
// atomically.
struct TrainState {
  Params params;
  AdamWState adamw;
  Ema ema;
  at::Generator generator;  // on the CPU
  std::map<std::string, std::string>
      metadata;  // step, data cursor, digest of the configuration, ..
};

void save_state(const std::filesystem::path& path, const TrainState& state);

// Copies the file's values into the tensors of `state`, whose names and shapes must match, and
// fills `metadata`. Throws BadInput with the tensor's name otherwise.
void load_state(const std::filesystem::path& path, TrainState& state);

}  // namespace train
