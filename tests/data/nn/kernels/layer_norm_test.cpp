// The kernels of layer norm, run on the CPU, against their definition in ATen.

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
// Packs or single elements; fewer rows than a block has warps, and more than all slabs have.
std::vector<Case> cases() {
  std::vector<Case> all{{1, 1}, {9, 320}, {3, 33}, {600, 5}, {2, 64, at::kFloat, 1}};
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble})
    for (const int64_t width : {35, 64}) all.push_back({3, width, type});
  return all;
}

struct Arguments {
  at::Tensor x, weight, bias, grad_y;
};
Arguments arguments(const Case& c) {
  at::manual_seed(6);
  const auto wide = tests::wide(c.type);
  const auto random = [](at::IntArrayRef shape, at::ScalarType type) {
    return at::randn(shape, at::kDouble).to(type);
  };
  return {random({c.rows, c.width}, c.type) + 1, random({c.width}, wide), random({c.width}, wide),
          random({c.rows, c.width}, c.type)};
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
  const auto at = [](const Guarded& guarded) { return guarded.inner.data_ptr(); };
  const Guarded x(a.x, c.skew), grad_y(a.grad_y, c.skew), weight(a.weight), bias(a.bias),
      statistics = of({c.rows, 2}), slabs = of({kLaurelSlabs, c.width, 2}), y(a.x, c.skew),
      grad_x(a.x, c.skew), grad_weight = of({c.width}), grad_bias = of({c.width});
  const char* problem = laurel_layer_norm(type, c.rows, c.width, 1e-5, at(x), at(weight), at(bias),
                                          at(statistics), at(y), nullptr);
  EXPECT_EQ(problem, nullptr) << problem;
  problem = laurel_layer_norm_backward(type, c.rows, c.width, at(grad_y), at(x), at(weight),
                                       at(statistics), at(grad_x), at(slabs), at(grad_weight),
                                       at(grad_bias), nullptr);
  EXPECT_EQ(problem, nullptr) << problem;
  for (const auto* guarded :
       {&x, &grad_y, &weight, &bias, &statistics, &slabs, &y, &grad_x, &grad_weight, &grad_bias})
    EXPECT_TRUE(guarded->intact());
  return {y.inner, grad_x.inner, grad_weight.inner, grad_bias.inner};
}

TEST(LayerNormKernel, AgreesWithAtenAtAnyShapeAndType) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(std::to_string(c.rows) + " x " + std::to_string(c.width) + " " +
                 at::toString(c.type));
    const Arguments a = arguments(c);
    const auto leaf = [](const at::Tensor& x) {
      return x.detach().to(at::kDouble).requires_grad_(true);
    };
    const at::Tensor x = leaf(a.x), weight = leaf(a.weight), bias = leaf(a.bias),
                     y = at::layer_norm(x, {c.width}, weight, bias, 1e-5);
    y.backward(a.grad_y.to(at::kDouble));
    const Outputs found = computed(a, c);
    const double share = 1 / std::sqrt(static_cast<double>(c.rows));  // of a sum over rows
    expect_near(found.y, y, c.type);
    expect_near(found.grad_x, x.grad(), c.type);
    expect_near(found.grad_weight * share, weight.grad() * share, tests::wide(c.type));
    expect_near(found.grad_bias * share, bias.grad() * share, tests::wide(c.type));
  }
}

TEST(LayerNormKernel, DoesNotDependOnTheOrderOfThreadsAndBlocks) {
  for (const Case& c : {Case{9, 320}, Case{70, 35, at::kBFloat16}}) {
    const Arguments a = arguments(c);
    const Outputs by_number = computed(a, c);
    const Turns turns(1);
    const Outputs shuffled = computed(a, c);
    EXPECT_TRUE(at::equal(shuffled.y, by_number.y));
    EXPECT_TRUE(at::equal(shuffled.grad_x, by_number.grad_x));
    EXPECT_TRUE(at::equal(shuffled.grad_weight, by_number.grad_weight));
    EXPECT_TRUE(at::equal(shuffled.grad_bias, by_number.grad_bias));
  }
}

TEST(LayerNormKernel, ByHand) {  // {1, 3, 5, 7} has mean 4 and variance 5
  const at::Tensor x = at::tensor({1., 3., 5., 7.}, at::kDouble), one = at::ones({4}, at::kDouble),
                   zero = at::zeros({4}, at::kDouble);
  EXPECT_TRUE(at::allclose(kernels::layer_norm(kernels_on_cpu(), x, one, zero, 0),
                           (x - 4) / std::sqrt(5.)));
}

TEST(LayerNormKernel, GradientsAreThoseOfFiniteDifferences) {
  at::manual_seed(7);
  const auto random = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
  const at::Tensor x = random({2, 3, 5}), weight = random({5}), bias = random({5}),
                   cotangent = random({2, 3, 5});
  const auto loss = [&](const at::Tensor& in, const at::Tensor& w, const at::Tensor& b) {
    return (kernels::layer_norm(kernels_on_cpu(), in, w, b, 1e-5) * cotangent).sum();
  };
  EXPECT_LT(gradient_error([&](const at::Tensor& t) { return loss(t, weight, bias); }, x), 1e-7);
  EXPECT_LT(gradient_error([&](const at::Tensor& t) { return loss(x, t, bias); }, weight), 1e-7);
  EXPECT_LT(gradient_error([&](const at::Tensor& t) { return loss(x, weight, t); }, bias), 1e-7);
}

TEST(LayerNormKernel, FrozenParametersGetNoGradient) {
  const at::Tensor x = at::randn({2, 8}).to(at::kBFloat16).requires_grad_(true),
                   one = at::ones({8});
  const at::Tensor y = kernels::layer_norm(kernels_on_cpu(), x, one, one, 1e-5);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.sum().backward();
  EXPECT_EQ(x.grad().scalar_type(), at::kBFloat16);
  EXPECT_FALSE(one.grad().defined());
}

TEST(LayerNormKernel, RefusesWhatItCannotDo) {
  const at::Tensor one = at::ones({3});
  EXPECT_THROW(kernels::layer_norm(kernels_on_cpu(), at::zeros({2, 3}, at::kInt), one, one, 1e-5),
               c10::Error);
}

}  // namespace
