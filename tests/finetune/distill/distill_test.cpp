#include "finetune/distill/distill.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/lora/read.hpp"
#include "finetune/distill/estimate.hpp"
#include "finetune/distill/step.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/distill_task.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::DistillConfig;
using finetune::TrainingTask;
using tests::metrics;

finetune::RunResult run(const TrainingTask& task,
                        const DistillConfig& config,
                        const fs::path& folder,
                        const std::string& resume = "",
                        std::vector<std::string>* said = nullptr) {
  return finetune::run_distill(task, tests::distill_data(), config,
                               tests::run_options(folder, "distill", config.seed, resume),
                               tests::reporter_into(said));
}

void expect_resumes_bit_for_bit(const TrainingTask& task, DistillConfig config) {
  const fs::path whole = tests::fresh_folder("whole"), halved = tests::fresh_folder("halved");
  run(task, config, whole);
  config.max_train_steps = 2;
  run(task, config, halved);
  config.max_train_steps = 4;
  run(task, config, halved, "latest");
  tests::expect_same_tensors(whole / "checkpoint-4/state.safetensors",
                             halved / "checkpoint-4/state.safetensors");
  if (config.latent_reward)
    tests::expect_same_tensors(whole / "checkpoint-4/latent_reward.safetensors",
                               halved / "checkpoint-4/latent_reward.safetensors");
  EXPECT_EQ(data::read_file(whole / "samples/step-4/scores.jsonl"),
            data::read_file(halved / "samples/step-4/scores.jsonl"));
}

TEST(Distill, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  expect_resumes_bit_for_bit(tests::distill_task(), tests::distill_config());
}

TEST(Distill, SoDoesOneWithEveryOption) {
  DistillConfig config = tests::distill_config();
  config.beta = 0;  // chosen on the way
  config.on_policy = 0.5;
  config.reward_batch_size = 3;
  config.reward_view = finetune::RewardView::kCrop;
  config.two_pass = true;
  config.diversity_beta = 0.1;
  config.diversity_prompts = 2;
  expect_resumes_bit_for_bit(tests::distill_task(), config);
}

TEST(Distill, SoDoesOneWithALatentReward) {
  DistillConfig config = tests::distill_config();
  config.latent_reward = true;
  config.latent_reward_warmup = 1;
  TrainingTask task = tests::distill_task();
  task.rewards = {{tests::channel_reward("size", 0, false), 1.0}};
  expect_resumes_bit_for_bit(task, config);
}

TEST(Distill, AFinishedRunWithoutARewardIsNotJudgedAgain) {
  TrainingTask task = tests::distill_task();
  task.rewards.clear();
  const fs::path folder = tests::fresh_folder();
  run(task, tests::distill_config(), folder);
  const std::string judged = data::read_file(folder / "guard.jsonl"),
                    logged = data::read_file(folder / "metrics.jsonl");
  EXPECT_FALSE(judged.empty());
  run(task, tests::distill_config(), folder, "latest");
  EXPECT_EQ(data::read_file(folder / "guard.jsonl"), judged);
  EXPECT_EQ(data::read_file(folder / "metrics.jsonl"), logged);
}

TEST(Distill, TheRewardPullsTheStudentAndTheFolderIsComplete) {
  DistillConfig config = tests::distill_config();
  config.max_train_steps = 30;
  config.eval_every = 0;
  config.checkpointing_steps = 0;
  TrainingTask plain = tests::distill_task();
  plain.rewards.clear();
  plain.eval_rewards.push_back({tests::channel_reward("redness", 0, true), 1.0});
  const fs::path without = tests::fresh_folder("lcd"), with = tests::fresh_folder("rg");
  run(plain, config, without);
  config.beta = 0.3;
  run(tests::distill_task(), config, with);
  const auto reward = [](const fs::path& folder) {
    return metrics(folder, true).back().at("unseen/redness").get<double>();
  };
  EXPECT_GT(reward(with), reward(without) + 0.1);
  for (const char* file : {"run.json", "config.toml", "metrics.jsonl", "model/unet/config.json",
                           "samples/base/scores.jsonl", "samples/step-30/0000.png"})
    EXPECT_TRUE(fs::exists(with / file)) << file;
  const auto line = metrics(with, false).back();
  for (const char* key : {"loss", "reward_mean", "gradient/lcd", "gradient/reward", "saturated"})
    EXPECT_TRUE(line.contains(key)) << key;
}

