#pragma once

// The chains of one prompt as a file: those that `laurel train-reward value` draws, and those that
// a finetuning run keeps.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace rewards {

struct ChainFile {
  std::string prompt{};
  at::Tensor latents{};   // [n, T, C, h, w] fp16, what the sampler's network was given at each step
  at::Tensor clean{};     // [n, C, h, w] fp32, unit variance: the ends
  at::Tensor expected{};  // [n, T, C, h, w] fp16, the x0 that its output said; undefined: not kept
  // Of a finetuning run; undefined otherwise.
  at::Tensor rewards{};    // [n, M] fp64, of the ends, in each reward's unit
  at::Tensor combined{};   // [n] fp64, the one reward that the run made of them
  at::Tensor text{};       // [D] fp32, the mean of the text encoder's rows
  at::Tensor timesteps{};  // [T] fp64
};

// Whole or not at all.
void write_chain_file(const std::filesystem::path& path, const ChainFile& chains);

// Mapped from the file. Throws BadInput where it is missing, damaged, or holds tensors whose shapes
// do not fit each other.
ChainFile read_chain_file(const std::filesystem::path& path);

}  // namespace rewards
