#include "data/train/activation_checkpointing.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "tests/support/gradient_check.hpp"

namespace {

at::Tensor noise(std::vector<int64_t> shape, uint64_t seed, at::ScalarType type = at::kDouble) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator).to(type);
}

// Two blocks; the second block and the sum both use the first one's output, as a skip connection.
struct Net {
  at::Tensor first, second;  // [4, 4]
  bool checkpointing = false;
};
at::Tensor forward(const Net& net, const at::Tensor& x) {
  const auto block = [](const at::Tensor& w) {
    return [w](const std::vector<at::Tensor>& in) {
      return in[0] + at::silu(at::matmul(in[0], w)) * at::tanh(in[0]);
    };
  };
  const at::Tensor a = train::run_block(net.checkpointing, block(net.first), {x}, {net.first});
  const at::Tensor b = train::run_block(net.checkpointing, block(net.second), {a}, {net.second});
  return (a * b).sum();
}

struct Gradients {
  at::Tensor x, first, second;  // undefined where nothing was trained
};
Gradients gradients(bool checkpointing, bool train_x, bool train_second, at::ScalarType type) {
  const Net net{noise({4, 4}, 1, type).requires_grad_(true),
                noise({4, 4}, 2, type).requires_grad_(train_second), checkpointing};
  const at::Tensor x = noise({3, 4}, 3, type).requires_grad_(train_x);
  forward(net, x).backward();
  return {x.grad(), net.first.grad(), net.second.grad()};
}

}  // namespace

TEST(RunBlock, GradientByHand) {
  const at::Tensor w = at::full({}, 3.0, at::kDouble).requires_grad_(true);
  const at::Tensor x = at::full({}, 2.0, at::kDouble).requires_grad_(true);
  const at::Tensor y = train::run_block(
      true, [w](const std::vector<at::Tensor>& in) { return w * in[0] * in[0]; }, {x}, {w});
  EXPECT_EQ(y.item<double>(), 12);
  y.backward();
  EXPECT_EQ(x.grad().item<double>(), 12);
  EXPECT_EQ(w.grad().item<double>(), 4);
}

TEST(RunBlock, GradientsAreThoseOfThePlainGraphBitForBit) {
  for (const auto type : {at::kDouble, at::kFloat}) {
    for (const bool train_x : {true, false}) {
      const Gradients plain = gradients(false, train_x, true, type),
                      recomputed = gradients(true, train_x, true, type);
      EXPECT_TRUE(at::equal(plain.first, recomputed.first));
      EXPECT_TRUE(at::equal(plain.second, recomputed.second));
      EXPECT_EQ(recomputed.x.defined(), train_x);
      if (train_x) {
        EXPECT_TRUE(at::equal(plain.x, recomputed.x));
      }
    }
  }
}

TEST(RunBlock, FrozenParametersGetNoGradient) {
  EXPECT_FALSE(gradients(true, true, false, at::kDouble).second.defined());
}

TEST(RunBlock, GradientsAddUpOverPasses) {
  const Net net{noise({4, 4}, 1).requires_grad_(true), noise({4, 4}, 2), true};
  const at::Tensor x = noise({3, 4}, 3);
  forward(net, x).backward();
  const at::Tensor once = net.first.grad().clone();
  forward(net, x).backward();
  EXPECT_TRUE(at::equal(net.first.grad(), 2 * once));
}

TEST(RunBlock, GradientMatchesFiniteDifferences) {
  const Net net{noise({4, 4}, 1), noise({4, 4}, 2), true};
  EXPECT_LT(gradient_error([&](const at::Tensor& x) { return forward(net, x); }, noise({3, 4}, 3)),
            1e-7);
  EXPECT_LT(gradient_error(
                [&](const at::Tensor& w) {
                  return forward({w, w, true}, noise({3, 4}, 3));
                },
                noise({4, 4}, 1)),
            1e-7);
}

TEST(RunBlock, ActivationsAreDroppedAfterTheForwardPass) {
  for (const bool checkpointing : {false, true}) {
    c10::weak_intrusive_ptr<c10::TensorImpl> activation(
        at::empty({0}).getIntrusivePtr());  // replaced by the block
    const at::Tensor x = noise({3, 4}, 3).requires_grad_(true);
    const at::Tensor y = train::run_block(
        checkpointing,
        [&](const std::vector<at::Tensor>& in) {
          const at::Tensor inner = at::exp(in[0]);
          activation = c10::weak_intrusive_ptr<c10::TensorImpl>(inner.getIntrusivePtr());
          return inner * inner;
        },
        {x}, {});
    EXPECT_EQ(activation.expired(), checkpointing);
    y.sum().backward();
    EXPECT_TRUE(at::allclose(x.grad(), 2 * at::exp(2 * x)));
  }
}

TEST(RunBlock, WithoutGradientTheBlockRunsOnce) {
  const at::NoGradGuard no_gradient;
  int64_t runs = 0;
  const at::Tensor x = noise({2}, 1).requires_grad_(true);
  const at::Tensor y = train::run_block(
      true, [&](const std::vector<at::Tensor>& in) { return ++runs, in[0] * 2; }, {x}, {});
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(y.requires_grad());
}

TEST(RunBlock, AFaultInTheRecomputationArrives) {
  int64_t runs = 0;
  const at::Tensor x = noise({2}, 1).requires_grad_(true);
  const at::Tensor y = train::run_block(true,
                                        [&](const std::vector<at::Tensor>& in) {
                                          TORCH_CHECK(++runs == 1, "the block failed");
                                          return in[0] * 2;
                                        },
                                        {x}, {});
  EXPECT_THROW(y.sum().backward(), c10::Error);
}