TEST(Distill, WritesAnLcmLoraThatReadsBack) {
  DistillConfig config = tests::distill_config();
  config.train_full = false;
  config.ema_decay = 0;
  config.time_cond_proj_dim = 0;
  const fs::path folder = tests::fresh_folder("lora");
  run(tests::distill_task(0), config, folder);
  const auto lora = diffusion::read_lora(folder / "pytorch_lora_weights.safetensors");
  EXPECT_GT(diffusion::count_changes(lora), 0);
  EXPECT_TRUE(fs::exists(folder / (folder.filename().string() + ".safetensors")));
}

TEST(Distill, RefusesARewardThatIsNotDifferentiable) {
  TrainingTask task = tests::distill_task();
  task.rewards = {{tests::channel_reward("jpeg", 0, false), 1.0}};
  EXPECT_EQ(refusal([&] { run(task, tests::distill_config(), tests::fresh_folder("run")); }),
            "reward: jpeg: expected a differentiable reward, found one that is not; add "
            "--latent_reward, which learns it on latents, or choose another");
}

TEST(Distill, AForecastAddsUp) {
  DistillConfig config = tests::distill_config();
  config.max_train_steps = 100;
  config.eval_every = 50;
  const auto forecast =
      finetune::forecast_distill(tests::distill_task(), tests::distill_data(), config);
  EXPECT_EQ(forecast.queries, 400);
  EXPECT_EQ(forecast.evaluated, 3 * 2 * 2 * 2);
  EXPECT_GT(forecast.flop, 100 * forecast.flop_per_step);
  EXPECT_NE(finetune::forecast_text(forecast).find("400 in training"), std::string::npos);
}

TEST(Distill, GoesBackWhenTheStudentIsNotFinite) {
  DistillConfig config = tests::distill_config();
  config.learning_rate = 1e30;
  config.max_grad_norm = 1e12;
  config.eval_prompts = 0;
  config.max_train_steps = 20;
  EXPECT_THROW(run(tests::distill_task(), config, tests::fresh_folder("run")), std::runtime_error);
}

// ---- the reward's gradient ----

// A VAE and a reward that are not linear, in double.
TrainingTask double_task() {
  const auto pipeline = std::make_shared<diffusion::Pipeline>(tests::tiny_pipeline());
  diffusion::for_each_tensor(pipeline->vae, "",
                             [](const std::string&, at::Tensor& t) { t = t.to(at::kDouble); });
  pipeline->vae.decoder.conv_out.weight.mul_(0.1);  // greyish images: none is cut to [0, 1]
  TrainingTask task = finetune::make_training_task(pipeline);
  task.rewards = {{{{.name = "curve", .differentiable = true},
                    [](const rewards::RewardBatch& batch) {
                      return batch.images.square().mean({1, 2, 3}) +
                             batch.images.select(1, 0).pow(3).mean({1, 2});
                    }},
                   1.0}};
  return task;
}

at::Tensor gradient_of(const TrainingTask& task,
                       const DistillConfig& config,
                       const at::Tensor& latents) {
  auto generator = at::detail::createCPUGenerator(5);
  const std::vector<finetune::TrainingPrompt> prompts(static_cast<size_t>(latents.size(0)), "a");
  return finetune::reward_gradient(task, config, latents, prompts, generator).gradient;
}

