#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "rewards/train_social.hpp"
#include "tests/gradient_check.hpp"
#include "tests/refusal.hpp"

namespace {

namespace fs = std::filesystem;

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {-1}, true); }

at::Tensor at_cosine(double cosine) {
  return at::tensor({cosine, std::sqrt(1 - cosine * cosine)}, at::kDouble).view({1, 2});
}

TEST(TripletLoss, ByHand) {
  const at::Tensor text = at_cosine(1);
  const auto loss = [&](double near, double far) {
    return rewards::triplet_loss(text, at_cosine(near), at_cosine(far), 0.3).item<double>();
  };
  EXPECT_NEAR(loss(0.5, 0.35), 0, 1e-12);  // a cosine margin of 0.15 is enough
  EXPECT_EQ(loss(0.9, 0.1), 0);
  EXPECT_NEAR(loss(0.5, 0.5), 0.3, 1e-12);
  EXPECT_NEAR(loss(0.2, 0.6), 2 * 0.4 + 0.3, 1e-12);
  EXPECT_THROW(rewards::triplet_loss(text, at_cosine(1), at::ones({2, 2}), 0.3), c10::Error);
}

TEST(TripletLoss, GradientIsThatOfDifferences) {
  auto generator = at::detail::createCPUGenerator(5);
  const auto random = [&] { return at::randn({4, 3}, generator, at::kDouble); };
  const at::Tensor text = unit(random()), other = unit(random()), x = random();
  EXPECT_LE(gradient_error(
                [&](const at::Tensor& p) {
                  return rewards::triplet_loss(text, unit(p), other, 2.0);  // none is cut off
                },
                x),
            1e-6);
}

// Images of two colours; the community prefers the first, whatever the prompt.
struct Problem {
  rewards::Clip clip;
  data::Tokenizer tokenizer;
  rewards::TripletSet set;
};
Problem colours() {
  auto generator = at::detail::createCPUGenerator(11);
  const nn::EncoderConfig encoder{
      .hidden_size = 16, .intermediate_size = 32, .num_hidden_layers = 2, .num_attention_heads = 2};
  rewards::ClipConfig config;
  config.text.encoder = config.vision.encoder = encoder;
  config.text.max_position_embeddings = 12;
  config.vision.image_size = 16;
  config.vision.patch_size = 8;
  config.projection_dim = 6;
  config.text.vocab_size = 600;
  Problem problem{.clip = rewards::make_clip(config, generator),
                  .tokenizer = data::train_bpe({"a red circle", "a blue square"}, 520, 12),
                  .set = {}};
  const at::Tensor images = 0.2 * at::rand({40, 3, 16, 16}, generator);
  images.slice(0, 0, 20).select(1, 0) += 0.7;  // reddish
  images.slice(0, 20).select(1, 2) += 0.7;     // bluish
  problem.set.prompts = {"a red circle", "a blue square"};
  problem.set.images = [images](const at::Tensor& rows) { return images.index_select(0, rows); };
  for (int64_t i = 0; i < 20; ++i)
    (i < 14 ? problem.set.training : problem.set.validation).push_back({i % 2, i, 39 - i});
  problem.set.digest = "colours";
  return problem;
}

rewards::TrainSocialOptions options_in(const std::string& name) {
  rewards::TrainSocialOptions options;
  options.loop.output_dir =
      fs::path(testing::TempDir()) / ("laurel_social_" + name + std::to_string(getpid()));
  fs::remove_all(options.loop.output_dir);
  options.loop.train_batch_size = 7;
  options.loop.max_train_steps = 40;
  options.loop.learning_rate = 3e-3;
  options.loop.checkpointing_steps = 10;
  options.vision_layers = options.text_layers = 1;
  return options;
}

rewards::TrainSocialResult trained(const rewards::TrainSocialOptions& options,
                                   const Problem& problem) {
  return rewards::train_social(options, problem.clip, problem.tokenizer, problem.set,
                               [](const std::string&) {});
}

std::map<std::string, at::Tensor> tensors(rewards::Clip clip) {
  std::map<std::string, at::Tensor> found;
  rewards::for_each_tensor(
      clip, "", [&](const std::string& name, at::Tensor& tensor) { found[name] = tensor; });
  return found;
}

TEST(TrainSocial, LearnsThePreferenceInTheChosenLayersOnly) {
  const Problem problem = colours();
  const auto result = trained(options_in("learns"), problem);
  EXPECT_EQ(result.steps, 40);
  EXPECT_EQ(result.accuracy, 1);
  EXPECT_EQ(rewards::triplet_accuracy(result.clip, problem.tokenizer, problem.set,
                                      problem.set.validation),
            1);
  const auto before = tensors(problem.clip), after = tensors(result.clip);
  for (const auto& [name, tensor] : before) {
    const bool trains = name.find("layers.1.") != std::string::npos ||
                        name.find("post_layernorm") != std::string::npos ||
                        name.find("final_layer_norm") != std::string::npos ||
                        name == "text_projection.weight";
    EXPECT_EQ(at::equal(tensor, after.at(name)), !trains) << name;
    EXPECT_FALSE(after.at(name).requires_grad());
  }
}

TEST(TrainSocial, ResumedEqualsUninterrupted) {
  const Problem problem = colours();
  const auto whole = trained(options_in("whole"), problem);
  auto options = options_in("parts");
  options.loop.max_train_steps = 40;
  options.loop.train_batch_size = 7;
  auto first = options;
  bool stopped = false;
  first.loop.logging_steps = 20;
  try {
    rewards::train_social(first, problem.clip, problem.tokenizer, problem.set,
                          [&](const std::string&) { throw std::runtime_error("killed"); });
  } catch (const std::runtime_error&) {
    stopped = true;
  }
  ASSERT_TRUE(stopped);
  options.loop.resume_from_checkpoint = "latest";
  const auto resumed = trained(options, problem);
  const auto a = tensors(whole.clip), b = tensors(resumed.clip);
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  Problem other = problem;
  other.set.digest = "others";
  EXPECT_NE(refusal([&] { trained(options, other); }).find("data"), std::string::npos);
}

}  // namespace
