#pragma once

// Low-rank adapters on a network (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
// 2021). A network is a value whose tensors are shared by its copies: a copy taken before
// attach_lora is the model without it.

#include <ATen/core/Generator.h>

#include <functional>
#include <string>
#include <vector>

#include "data/train/optimizers.hpp"
#include "diffusion/networks/network.hpp"

namespace diffusion {

struct LoraOptions {
  int64_t rank = 8;    // >= 1
  double alpha = 0.0;  // the change is scaled by alpha / rank; 0: alpha = rank
  // Ends of module names. diffusers' usual choice: the attentions' projections.
  std::vector<std::string> targets = {"to_q", "to_k", "to_v", "to_out.0"};
};

// Adapters on every layer whose name ends in a target (at a dot): A uniform in +-1/sqrt(fan in), as
// PEFT's kaiming-uniform, B zero, so that the output does not change yet. They replace those that
// are there. Every other tensor is frozen. Throws BadInput when a target fits no layer.
void attach_lora(Network& network, const LoraOptions& options, at::Generator& generator);

// The adapters as trained parameters: "<module>.lora_A.weight" and "<module>.lora_B.weight", in the
// network's order.
train::Params lora_parameters(Network& network);

// Adds scale * B A to the weights and removes the adapters.
void fuse_lora(Network& network);

// A layer that may carry an adapter.
struct LoraSite {
  std::string name;    // "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
  at::Tensor& weight;  // [out, in] or [out, in, k, k]
  nn::Lora& lora;  // of a Linear: down [rank, in], up [out, rank]; of a Conv2d: [rank, in, k, k],
                   // [out, rank, 1, 1]
};
void for_each_lora_site(Network& network, const std::function<void(const LoraSite& site)>& visit);

}  // namespace diffusion