TEST(RewardGradient, InTwoPassesAndInChunksEqualsTheFullGraph) {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor latents = at::randn({5, 4, 4, 4}, generator, at::kDouble);
  const TrainingTask task = double_task();
  const at::Tensor leaf = latents.clone().requires_grad_(true);
  const at::Tensor images = finetune::decode_unclamped(task, leaf);
  ASSERT_TRUE(((images > 0) & (images < 1)).all().item<bool>());
  (-task.rewards[0].reward.score({images, {}}).mean()).backward();
  DistillConfig config = tests::distill_config();
  for (const bool two_pass : {false, true}) {
    for (const int64_t chunk : {1, 2, 5}) {
      config.two_pass = two_pass;
      config.reward_chunk = chunk;
      const at::Tensor found = gradient_of(task, config, latents);
      EXPECT_LT(((found - leaf.grad()).abs().max() / leaf.grad().abs().max()).item<double>(),
                1e-10);
    }
  }
}

TEST(RewardGradient, OfASaturatedValueLeadsOnlyBackInside) {
  TrainingTask task = tests::distill_task();
  DistillConfig config = tests::distill_config();
  const at::Tensor latents = at::full({1, 3, 2, 2}, 10.0);                      // far above white
  EXPECT_EQ(gradient_of(task, config, latents).abs().max().item<double>(), 0);  // wants more red
  task.rewards[0].weight = -1;                                                  // wants less
  EXPECT_GT(gradient_of(task, config, latents).select(1, 0).min().item<double>(), 0);
}

TEST(RewardGradient, StopsAtTheCap) {
  TrainingTask task = tests::distill_task();
  DistillConfig config = tests::distill_config();
  config.caps = task.rewards[0].reward.info.name + "=..5";
  const at::Tensor dark = at::full({1, 3, 2, 2}, -0.5), bright = at::full({1, 3, 2, 2}, 0.5);
  EXPECT_GT(gradient_of(task, config, dark).abs().max().item<double>(), 0);
  EXPECT_EQ(gradient_of(task, config, bright).abs().max().item<double>(), 0);
}

TEST(RewardGradient, OfACropOrAHalfReachesWhatItSaw) {
  TrainingTask task = tests::distill_task();
  DistillConfig config = tests::distill_config();
  const at::Tensor latents = at::zeros({2, 3, 8, 8});
  config.reward_view = finetune::RewardView::kCrop;
  EXPECT_EQ(gradient_of(task, config, latents).select(1, 0).ne(0).sum().item<int64_t>(), 2 * 16);
  config.reward_view = finetune::RewardView::kHalf;
  EXPECT_EQ(gradient_of(task, config, latents).select(1, 0).ne(0).sum().item<int64_t>(), 2 * 64);
}

TEST(WeightedReward, OfTwoOneWithinItsCap) {
  const at::Tensor raw = at::tensor({1.0, 10.0, 3.0, 20.0}, at::kDouble).view({2, 2});
  DistillConfig config;
  std::vector<rewards::WeightedReward> trained{{tests::channel_reward("first", 0, true), 2.0},
                                               {tests::channel_reward("second", 0, true), 0.1}};
  config.caps = "first=..2";
  const at::Tensor sum = finetune::weighted_reward(raw, trained, config);
  EXPECT_DOUBLE_EQ(sum[0].item<double>(), 3.0);
  EXPECT_DOUBLE_EQ(sum[1].item<double>(), 6.0);
  trained.pop_back();
  EXPECT_THROW(finetune::weighted_reward(raw, trained, config), c10::Error);
}

// ---- blended captions ----

TEST(DrawBatch, BlendsTheLastCaptionsAndRatesTheOthers) {
  const TrainingTask task = tests::distill_task();
  const auto data = tests::distill_data();
  DistillConfig config = tests::distill_config();
  config.caption_mix = 0.5;  // of 4
  EXPECT_EQ(finetune::rated_rows(config), 2);
  config.reward_batch_size = 1;
  EXPECT_EQ(finetune::rated_rows(config), 1);
  diffusion::Network student = task.unet;
  auto optimizer =
      finetune::make_optimizer(config, finetune::trained_parameters(student, config), 1);
  const finetune::Distillation run =
      finetune::make_distillation(task, data, config, student, optimizer);
  auto generator = at::detail::createCPUGenerator(4);
  bool swapped = false, kept = false;
  for (int draw = 0; draw < 5; ++draw) {
    const auto drawn = finetune::draw_batch(run, generator);
    const at::Tensor found = drawn.batch.conditions.text.hidden,
                     whole = finetune::encode(task, drawn.prompts).hidden, next = whole.roll(-1, 0);
    EXPECT_TRUE(found.narrow(0, 0, 2).equal(whole.narrow(0, 0, 2)));
    const at::Tensor own = (found == whole).all(2), others = (found == next).all(2);  // [4, L]
    EXPECT_TRUE((own | others).all().item<bool>());
    swapped |= !own.all().item<bool>();
    kept |= !others.narrow(0, 2, 2).all().item<bool>();
  }
  EXPECT_TRUE(swapped && kept);
}

