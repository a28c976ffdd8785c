#pragma once

// What an update of a value network reads: states of chains, at steps that are drawn.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <vector>

#include "rewards/value/network.hpp"
#include "rewards/value/train.hpp"

namespace rewards {

struct ChainPlace {
  size_t prompt = 0;
  int64_t row = 0;
};
// The chains whose rewards are finite.
struct RatedChains {
  std::vector<ChainPlace> places;
  std::vector<double> means;  // of each prompt's finite rewards; NaN where it has none
};
RatedChains rated_chains(const ValueData& data);

// States of chains, and what became of them.
struct ValueBatch {
  ValueInput input;           // fp32, on the device of the network
  at::Tensor rewards, means;  // [B] fp64 there; of the chain, and of its prompt
};
// Each of B places at a step that `generator`, on the CPU, draws evenly.
ValueBatch value_batch(const ValueNetwork& w,
                       const ValueData& data,
                       const RatedChains& chains,
                       const std::vector<ChainPlace>& places,
                       at::Generator& generator);

}  // namespace rewards
