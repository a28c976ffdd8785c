#include "finetune/edit/edit.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "diffusion/pipeline/generate.hpp"
#include "finetune/task/guided_policy.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/edit_task.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::EditConfig;
using tests::edit_config;

finetune::RunResult run(const EditConfig& config,
                        const fs::path& folder,
                        const std::string& resume = "") {
  return finetune::run_edit(tests::edit_task(), tests::edit_data(), config,
                            tests::run_options(folder, "edit", config.seed, resume),
                            tests::reporter_into(nullptr));
}

TEST(EditTraining, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  for (const bool full : {true, false}) {
    EditConfig config = edit_config();
    config.train_full = full;
    const fs::path whole = tests::fresh_folder("whole"), halved = tests::fresh_folder("halved");
    run(config, whole);
    config.max_train_steps = 2;
    run(config, halved);
    config.max_train_steps = 4;
    run(config, halved, "latest");
    tests::expect_same_tensors(whole / "checkpoint-4/state.safetensors",
                               halved / "checkpoint-4/state.safetensors");
    EXPECT_EQ(data::read_file(whole / "samples/step-4/scores.jsonl"),
              data::read_file(halved / "samples/step-4/scores.jsonl"));
  }
}

TEST(EditTraining, LearnsAndLeavesACompleteFolder) {
  EditConfig config = edit_config();
  config.learning_rate = 3e-3;
  config.max_train_steps = 60;
  config.eval_every = 0;
  config.checkpointing_steps = 0;
  const fs::path folder = tests::fresh_folder("run");
  run(config, folder);
  const auto evaluations = tests::metrics(folder, true);
  EXPECT_GT(evaluations.back().at("seen/denoising").get<double>(),
            evaluations.front().at("seen/denoising").get<double>() + 0.1);
  for (const char* file :
       {"run.json", "metrics.jsonl", "model/unet/config.json", "samples/source/0000.png",
        "samples/target/0000.png", "samples/base/scores.jsonl", "samples/step-60/0003.png"})
    EXPECT_TRUE(fs::exists(folder / file)) << file;
  const diffusion::Network unet = diffusion::load_unet(folder / "model/unet");
  EXPECT_EQ(diffusion::reward_config(unet).axes, tests::native_branch().axes);
  EXPECT_GT(diffusion::unet_of(unet).reward.time_2.weight.abs().max().item<double>(), 0.0);
}

