#include "diffusion/networks/streaming.hpp"

#include <ATen/core/Tensor.h>

namespace diffusion {
namespace {

template <class Visit>
void for_each_block(const UNet&, const Visit&) {}

template <class Visit>
void for_each_block(MMDiT& mmdit, const Visit& visit) {
  for (auto& block : mmdit.transformer_blocks) visit(block);
}

template <class Visit>
void for_each_block(Flux& flux, const Visit& visit) {
  for (auto& block : flux.transformer_blocks) visit(block);
  for (auto& block : flux.single_transformer_blocks) visit(block);
}

template <class Block>
double bytes_of(const Block& block) {
  double bytes = 0;
  for (const at::Tensor& tensor : tensors_of(block)) {
    if (tensor.defined())
      bytes += static_cast<double>(tensor.numel()) * static_cast<double>(tensor.itemsize());
  }
  return bytes;
}

}  // namespace

std::vector<double> streamed_bytes(const Network& network) {
  Network own = network;
  std::vector<double> bytes;
  std::visit(
      [&](auto& one) {
        for_each_block(one, [&](const auto& block) {
          if (block.read) bytes.push_back(bytes_of(block));
        });
      },
      own);
  return bytes;
}

void keep_blocks(Network& network, size_t count) {
  const at::Device device = device_of(network);
  std::visit(
      [&](auto& one) {
        for_each_block(one, [&](auto& block) {
          if (!block.read || count == 0) return;
          block = in_memory(block, device);
          --count;
        });
      },
      network);
}

}  // namespace diffusion