// ---- diversity ----

TEST(DiversityLoss, OfHandMadePairs) {
  const at::Tensor latents =
      at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0}, at::kDouble).view({4, 2, 1, 1});
  // The first prompt's two are orthogonal (d = 1), the second's are the same (d = 0).
  EXPECT_DOUBLE_EQ(finetune::mean_distance(latents, 2), 0.5);
  EXPECT_DOUBLE_EQ(finetune::diversity_loss(latents, 2, 0.4).item<double>(), 0.2);
  EXPECT_DOUBLE_EQ(finetune::diversity_loss(latents, 2, 1.5).item<double>(), 1.0);
  EXPECT_THROW(finetune::diversity_loss(latents, 3, 1), c10::Error);
}

// ---- the chain of the student's own ----

TEST(LastStepState, SetsOutWhereLcmSamplingDoes) {
  const TrainingTask task = tests::distill_task();
  const auto data = tests::distill_data();
  const DistillConfig config = tests::distill_config();
  diffusion::Network student = task.unet;
  auto optimizer =
      finetune::make_optimizer(config, finetune::trained_parameters(student, config), 1);
  const finetune::Distillation run =
      finetune::make_distillation(task, data, config, student, optimizer);
  auto generator = at::detail::createCPUGenerator(4);
  const diffusion::Conditioning conditions{.text = finetune::encode(task, {"a", "b"}),
                                           .guidance_w = at::full({2}, 3.0)};
  const int64_t expected[] = {999, 499, 339, 259};
  for (int64_t steps = 1; steps <= 4; ++steps) {
    const auto state = finetune::last_step_state(run, task.unet, conditions, steps, generator);
    EXPECT_EQ(state.t[0].item<int64_t>(), expected[steps - 1]);
    EXPECT_FALSE(state.x.requires_grad());
  }
}

// What the student loses against its teacher, the control loses too.
TEST(Distill, IsJudgedBesideAControlWithoutReward) {
  TrainingTask task = tests::distill_task();
  DistillConfig config = tests::distill_config();
  const fs::path control = tests::fresh_folder("control"), folder = tests::fresh_folder("judged");
  task.guard_rewards = {"greenness"};
  config.guard_control = control.string();
  TrainingTask plain = task;
  plain.guard_rewards.clear();
  plain.rewards.clear();
  const auto refused = [&] {
    return refusal([&] { run(task, config, tests::fresh_folder("unjudged")); });
  };
  DistillConfig alone = config;
  alone.guard_control.clear();
  run(plain, alone, control);
  EXPECT_NE(refused().find("found none of redness; run the control with --eval_rewards "
                           "redness,greenness"),
            std::string::npos)
      << refused();
  plain.eval_rewards.insert(plain.eval_rewards.end(), task.rewards.begin(), task.rewards.end());
  run(plain, alone, tests::fresh_folder("control"));
  const auto result = run(task, config, folder);
  ASSERT_TRUE(result.verdict);
  const auto figures = metrics(folder, true).back();
  double expected = 0;  // the control's own lead in greenness, not the teacher's
  for (const char* split : {"seen/greenness", "unseen/greenness"})
    expected += metrics(control, true).back()[split].get<double>() - figures[split].get<double>();
  EXPECT_EQ(figures["guard/fall"].get<double>() > 0, expected > 0);
  config.eval_images = 1;
  EXPECT_NE(refusal([&] {
              run(task, config, tests::fresh_folder("other"));
            }).find("guard_control: " + control.string()),
            std::string::npos);
}

}  // namespace
