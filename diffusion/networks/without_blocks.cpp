#include "diffusion/networks/without_blocks.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>

namespace diffusion {

int64_t skippable_blocks(const Network& network) {
  const auto* mmdit = std::get_if<MMDiT>(&network);
  return mmdit == nullptr ? 0 : static_cast<int64_t>(mmdit->transformer_blocks.size()) - 1;
}

Network without_blocks(const Network& network, const std::vector<int64_t>& blocks) {
  std::vector<int64_t> falling = blocks;
  std::sort(falling.begin(), falling.end(), std::greater<>());
  for (size_t i = 0; i < falling.size(); ++i) {
    TORCH_CHECK(falling[i] >= 0 && falling[i] < skippable_blocks(network), "without_blocks: block ",
                falling[i], " of ", skippable_blocks(network));
    TORCH_CHECK(i == 0 || falling[i] != falling[i - 1], "without_blocks: block ", falling[i],
                " twice");
  }
  Network result = network;
  if (falling.empty()) return result;
  auto& all = std::get<MMDiT>(result).transformer_blocks;
  for (const int64_t block : falling) all.erase(all.begin() + block);
  return result;
}

}  // namespace diffusion
