#include "data/train/optimizers.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/train/train_state.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/refusal.hpp"

namespace {

train::Params one_parameter(double value, double grad) {
  train::Params params{{"w", at::full({1}, value, at::kFloat).requires_grad_(true)}};
  params[0].value.mutable_grad() = at::full({1}, grad, at::kFloat);
  return params;
}

TEST(AdamW, FirstStepByHand) {
  // After one step the moments' bias corrections cancel: w - lr wd w - lr g / (|g| + eps).
  auto params = one_parameter(2.0, 0.5);
  auto state = train::make_adamw(params);
  train::adamw_step(params, state, {.weight_decay = 0.1}, 0.01);
  EXPECT_NEAR(params[0].value.item<double>(), 2.0 - 0.01 * 0.1 * 2.0 - 0.01, 1e-6);
  EXPECT_EQ(state.step.item<float>(), 1.0f);
}

TEST(AdamW, RefusesAStateOfOtherParameters) {
  auto params = one_parameter(1, 1);
  auto state = train::make_adamw({});
  EXPECT_THROW(train::adamw_step(params, state, {}, 0.1), c10::Error);
}

TEST(ClipGradNorm, ScalesToTheLimitAndReturnsTheNormBefore) {
  auto params = one_parameter(0, 3.0);
  params.push_back({"v", at::zeros({1}).requires_grad_(true)});
  params[1].value.mutable_grad() = at::full({1}, 4.0f);
  EXPECT_NEAR(train::clip_grad_norm(params, 1.0), 5.0, 1e-6);
  EXPECT_NEAR(train::grad_norm(params), 1.0, 1e-6);
  EXPECT_NEAR(train::clip_grad_norm(params, 10.0), 1.0, 1e-6);
  EXPECT_NEAR(train::grad_norm(params), 1.0, 1e-6);
  EXPECT_THROW(train::clip_grad_norm(params, 0.0), c10::Error);
}

TEST(Ema, FollowsTheRampAndSwapsBothWays) {
  auto params = one_parameter(0.0, 0.0);
  auto ema = train::make_ema(params, 0.9);
  params[0].value.detach().fill_(1.0);
  train::update_ema(ema, params);  // decay min(0.9, 2/11)
  EXPECT_NEAR(ema.shadow[0].item<double>(), 9.0 / 11.0, 1e-6);
  train::swap_ema(ema, params);
  EXPECT_NEAR(params[0].value.item<double>(), 9.0 / 11.0, 1e-6);
  train::swap_ema(ema, params);
  EXPECT_NEAR(params[0].value.item<double>(), 1.0, 1e-6);
}

train::TrainState some_state(int64_t size) {
  train::TrainState state;
  state.params = {{"w", at::zeros({size}).requires_grad_(true)}};
  state.adamw = train::make_adamw(state.params);
  state.ema = train::make_ema(state.params, 0.99);
  state.generator = at::detail::createCPUGenerator(7);
  return state;
}

void train_a_little(train::TrainState& state) {
  const at::Tensor noise = at::empty({4}).normal_(0, 1, state.generator);
  state.params[0].value.mutable_grad() = noise;
  train::adamw_step(state.params, state.adamw, {}, 0.1);
  train::update_ema(state.ema, state.params);
}

TEST(TrainState, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_train_state";
  auto whole = some_state(4);
  for (int i = 0; i < 3; ++i) train_a_little(whole);
  whole.metadata["step"] = "3";
  train::save_state(path, whole);
  auto resumed = some_state(4);
  train::load_state(path, resumed);
  EXPECT_EQ(resumed.metadata.at("step"), "3");
  for (int i = 0; i < 2; ++i) {
    train_a_little(whole);
    train_a_little(resumed);
  }
  EXPECT_TRUE(at::equal(whole.params[0].value, resumed.params[0].value));
  EXPECT_TRUE(at::equal(whole.ema.shadow[0], resumed.ema.shadow[0]));
  auto other = some_state(5);
  EXPECT_THROW(train::load_state(path, other), data::BadInput);
}

// Valid safetensors whose numbers are none, or whose generator is another's.
TEST(TrainState, RefusesWhatIsNoTrainingState) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_no_train_state";
  auto state = some_state(4);
  train::save_state(path, state);
  const data::Weights whole = data::read_safetensors(path);
  const auto refused = [&](const auto& change) {
    data::Weights changed = whole;
    for (auto& [name, tensor] : changed.tensors) tensor = tensor.clone();
    change(changed);
    data::write_safetensors(path, changed);
    return refusal([&] { train::load_state(path, state); });
  };
  EXPECT_EQ(refused([](data::Weights&) {}), "");
  EXPECT_NE(refused([](data::Weights& file) {
              file.metadata["ema_updates"] = "3x";
            }).find("ema_updates: expected a number, found '3x'"),
            std::string::npos);
  EXPECT_NE(
      refused([](data::Weights& file) { file.metadata.erase("ema_updates"); }).find("found none"),
      std::string::npos);
  EXPECT_NE(refused([](data::Weights& file) {
              file.tensors["generator"] = at::zeros({3}, at::kByte);
            }).find("generator"),
            std::string::npos);
}

}  // namespace
