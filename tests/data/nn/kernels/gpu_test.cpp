// The kernels on a GPU, from the library compiled by nvcc, compared with ATen on that GPU.
// tools/compute-sanitizer runs these tests. Without a GPU or the library they are skipped with a
// message.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/nn/kernels/kernels.hpp"
#include "tests/support/paths.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/gpu_diagnosis.hpp"

namespace {

struct KernelsOnGpu : testing::Test {
  kernels::Library library;

  void SetUp() override {
    const std::string trouble = tools::describe_gpu_trouble(tools::probe_gpu());
    if (!trouble.empty()) GTEST_SKIP() << trouble;
    tools::open_device({.device = "cuda"});
    const auto program = std::filesystem::path(tests::program());
    const auto opened = kernels::open_library(program.parent_path() / "liblaurel_kernels.so");
    if (!opened.problem.empty()) GTEST_SKIP() << opened.problem;
    library = opened.library;
  }
};

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble};

double tolerance(at::ScalarType type) {
  return type == at::kDouble ? 1e-11 : type == at::kFloat ? 1e-4 : 0x1p-6;
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType type) {
  return at::randn(shape, at::kDouble).to(at::kCUDA, type).requires_grad_(true);
}

using Function = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;
// The result of `f` on leaves of these values, and the gradients of its product with `cotangent`.
std::vector<at::Tensor> with_gradients(const Function& f,
                                       const std::vector<at::Tensor>& values,
                                       const at::Tensor& cotangent) {
  std::vector<at::Tensor> leaves, results;
  for (const auto& value : values) leaves.push_back(value.detach().clone().requires_grad_(true));
  const at::Tensor y = f(leaves);
  y.backward(cotangent.to(y.scalar_type()));
  results.push_back(y.detach());
  for (const auto& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

// The kernel against the definition in double, and against itself.
void expect_same(const Function& kernel,
                 const Function& definition,
                 const std::vector<at::Tensor>& inputs,
                 const at::Tensor& cotangent) {
  std::vector<at::Tensor> exact_inputs;
  for (const auto& input : inputs) exact_inputs.push_back(input.to(at::kDouble));
  const auto found = with_gradients(kernel, inputs, cotangent),
             again = with_gradients(kernel, inputs, cotangent),
             exact = with_gradients(definition, exact_inputs, cotangent.to(at::kDouble));
  for (size_t i = 0; i < found.size(); ++i) {
    const at::Tensor apart = (found[i].to(at::kDouble) - exact[i]).abs();
    EXPECT_LT((apart.max() / (exact[i].abs().max() + 1)).item<double>(),
              tolerance(inputs[0].scalar_type()))
        << "output " << i;
    EXPECT_TRUE(at::equal(found[i], again[i])) << "output " << i;
  }
}

TEST_F(KernelsOnGpu, GroupNormAgreesWithAten) {
  for (const auto type : kTypes) {
    for (const int64_t side : {7, 8, 64}) {
      SCOPED_TRACE(std::string(at::toString(type)) + " " + std::to_string(side));
      const auto wide = type == at::kDouble ? at::kDouble : at::kFloat;
      const std::vector<at::Tensor> inputs{random({2, 320, side, side}, type), random({320}, wide),
                                           random({320}, wide)};
      expect_same(
          [&](const auto& in) {
            return kernels::group_norm(library, in[0], in[1], in[2], 32, 1e-5, true);
          },
          [](const auto& in) { return at::silu(at::group_norm(in[0], 32, in[1], in[2], 1e-5)); },
          inputs, random({2, 320, side, side}, type).detach());
    }
  }
}

TEST_F(KernelsOnGpu, LayerNormAgreesWithAten) {
  for (const auto type : kTypes) {
    for (const int64_t width : {35, 320, 1280}) {
      SCOPED_TRACE(std::string(at::toString(type)) + " " + std::to_string(width));
      const auto wide = type == at::kDouble ? at::kDouble : at::kFloat;
      expect_same(
          [&](const auto& in) { return kernels::layer_norm(library, in[0], in[1], in[2], 1e-5); },
          [width](const auto& in) { return at::layer_norm(in[0], {width}, in[1], in[2], 1e-5); },
          {random({3, 500, width}, type), random({width}, wide), random({width}, wide)},
          random({3, 500, width}, type).detach());
    }
  }
}

TEST_F(KernelsOnGpu, GegluAgreesWithAten) {
  for (const auto type : kTypes) {
    for (const int64_t width : {35, 1280}) {
      SCOPED_TRACE(std::string(at::toString(type)) + " " + std::to_string(width));
      expect_same([&](const auto& in) { return kernels::geglu(library, in[0]); },
                  [](const auto& in) {
                    const auto halves = in[0].chunk(2, -1);
                    return halves[0] * at::gelu(halves[1]);
                  },
                  {random({3, 50, 2 * width}, type)}, random({3, 50, width}, type).detach());
    }
  }
}

}  // namespace
