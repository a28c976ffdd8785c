// The kernels of GEGLU, run on the CPU, against their definition in ATen.

#include "data/nn/geglu.hpp"

#include <gtest/gtest.h>

#include "tests/support/gradient_check.hpp"
#include "tests/support/kernels_on_cpu.hpp"

namespace {

using tests::expect_near;
using tests::Guarded;
using tests::kernels_on_cpu;
using tests::Turns;

struct Case {
  int64_t rows, width;
  at::ScalarType type = at::kFloat;
  int64_t skew = 0;
};
// Packs or single elements; a part of a warp, a block and several.
std::vector<Case> cases() {
  std::vector<Case> all{{1, 1}, {2, 2052}, {2, 300}, {2, 257}, {2, 64, at::kFloat, 1}};
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble})
    for (const int64_t width : {35, 64}) all.push_back({3, width, type});
  return all;
}

struct Outputs {
  at::Tensor y, grad_both;
};
Outputs computed(const at::Tensor& both, const at::Tensor& grad_y, int64_t skew) {
  const auto type = tests::type_of(both.scalar_type());
  const Guarded in(both, skew), gradient(grad_y, skew), y(grad_y, skew), grad_both(both, skew);
  const auto at = [](const Guarded& guarded) { return guarded.inner.data_ptr(); };
  const int64_t rows = grad_y.size(0), width = grad_y.size(1);
  EXPECT_EQ(laurel_geglu(type, rows, width, at(in), at(y), nullptr), nullptr);
  EXPECT_EQ(laurel_geglu_backward(type, rows, width, at(gradient), at(in), at(grad_both), nullptr),
            nullptr);
  for (const auto* guarded : {&in, &gradient, &y, &grad_both}) EXPECT_TRUE(guarded->intact());
  return {y.inner, grad_both.inner};
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType type) {
  return (2 * at::randn(shape, at::kDouble)).to(type);
}

TEST(GegluKernel, AgreesWithAtenAtAnyShapeAndType) {
  at::manual_seed(4);
  for (const auto& [rows, width, type, skew] : cases()) {
    SCOPED_TRACE(std::to_string(width) + " " + at::toString(type));
    const at::Tensor both = random({rows, 2 * width}, type), grad_y = random({rows, width}, type),
                     leaf = both.detach().to(at::kDouble).requires_grad_(true), y = nn::geglu(leaf);
    y.backward(grad_y.to(at::kDouble));
    const Outputs found = computed(both, grad_y, skew);
    expect_near(found.y, y, type);
    expect_near(found.grad_both, leaf.grad(), type);
    const Turns turns(1);
    const Outputs shuffled = computed(both, grad_y, skew);
    EXPECT_TRUE(at::equal(shuffled.y, found.y));
    EXPECT_TRUE(at::equal(shuffled.grad_both, found.grad_both));
  }
}

TEST(GegluKernel, ByHand) {  // gelu(1) = P(z <= 1)
  const at::Tensor y =
      kernels::geglu(kernels_on_cpu(), at::tensor({3., -2., 1., 0.}, at::kDouble).view({1, 4}));
  EXPECT_NEAR(y[0][0].item<double>(), 3 * 0.8413447460685429, 1e-14);
  EXPECT_EQ(y[0][1].item<double>(), 0);
}

TEST(GegluKernel, GradientIsThatOfFiniteDifferences) {
  at::manual_seed(5);
  const at::Tensor both = random({2, 3, 10}, at::kDouble),
                   cotangent = random({2, 3, 5}, at::kDouble);
  EXPECT_LT(gradient_error(
                [&](const at::Tensor& x) {
                  return (kernels::geglu(kernels_on_cpu(), x) * cotangent).sum();
                },
                both),
            1e-7);
}

TEST(GegluKernel, RefusesWhatItCannotDo) {
  EXPECT_THROW(kernels::geglu(kernels_on_cpu(), at::zeros({2, 3})), c10::Error);
  EXPECT_THROW(kernels::geglu(kernels_on_cpu(), at::zeros({2, 4}, at::kInt)), c10::Error);
}

TEST(KernelLibrary, AFileThatIsNoneIsRefused) {
  EXPECT_NE(kernels::open_library("/nonexistent/liblaurel_kernels.so").problem, "");
  EXPECT_EQ(kernels_on_cpu().problem(), nullptr);
}

}  // namespace
