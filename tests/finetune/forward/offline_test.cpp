#include "finetune/forward/offline.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "finetune/forward/cached_reference.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/forward/methods/preference.hpp"
#include "finetune/forward/online_epoch.hpp"
#include "finetune/forward/score_condition.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::ForwardConfig;
using finetune::ForwardMethod;
using finetune::ImageChoice;

// Red pictures are preferred to blue ones.
std::vector<ImageChoice> red_choices(const std::filesystem::path& folder, int64_t count) {
  auto generator = at::detail::createCPUGenerator(4);
  std::vector<ImageChoice> choices;
  for (int64_t i = 0; i < count; ++i) {
    at::Tensor red = 0.4 + 0.2 * at::rand({3, 8, 8}, generator), blue = red.clone();
    red[0] += 0.2;
    blue[2] += 0.2;
    ImageChoice choice{.prompt = i % 2 ? "a" : "b",
                       .a = folder / ("red" + std::to_string(i) + ".png"),
                       .b = folder / ("blue" + std::to_string(i) + ".png")};
    data::write_png(choice.a, red);
    data::write_png(choice.b, blue);
    if (i % 3 == 2) {
      std::swap(choice.a, choice.b);
      choice.p = 0;
    }
    choices.push_back(choice);
  }
  return choices;
}

// No reward is trained; redness is looked at.
finetune::TrainingTask looking_task(finetune::TrainingTask task = tests::tiny_task()) {
  task.rewards.clear();
  task.eval_rewards = {{tests::channel_reward("redness", 0, false), 1.0}};
  return task;
}

finetune::ChoiceData some_data(const std::filesystem::path& folder) {
  return finetune::encode_choices(looking_task(), red_choices(folder, 6), 4,
                                  tests::reporter_into(nullptr));
}

ForwardConfig offline_config(const ForwardMethod& method) {
  auto config = tests::short_run<ForwardConfig>();
  config.method = method;
  config.max_train_steps = 4;
  config.choices_per_update = 3;
  config.draws = 2;
  config.train_batch_size = 5;
  return config;
}

std::vector<ForwardMethod> methods_of_choices() {
  std::vector<ForwardMethod> found;
  for (const auto& method : finetune::forward_methods()) {
    if (method.learns_from_choices) found.push_back(method);
  }
  return found;
}

finetune::RunResult run(const ForwardConfig& config,
                        const finetune::ChoiceData& data,
                        const std::filesystem::path& folder,
                        const std::string& resume = "",
                        std::vector<std::string>* said = nullptr,
                        const finetune::TrainingTask& task = looking_task()) {
  return finetune::run_offline(task, data, config,
                               tests::run_options(folder, config.method.name, config.seed, resume),
                               tests::reporter_into(said));
}

TEST(EncodeChoices, ReadsEachImageOnce) {
  const auto folder = tests::fresh_folder();
  auto choices = red_choices(folder, 2);
  choices.push_back({.prompt = "c", .a = choices[0].a, .b = {}, .p = 1, .weight = 2});
  const auto data = finetune::encode_choices(looking_task(), choices, 3, {});
  EXPECT_EQ(data.latents.size(0), 4);
  EXPECT_EQ(data.a, (std::vector<int64_t>{0, 2, 0}));
  EXPECT_EQ(data.b, (std::vector<int64_t>{1, 3, -1}));
  // An image is latent / 5 + 0.5 here.
  const at::Tensor expected = 5 * (data::read_image(choices[0].a) - 0.5);
  EXPECT_TRUE(at::allclose(data.latents[0].to(at::kFloat), expected, 1e-2, 1e-2));
}

TEST(EncodeChoices, RefusesAMissingImageAndNoChoices) {
  const auto folder = tests::fresh_folder();
  auto choices = red_choices(folder, 2);
  std::filesystem::remove(choices[1].b);
  EXPECT_NE(
      refusal([&] { finetune::encode_choices(looking_task(), choices, 3, {}); }).find("blue1.png"),
      std::string::npos);
  EXPECT_NE(refusal([&] { finetune::encode_choices(looking_task(), {}, 3, {}); }).find("pairs"),
            std::string::npos);
}

TEST(ChoiceBatch, HasTwoRowsOfAPairThatShareTheirNoise) {
  const auto folder = tests::fresh_folder();
  auto choices = red_choices(folder, 2);
  choices.push_back({.prompt = "c", .a = choices[0].a, .b = {}, .p = 0, .weight = 2});
  choices[1].p = 0.5;
  const auto data = finetune::encode_choices(looking_task(), choices, 3, {});
  const auto batch = finetune::choice_batch(data, {2, 1});
  EXPECT_EQ(batch.groups, (std::vector<int64_t>{0, 1, 1}));
  ASSERT_EQ(batch.labels.pairs.size(), 1u);
  EXPECT_EQ(batch.labels.pairs[0].a, 1);
  EXPECT_EQ(batch.labels.pairs[0].p, 0.5);
  EXPECT_TRUE(at::equal(batch.labels.values, at::tensor({0.0, 0.5, 0.5}, at::kDouble)));
  EXPECT_TRUE(at::equal(batch.labels.weights, at::tensor({2.0, 1.0, 1.0}, at::kDouble)));
  EXPECT_EQ(batch.prompts[0].text, "c");
  EXPECT_EQ(batch.latents.scalar_type(), at::kFloat);
}

TEST(Offline, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  const auto data = some_data(tests::fresh_folder("images"));
  for (const auto& method : methods_of_choices()) {
    ForwardConfig config = offline_config(method);
    const auto whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
    std::vector<std::string> said;
    run(config, data, whole, "", &said);
    EXPECT_TRUE(std::any_of(said.begin(), said.end(), [](const std::string& line) {
      return line.find("the written LoRA, read back, changes") != std::string::npos;
    }));
    config.max_train_steps = 2;
    run(config, data, parts);
    config.max_train_steps = 4;
    run(config, data, parts, "latest");
    tests::expect_same_tensors(whole / "checkpoint-4/state.safetensors",
                               parts / "checkpoint-4/state.safetensors");
  }
}

