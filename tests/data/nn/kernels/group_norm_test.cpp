// The kernels of group norm with SiLU, run on the CPU, against their definition in ATen.

#include <gtest/gtest.h>

#include "tests/support/gradient_check.hpp"
#include "tests/support/kernels_on_cpu.hpp"

namespace {

using tests::expect_near;
using tests::Guarded;
using tests::kernels_on_cpu;
using tests::Turns;

struct Case {
  std::vector<int64_t> shape;  // [B, C, pixels]
  int64_t groups;
  at::ScalarType type = at::kFloat;
  bool silu = true;
  int64_t skew = 0;
};
// Packs of 16 bytes or single elements, one chunk or several, the last of them ragged.
std::vector<Case> cases() {
  std::vector<Case> all{{{1, 4, 4160}, 2},
                        {{1, 2, 8192}, 1},
                        {{1, 2, 4097}, 1},
                        {{3, 1, 1}, 1},
                        {{2, 6, 64}, 3, at::kFloat, false},
                        {{2, 6, 64}, 3, at::kFloat, true, 1},
                        {{1, 130, 4}, 1}};
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble})
    for (const int64_t pixels : {35, 64}) all.push_back({{2, 6, pixels}, 3, type});
  return all;
}
std::string text(const Case& c) {
  return std::to_string(c.shape[1]) + " channels of " + std::to_string(c.shape[2]) + " in " +
         std::to_string(c.groups) + ", " + at::toString(c.type) + ", skew " +
         std::to_string(c.skew);
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType type) {
  return at::randn(shape, at::kDouble).to(type);
}

at::Tensor defined(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b, const Case& c) {
  const at::Tensor y = at::group_norm(x, c.groups, w, b, 1e-5);
  return c.silu ? at::silu(y) : y;
}

struct Arguments {
  LaurelGroupNorm norm;
  at::Tensor x, weight, bias, grad_y;
};
Arguments arguments(const Case& c) {
  at::manual_seed(3);
  const auto wide = tests::wide(c.type);
  return {.norm = {c.shape[0], c.shape[1], c.shape[2], c.groups, 1e-5, c.silu},
          .x = random(c.shape, c.type) + 1,
          .weight = random({c.shape[1]}, wide),
          .bias = random({c.shape[1]}, wide),
          .grad_y = random(c.shape, c.type)};
}

struct Outputs {
  at::Tensor y, grad_x, grad_weight, grad_bias;
};
// Both passes with every buffer among guards.
Outputs computed(const Arguments& a, const Case& c) {
  const auto type = tests::type_of(c.type);
  const auto of = [&](at::IntArrayRef shape) {
    return Guarded(at::zeros(shape, a.weight.options()));
  };
  const int64_t groups = c.shape[0] * c.groups, channels = c.shape[1];
  const Guarded x(a.x, c.skew), grad_y(a.grad_y, c.skew), weight(a.weight), bias(a.bias),
      moments = of({groups, laurel_chunks(a.norm), 3}), statistics = of({groups, 2}),
      sums = of({c.shape[0] * channels, 2}), y(a.x, c.skew), grad_x(a.x, c.skew),
      grad_weight = of({channels}), grad_bias = of({channels});
  const auto at = [](const Guarded& guarded) { return guarded.inner.data_ptr(); };
  const char* problem = laurel_group_norm(type, a.norm, at(x), at(weight), at(bias), at(moments),
                                          at(statistics), at(y), nullptr);
  EXPECT_EQ(problem, nullptr) << problem;
  problem = laurel_group_norm_backward(type, a.norm, at(grad_y), at(x), at(weight), at(bias),
                                       at(statistics), at(sums), at(grad_x), at(grad_weight),
                                       at(grad_bias), nullptr);
  EXPECT_EQ(problem, nullptr) << problem;
  for (const auto* guarded : {&x, &grad_y, &weight, &bias, &moments, &statistics, &sums, &y,
                              &grad_x, &grad_weight, &grad_bias})
    EXPECT_TRUE(guarded->intact());
  return {y.inner, grad_x.inner, grad_weight.inner, grad_bias.inner};
}

TEST(GroupNormKernel, AgreesWithAtenAtAnyShapeAndType) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(text(c));
    const Arguments a = arguments(c);
    const auto leaf = [](const at::Tensor& x) {
      return x.detach().to(at::kDouble).requires_grad_(true);
    };
    const at::Tensor x = leaf(a.x), weight = leaf(a.weight), bias = leaf(a.bias),
                     y = defined(x, weight, bias, c);
    y.backward(a.grad_y.to(at::kDouble));
    const Outputs found = computed(a, c);
    expect_near(found.y, y, c.type);
    expect_near(found.grad_x, x.grad(), c.type);
    const double share = 1.0 / std::sqrt(static_cast<double>(x.numel() / x.size(1)));  // of a sum
    expect_near(found.grad_weight * share, weight.grad() * share, tests::wide(c.type));
    expect_near(found.grad_bias * share, bias.grad() * share, tests::wide(c.type));
  }
}

