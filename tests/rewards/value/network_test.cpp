#include "rewards/value/network.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "rewards/value/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"

namespace {

using rewards::ValueNetwork;

rewards::ValueConfig tiny_config(bool reads_expected = false) {
  return {.space = {.channels = 2,
                    .scaling_factor = 0.5,
                    .shift_factor = 0.25,
                    .fingerprint = {0.1, 0.9},
                    .prediction = "v_prediction",
                    .signals = {0.99, 0.5}},
          .text_width = 6,
          .reads_expected = reads_expected,
          .reward = "aesthetic=1,clip_score=0.1",
          .unit = "1-10",
          .mean = 5,
          .spread = 0.5};
}

ValueNetwork tiny_network(bool reads_expected = false, at::ScalarType type = at::kFloat) {
  auto generator = at::detail::createCPUGenerator(1);
  ValueNetwork w = rewards::make_value_network(tiny_config(reads_expected), generator);
  for_each_tensor(w, "", [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(type); });
  return w;
}

rewards::ValueInput tiny_input(int64_t count, at::ScalarType type = at::kFloat) {
  auto generator = at::detail::createCPUGenerator(2);
  return {.latents = at::randn({count, 2, 4, 4}, generator, type),
          .expected = at::randn({count, 2, 4, 4}, generator, type),
          .timesteps = at::linspace(0, 900, count, type),
          .text = at::randn({count, 6}, generator, type)};
}

TEST(ValueNetwork, OfZeroWeightsIsTheMeanPlusSpreadsOfItsBiases) {
  ValueNetwork w = tiny_network();
  for_each_tensor(w, "", [](const std::string&, at::Tensor& tensor) { tensor.zero_(); });
  w.own_2.bias.fill_(2);
  w.prompt_2.bias.fill_(-1);
  const at::Tensor value = rewards::value_of(w, tiny_input(3));
  EXPECT_TRUE(at::allclose(value, at::full({3}, 5 + 0.5 * (2 - 1))));
}

TEST(ValueNetwork, ReadsLatentTimeTextAndTheExpectedLatentWhereItIsAskedFor) {
  const ValueNetwork w = tiny_network(true);
  const rewards::ValueInput input = tiny_input(2);
  const at::Tensor before = rewards::value_of(w, input);
  const auto changes = [&](at::Tensor rewards::ValueInput::*member, double by) {
    rewards::ValueInput other = input;
    other.*member = input.*member * by;
    return !at::allclose(before, rewards::value_of(w, other), 1e-5, 1e-6);
  };
  EXPECT_TRUE(changes(&rewards::ValueInput::latents, -1));
  EXPECT_TRUE(changes(&rewards::ValueInput::expected, -1));
  EXPECT_TRUE(changes(&rewards::ValueInput::timesteps, 0.5));
  EXPECT_TRUE(changes(&rewards::ValueInput::text, -1));
  rewards::ValueInput plain = input;
  plain.expected = at::Tensor();
  EXPECT_NO_THROW(rewards::value_of(tiny_network(false), plain));
  EXPECT_THROW(rewards::value_of(w, plain), c10::Error);
}

TEST(ValueNetwork, OfARowDoesNotDependOnTheOthers) {
  const ValueNetwork w = tiny_network();
  rewards::ValueInput input = tiny_input(4);
  const at::Tensor all = rewards::value_of(w, input);
  for (at::Tensor* part : {&input.latents, &input.timesteps, &input.text})
    *part = part->narrow(0, 2, 1);
  EXPECT_TRUE(at::allclose(all.narrow(0, 2, 1), rewards::value_of(w, input), 1e-5, 1e-5));
}

TEST(ValueNetwork, HasTheGradientOfFiniteDifferences) {
  const ValueNetwork w = tiny_network(true, at::kDouble);
  const rewards::ValueInput input = tiny_input(2, at::kDouble);
  const auto with = [&](at::Tensor rewards::ValueInput::*member) {
    return gradient_error(
        [&, member](const at::Tensor& x) {
          rewards::ValueInput other = input;
          other.*member = x;
          return rewards::value_of(w, other).square().sum();
        },
        input.*member);
  };
  EXPECT_LT(with(&rewards::ValueInput::latents), 1e-6);
  EXPECT_LT(with(&rewards::ValueInput::expected), 1e-6);
  EXPECT_LT(with(&rewards::ValueInput::text), 1e-6);
}

TEST(ValueNetwork, RefusesOtherShapes) {
  const ValueNetwork w = tiny_network();
  rewards::ValueInput input = tiny_input(2);
  input.latents = at::zeros({2, 3, 4, 4});
  EXPECT_THROW(rewards::value_of(w, input), c10::Error);
  input = tiny_input(2);
  input.text = at::zeros({2, 5});
  EXPECT_THROW(rewards::value_of(w, input), c10::Error);
  input = tiny_input(2);
  input.timesteps = at::zeros({3});
  EXPECT_THROW(rewards::value_of(w, input), c10::Error);
}

TEST(LatentSpace, IsTheSameWhenRoundedAndAnotherWithOtherChannelsDecoderOrSchedule) {
  const rewards::LatentSpace own = tiny_config().space;
  rewards::LatentSpace found = own;
  found.fingerprint[0] += 0.01;
  found.signals[0] -= 1e-4;
  EXPECT_EQ(rewards::latent_space_difference(own, found), "");
  found.channels = 16;
  EXPECT_EQ(rewards::latent_space_difference(own, found), "16 channels, not 2");
  found = own;
  found.scaling_factor = 0.25;
  EXPECT_EQ(rewards::latent_space_difference(own, found), "latents scaled by 0.25 in place of 0.5");
  found = own;
  found.fingerprint[1] = 0.5;
  EXPECT_EQ(rewards::latent_space_difference(own, found), "another autoencoder");
  found = own;
  found.signals[1] = 0.7;
  EXPECT_EQ(rewards::latent_space_difference(own, found),
            "another noise schedule (a signal of 0.700 in place of 0.500)");
}

TEST(ValueFiles, ReadBackAsTheyWereWritten) {
  const auto folder = tests::fresh_folder();
  const ValueNetwork w = tiny_network(true);
  rewards::save_value_network(folder, w);
  const ValueNetwork again = rewards::load_value_network(folder / "model.safetensors");
  EXPECT_EQ(again.config.space.fingerprint, w.config.space.fingerprint);
  EXPECT_EQ(again.config.space.signals, w.config.space.signals);
  EXPECT_EQ(again.config.space.prediction, "v_prediction");
  EXPECT_EQ(again.config.reward, w.config.reward);
  const rewards::ValueInput input = tiny_input(3);
  EXPECT_TRUE(at::equal(rewards::value_of(w, input), rewards::value_of(again, input)));
}

TEST(ValueFiles, NameTheKeyOfWhatDoesNotFit) {
  const auto folder = tests::fresh_folder();
  rewards::save_value_network(folder, tiny_network());
  const auto said_with = [&](const char* key, const nlohmann::json& value) {
    rewards::save_value_network(folder, tiny_network());
    nlohmann::json config = data::read_json_object(folder / "reward.json");
    config[key] = value;
    data::write_file(folder / "reward.json", data::to_text(config));
    return refusal([&] { rewards::load_value_network(folder); });
  };
  EXPECT_NE(said_with("kind", "lvlm").find("kind: expected \"value\", found \"lvlm\""),
            std::string::npos);
  EXPECT_NE(said_with("spread", 0).find("spread: expected a number above 0"), std::string::npos);
  EXPECT_NE(said_with("signals", "x").find("signals"), std::string::npos);
  EXPECT_NE(said_with("channels", 0).find("channels"), std::string::npos);
  EXPECT_NE(said_with("channels", 3).find("tower.conv_in.weight"), std::string::npos);
  EXPECT_NE(said_with("reads_expected", 1).find("reads_expected"), std::string::npos);
  const std::string none = refusal([&] { rewards::load_value_network(folder / "none"); });
  EXPECT_NE(none.find("none: expected a folder of `laurel train-reward value`"), std::string::npos);
}

}  // namespace