// The gradient of DPO on the first two choices, by the network's parameters.
at::Tensor gradient_of(const finetune::TrainingTask& task,
                       const ForwardConfig& config,
                       const finetune::ChoiceData& data,
                       const finetune::CachedReference& cache,
                       bool cached) {
  const auto schedule = diffusion::make_schedule(task.pipeline->scheduler);
  const auto batch = finetune::choice_batch(data, {0, 1});
  diffusion::Network network = task.unet;
  const auto params = finetune::trained_parameters(network, config);
  // Away from the start, where the errors of both networks would be equal.
  for (const auto& param : params) param.value.detach().add_(0.01);
  auto pass = finetune::make_forward_pass(task, config, schedule, network,
                                          cached ? nullptr : &task.unet, batch.prompts);
  const auto rows = finetune::rows_of(cache, data, {0, 1});
  if (cached) pass.compared_errors = rows.errors;
  finetune::add_forward_gradient(config.method, pass, {batch.latents, batch.labels.rows, 4},
                                 batch.labels, rows.draws, finetune::whole(4));
  std::vector<at::Tensor> parts;
  for (const auto& param : params) parts.push_back(param.value.grad().flatten());
  return at::cat(parts);
}

TEST(CachedReference, GivesTheGradientThatTheStartingModelGives) {
  const auto data = some_data(tests::fresh_folder("images"));
  const finetune::TrainingTask task = looking_task();
  ForwardConfig config = offline_config(finetune::dpo_method());
  const auto cache = finetune::cache_reference(
      task, data, config, diffusion::make_schedule(task.pipeline->scheduler), {});
  EXPECT_EQ(cache.errors.sizes(), (std::vector<int64_t>{12, 2}));
  EXPECT_TRUE(at::equal(cache.draws.t[0], cache.draws.t[1]));  // a pair shares its draws
  EXPECT_FALSE(at::equal(cache.draws.t[0], cache.draws.t[2]));
  const at::Tensor expected = gradient_of(task, config, data, cache, false),
                   found = gradient_of(task, config, data, cache, true);
  EXPECT_GT(expected.norm().item<double>(), 0);
  EXPECT_LT((found - expected).norm().item<double>(), 1e-4 * expected.norm().item<double>());
}

TEST(CachedReference, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  const auto data = some_data(tests::fresh_folder("images"));
  ForwardConfig config = offline_config(finetune::dpo_method());
  config.cache_reference = true;
  const auto whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(config, data, whole);
  config.max_train_steps = 2;
  run(config, data, parts);
  config.max_train_steps = 4;
  run(config, data, parts, "latest");
  tests::expect_same_tensors(whole / "checkpoint-4/state.safetensors",
                             parts / "checkpoint-4/state.safetensors");
  EXPECT_GT(finetune::forecast_offline(looking_task(), data, config).seconds_cache, 0);
}

TEST(Offline, WithScoresTheFilesSayHowToAskForTheHighest) {
  const auto images = tests::fresh_folder("images");
  const auto choices = red_choices(images, 6);
  finetune::TrainingTask task = tests::tiny_task();
  ForwardConfig config = offline_config(finetune::dpo_method());
  const auto conditioned = finetune::with_scores(
      choices, finetune::rate_choices(task, choices, config, finetune::Reporter()));
  EXPECT_EQ(conditioned.left_out, 0);
  EXPECT_EQ(conditioned.choices.size(), 12u);
  config.asks_for_scores = true;
  task.config_text = "condition = \"scores\"\n";
  const auto data = finetune::encode_choices(task, conditioned.choices, 4, {});
  EXPECT_EQ(data.latents.size(0), 12);  // each image once
  const auto folder = tests::fresh_folder("run");
  run(config, data, folder, "", nullptr, task);
  const auto file = data::read_safetensors(folder / "pytorch_lora_weights.safetensors");
  EXPECT_EQ(file.metadata.at("laurel.prompt_form"), "score 10, {prompt}");
  EXPECT_EQ(file.metadata.at("modelspec.trigger_phrase"), "score 10");
  EXPECT_NE(data::read_file(folder / "README.md").find("`score 10, PROMPT` asks for the most"),
            std::string::npos);
}

TEST(Offline, RefusesWhatAMethodCannotLearnFrom) {
  const auto images = tests::fresh_folder("images");
  auto choices = red_choices(images, 2);
  choices[1].b.clear();
  const auto data = finetune::encode_choices(looking_task(), choices, 4, {});
  const auto said_by = [&](const ForwardMethod& method) {
    return refusal([&] { run(offline_config(method), data, tests::fresh_folder("run")); });
  };
  for (const auto& method : finetune::forward_methods()) {
    if (method.learns_from_pairs) {
      EXPECT_NE(said_by(method).find("likes of one"), std::string::npos) << method.name;
    } else if (!method.learns_from_choices) {
      EXPECT_NE(said_by(method).find("learns from rewards"), std::string::npos) << method.name;
    }
  }
}

TEST(Offline, ForecastsFromRealSteps) {
  const auto data = some_data(tests::fresh_folder("images"));
  const auto forecast =
      finetune::forecast_offline(looking_task(), data, offline_config(methods_of_choices()[0]));
  EXPECT_GT(forecast.seconds_step, 0);
  EXPECT_GE(forecast.seconds, 4 * forecast.seconds_step * 0.999);
  EXPECT_NE(finetune::forecast_text(forecast).find("choices          6"), std::string::npos);
}

}  // namespace
