#pragma once

#include <ATen/core/Generator.h>

#include <filesystem>
#include <map>
#include <string>

#include "data/train/optimizers.hpp"

namespace train {

// Everything that a training loop needs to go on bit for bit: one safetensors file, written
// atomically.
struct TrainState {
  Params params;
  AdamWState adamw;
  Ema ema;
  at::Generator generator;                   // a CPU generator
  std::map<std::string, std::string> notes;  // step, data cursor, digest of the configuration, ...
};

void save_state(const std::filesystem::path& path, const TrainState& state);

// Puts the file's values into the tensors that `state` already holds (names and shapes must fit)
// and fills `notes`. Throws BadInput naming the tensor otherwise.
void load_state(const std::filesystem::path& path, TrainState& state);

}  // namespace train