TEST(GroupNormKernel, DoesNotDependOnTheOrderOfThreadsAndBlocks) {
  for (const Case& c : {Case{{2, 4, 4160}, 2}, Case{{2, 6, 35}, 3, at::kBFloat16}}) {
    const Arguments a = arguments(c);
    const Outputs by_number = computed(a, c);
    for (const uint64_t seed : {1, 2}) {
      const Turns turns(seed);
      const Outputs shuffled = computed(a, c);
      EXPECT_TRUE(at::equal(shuffled.y, by_number.y));
      EXPECT_TRUE(at::equal(shuffled.grad_x, by_number.grad_x));
      EXPECT_TRUE(at::equal(shuffled.grad_weight, by_number.grad_weight));
      EXPECT_TRUE(at::equal(shuffled.grad_bias, by_number.grad_bias));
    }
  }
}

// Two channels in one group: {1, 3} and {5, 7} have mean 4 and variance 5.
TEST(GroupNormKernel, ByHand) {
  const at::Tensor x = at::tensor({1., 3., 5., 7.}, at::kDouble).view({1, 2, 2}),
                   one = at::ones({2}, at::kDouble), zero = at::zeros({2}, at::kDouble);
  const at::Tensor y = kernels::group_norm(kernels_on_cpu(), x, one, zero, 1, 0, false);
  EXPECT_TRUE(at::allclose(y, (x - 4) / std::sqrt(5.)));
}

// Squares of values near 1,000 leave fp32 no digits of a variance of 1.
TEST(GroupNormKernel, AMeanFarFromZeroCostsNoDigits) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({1, 2, 6000}) + 1000, one = at::ones({2}), zero = at::zeros({2});
  const at::Tensor y = kernels::group_norm(kernels_on_cpu(), x, one, zero, 1, 1e-5, false);
  const at::Tensor exact =
      at::group_norm(x.to(at::kDouble), 1, one.to(at::kDouble), zero.to(at::kDouble), 1e-5);
  EXPECT_LT((y - exact).abs().max().item<double>(), 2e-4);
}

// More chunks than a block has threads, the last of them small and far from the others.
TEST(GroupNormKernel, AGroupOfMillions) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({1, 1, kLaurelChunk * 256 + 16}), one = at::ones({1}),
                   zero = at::zeros({1});
  x.narrow(2, kLaurelChunk * 256, 16).fill_(5000);
  const at::Tensor y = kernels::group_norm(kernels_on_cpu(), x, one, zero, 1, 1e-5, true);
  const at::Tensor exact =
      at::silu(at::group_norm(x.to(at::kDouble), 1, one.to(at::kDouble), zero.to(at::kDouble)));
  expect_near(y, exact, at::kFloat);
}

TEST(GroupNormKernel, GradientsAreThoseOfFiniteDifferences) {
  at::manual_seed(2);
  const at::Tensor x = random({1, 4, 6}, at::kDouble), weight = random({4}, at::kDouble),
                   bias = random({4}, at::kDouble), cotangent = random({1, 4, 6}, at::kDouble);
  const auto loss = [&](const at::Tensor& in, const at::Tensor& w, const at::Tensor& b) {
    return (kernels::group_norm(kernels_on_cpu(), in, w, b, 2, 1e-5, true) * cotangent).sum();
  };
  EXPECT_LT(gradient_error([&](const at::Tensor& t) { return loss(t, weight, bias); }, x), 1e-7);
  EXPECT_LT(gradient_error([&](const at::Tensor& t) { return loss(x, t, bias); }, weight), 1e-7);
  EXPECT_LT(gradient_error([&](const at::Tensor& t) { return loss(x, weight, t); }, bias), 1e-7);
}

// As in a network under autocast: half-precision values, fp32 parameters, any memory format.
TEST(GroupNormKernel, KeepsTheTypeAndTakesAnyStrides) {
  at::manual_seed(2);
  const at::Tensor image = at::randn({2, 5, 7, 4}).to(at::kBFloat16).permute({0, 3, 1, 2}),
                   x = image.detach().requires_grad_(true), frozen = at::ones({4});
  const at::Tensor bias = at::zeros({4}).requires_grad_(true);
  const at::Tensor y = kernels::group_norm(kernels_on_cpu(), x, frozen, bias, 2, 1e-5, true);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.sum().backward();
  EXPECT_EQ(x.grad().scalar_type(), at::kBFloat16);
  EXPECT_EQ(bias.grad().scalar_type(), at::kFloat);
  const at::Tensor exact = at::silu(at::group_norm(image.to(at::kFloat), 2, frozen, bias, 1e-5));
  expect_near(y, exact, at::kBFloat16);
}

TEST(GroupNormKernel, RefusesWhatItCannotDo) {
  const at::Tensor x = at::zeros({1, 4, 3}), w = at::ones({4});
  EXPECT_THROW(kernels::group_norm(kernels_on_cpu(), x, w, w, 3, 1e-5, true), c10::Error);
  EXPECT_THROW(kernels::group_norm(kernels_on_cpu(), x.to(at::kInt), w, w, 2, 1e-5, true),
               c10::Error);
  EXPECT_EQ(kernels::library_for(x), nullptr);  // not on a GPU
}

}  // namespace