TEST(EditTraining, AdaptersTrainThePartsThatAnOrdinaryModelLacks) {
  EditConfig config = edit_config();
  config.train_full = false;
  auto unet = tests::edit_task().unet;
  const auto params = finetune::edit_parameters(unet, config);
  std::set<std::string> names;
  for (const auto& param : params) {
    names.insert(param.name);
    EXPECT_TRUE(param.value.requires_grad()) << param.name;
  }
  for (const char* name : {"conv_in.weight", "reward_embedding.linear_2.bias",
                           "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_FALSE(diffusion::unet_of(unet).conv_out.weight.requires_grad());
}

TEST(EditPolicy, EqualsTheSamplersDenoiserUnderEveryGuidance) {
  const at::NoGradGuard no_gradient;
  diffusion::Pipeline pipeline = tests::tiny_editor();
  tests::unsilence(diffusion::unet_of(pipeline.network));
  const finetune::EncodedEdits edits = tests::random_edits(3, 8);
  auto generator = at::detail::createCPUGenerator(9);
  const at::Tensor x = at::randn({2, 4, 8, 8}, generator), rows = at::tensor({2, 0}, at::kLong);
  const diffusion::Conditioning policy{.text = {at::randn({3, 5, 8}, generator), {}},
                                       .negative = {at::randn({1, 5, 8}, generator), {}},
                                       .image_latents = edits.source.to(at::kFloat),
                                       .reward = {edits.scores, edits.scores.isfinite(), {}}};
  diffusion::Conditioning wanted;
  wanted.text.hidden = policy.text.hidden.index_select(0, rows);
  wanted.negative.hidden = policy.negative.hidden.expand({2, 5, 8});
  wanted.image_latents = policy.image_latents.index_select(0, rows);
  wanted.reward = {
      edits.scores.index_select(0, rows), policy.reward.valid.index_select(0, rows), {}};
  for (const auto& [text, image] : {std::pair{1.0, 1.0}, {4.0, 1.5}, {4.0, 0.0}}) {
    const diffusion::GuidanceOptions options{.scale = text, .image_scale = image};
    EXPECT_TRUE(at::allclose(
        finetune::guided_policy(pipeline.network, policy, options)(x, 300, {2, 0}),
        diffusion::guided_denoiser(pipeline.network, wanted, options)(x, 300.0), 1e-4, 1e-5))
        << text << " " << image;
  }
}

TEST(EditTraining, DropsInInstructPix2PixsPattern) {
  EditConfig config = edit_config();
  config.conditioning_dropout_prob = 0.05;
  auto generator = at::detail::createCPUGenerator(1);
  const auto dropped = finetune::draw_dropped(config, 40000, 3, generator);
  const auto share = [](const at::Tensor& rows) {
    return rows.to(at::kDouble).mean().item<double>();
  };
  EXPECT_NEAR(share(dropped.text), 0.10, 0.006);
  EXPECT_NEAR(share(dropped.image), 0.10, 0.006);
  EXPECT_NEAR(share(at::logical_and(dropped.text, dropped.image)), 0.05, 0.005);
  EXPECT_NEAR(share(dropped.feedback), 0.10, 0.006);
  EXPECT_NEAR(share(dropped.axes), 0.19, 0.006);  // 1 - 0.9 x 0.9
  EXPECT_NEAR(share(dropped.axes.all(1)), 0.10 + 0.9 * 0.001, 0.006);
}

TEST(EditTraining, ABatchHoldsWhatWasDrawn) {
  const auto data = tests::edit_data();
  EditConfig config = edit_config();
  config.shuffle_scores = true;
  auto generator = at::detail::createCPUGenerator(2);
  auto draw = finetune::draw_edits(data.train, config, 1000, generator);
  EXPECT_TRUE(at::equal(std::get<0>(draw.rows.sort()), std::get<0>(draw.scored_as.sort())));
  draw.rows = at::tensor({0, 1}, at::kLong);
  draw.scored_as = at::tensor({1, 0}, at::kLong);
  draw.posterior = at::ones({2, 4, 8, 8});
  const at::Tensor first = at::tensor({1, 0}, at::kLong).to(at::kBool),
                   none = at::zeros({2}, at::kBool);
  draw.dropped = {none, first, none, at::zeros({2, 3}, at::kBool)};
  const auto batch = finetune::edit_batch(data.train, draw, data.texts, at::kCPU);
  EXPECT_TRUE(at::allclose(batch.latents[0], data.train.mean[0].to(at::kFloat) + 0.1, 0, 1e-4));
  EXPECT_EQ(batch.source[0].abs().max().item<double>(), 0.0);
  EXPECT_TRUE(at::equal(batch.source[1], data.train.source[1].to(at::kFloat)));
  EXPECT_TRUE(at::equal(batch.reward.scores[0], data.train.scores[1]));
  EXPECT_FALSE(batch.reward.valid[1][1].item<bool>());  // edit 0 has no score there
  EXPECT_TRUE(batch.reward.valid[0].all().item<bool>());
}

TEST(EditTraining, RefusesScoresThatDoNotFitTheBranch) {
  data::EditTriple triple{.source = {},
                          .edited = {},
                          .instruction = "a",
                          .scores = {},
                          .feedback = {},
                          .id = {},
                          .where = "m.jsonl:3",
                          .line = {}};
  const auto refused = [&](const std::string& axis, double score) {
    triple.scores = {{axis, score}};
    return refusal([&] { finetune::score_table({triple}, tests::native_branch()); });
  };
  EXPECT_EQ(refused("quality", 1),
            "m.jsonl:3: scores: unknown axis 'quality'; expected one of instruction_following, "
            "detail_preserving, generation_quality");
  EXPECT_NE(refused("detail_preserving", 5.5).find("m.jsonl:3: scores.detail_preserving"),
            std::string::npos);
  EXPECT_EQ(refused("detail_preserving", 5), "");
}

TEST(EditTraining, AForecastAddsUp) {
  EditConfig config = edit_config();
  config.max_train_steps = 100;
  const auto forecast = finetune::forecast_edit(tests::edit_task(), tests::edit_data(), config);
  EXPECT_GT(forecast.flop, 100 * forecast.flop_per_step);
  EXPECT_GT(forecast.trained_values, 1000);
  EXPECT_NE(finetune::forecast_text(forecast).find("trained values"), std::string::npos);
}

}  // namespace
