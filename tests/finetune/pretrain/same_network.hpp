#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "diffusion/networks/network.hpp"

namespace tests {

// Both have the same tensors, bit for bit.
inline void expect_same_network(diffusion::Network& found, diffusion::Network& expected) {
  std::vector<at::Tensor> tensors;
  for_each_tensor(expected, "",
                  [&](const std::string&, at::Tensor& tensor) { tensors.push_back(tensor); });
  size_t i = 0;
  for_each_tensor(found, "", [&](const std::string& name, at::Tensor& tensor) {
    EXPECT_TRUE(at::equal(tensor, tensors[i++])) << name;
  });
}

}  // namespace tests
