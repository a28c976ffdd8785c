#include "diffusion/sampling/random_noise.hpp"

#include <ATen/ATen.h>

#include "data/device/transfer.hpp"

namespace diffusion {

std::vector<at::Generator> image_generators(const std::vector<uint64_t>& seeds) {
  std::vector<at::Generator> generators;
  for (const uint64_t seed : seeds) generators.push_back(at::detail::createCPUGenerator(seed));
  return generators;
}

at::Tensor draw_noise(std::vector<at::Generator>& generators,
                      at::IntArrayRef shape,
                      at::Device device) {
  TORCH_CHECK(shape.size() == 3, "draw_noise: shape must be {C, H, W}, got ", shape);
  TORCH_CHECK(!generators.empty(), "draw_noise: no generators");
  std::vector<at::Tensor> rows;
  for (auto& generator : generators) {
    rows.push_back(at::randn({1, shape[0], shape[1], shape[2]}, generator));
  }
  return data::to_device(at::cat(rows), device);
}

}  // namespace diffusion
