#include "finetune/pretrain/unet.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "finetune/datasets/timesteps.hpp"
#include "finetune/datasets/workers.hpp"
#include "tests/finetune/pretrain/same_network.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;

// Two captions, two flat colours.
finetune::CaptionedSource flat_colours() {
  return {"flat colours", [](int64_t count, at::Generator& generator) {
            finetune::CaptionedImages batch{at::zeros({count, 3, 16, 16}), {}};
            const at::Tensor red = at::randint(2, {count}, generator, at::kLong);
            for (int64_t i = 0; i < count; ++i) {
              const bool is_red = red[i].item<int64_t>() == 1;
              batch.images[i][is_red ? 0 : 2].fill_(1.0);
              batch.captions.push_back(is_red ? "a red square" : "a blue square");
            }
            return batch;
          }};
}

finetune::EncodedImages some_images(const diffusion::Pipeline& pipeline, int64_t count) {
  auto generator = at::detail::createCPUGenerator(3);
  return finetune::encode_images(pipeline.vae, flat_colours(),
                                 {.count = count, .num_workers = 2, .batch_size = 5}, generator,
                                 [](const std::string&) {});
}

finetune::LatentSet some_set(const diffusion::Pipeline& pipeline) {
  return finetune::encode_text(some_images(pipeline, 12), pipeline, {.batch_size = 2});
}

TEST(LatentSet, HoldsTheAutoencodersGaussianAndEachCaptionOnce) {
  const auto pipeline = tests::tiny_pipeline();
  const auto images = some_images(pipeline, 12);
  const auto set = finetune::encode_text(images, pipeline, {.batch_size = 2});
  ASSERT_EQ(set.size(), 12);
  EXPECT_EQ(set.hidden.sizes(), (std::vector<int64_t>{3, 12, 8}));  // "", red, blue
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor first = flat_colours().draw(5, generator).images;
  const auto moments = diffusion::vae_encode(pipeline.vae, first * 2 - 1);
  const at::Tensor mean = moments.mean * pipeline.vae.config.scaling_factor;
  EXPECT_TRUE(at::allclose(set.mean.slice(0, 0, 5).to(at::kFloat), mean, 1e-2, 1e-3));
  const at::Tensor drop = at::arange(2) == 1;
  const auto batch = finetune::latent_batch(set, at::arange(2), at::ones({2, 4, 8, 8}), drop);
  const at::Tensor wanted = diffusion::encode_prompts(pipeline, {images.captions[0], ""}).hidden;
  EXPECT_TRUE(at::allclose(batch.hidden, wanted, 1e-2, 1e-2));
  EXPECT_TRUE(
      at::allclose(batch.latents, (set.mean + set.std).slice(0, 0, 2).to(at::kFloat), 1e-2, 1e-3));
}

TEST(EncodedImages, AreReadBackAndRefusedWhenOfAnotherOrigin) {
  const auto pipeline = tests::tiny_pipeline();
  const auto images = some_images(pipeline, 7);
  const fs::path path = tests::fresh_folder() / "x.latents";
  finetune::save_encoded_images(path, images, "this");
  const auto read = finetune::load_encoded_images(path, "this");
  EXPECT_TRUE(at::equal(read.mean, images.mean));
  EXPECT_TRUE(at::equal(read.std, images.std));
  EXPECT_EQ(read.captions, images.captions);
  EXPECT_THROW(finetune::load_encoded_images(path, "that"), data::BadInput);
}

TEST(MinSnrWeights, ByHand) {
  const auto schedule = diffusion::make_schedule({});
  const at::Tensor t = at::tensor({0, 999});
  const at::Tensor weights = finetune::min_snr_weights(schedule, t, 5.0);
  const double abar = schedule.alphas_cumprod[0];
  EXPECT_NEAR(weights[0].item<double>(), 5.0 * (1 - abar) / abar, 1e-6);  // SNR about 1,000
  EXPECT_EQ(weights[1].item<double>(), 1.0);                              // SNR below 5
  EXPECT_TRUE(at::equal(finetune::min_snr_weights(schedule, t, 0.0), at::ones({2})));
}

TEST(UNetLoss, IsTheWeightedErrorOfTheNoise) {
  const auto pipeline = tests::tiny_pipeline();
  const auto schedule = diffusion::make_schedule(pipeline.scheduler);
  const finetune::PretrainBatch batch{.latents = at::randn({2, 4, 8, 8}),
                                      .hidden = at::randn({2, 12, 8}),
                                      .pooled = {},
                                      .caption = {},
                                      .t = at::tensor({10, 900}),
                                      .noise = at::randn({2, 4, 8, 8})};
  const at::Tensor x = diffusion::add_noise(schedule, batch.latents, batch.noise, batch.t);
  const at::Tensor output =
      diffusion::unet_forward(diffusion::unet_of(pipeline.network), x, batch.t, batch.hidden);
  const at::Tensor error = (output - batch.noise).square().mean({1, 2, 3});
  const at::Tensor weights = finetune::min_snr_weights(schedule, batch.t, 5.0);
  const double loss = finetune::unet_loss(pipeline.network, schedule, batch, 5.0).item<double>();
  EXPECT_NEAR(loss, (weights * error).mean().item<double>(), 1e-6);
}

finetune::PretrainOptions tiny_options(const fs::path& folder, int64_t steps) {
  finetune::PretrainOptions options;
  options.loop.output_dir = folder;
  options.loop.max_train_steps = steps;
  options.loop.train_batch_size = 4;
  options.loop.lr_warmup_steps = 1;
  options.lr_decay_from = 1.0;  // what is left of a run must not depend on where it was cut
  options.loop.logging_steps = 2;
  options.loop.validation_steps = 4;
  options.loop.checkpointing_steps = 2;
  return options;
}

finetune::PretrainResult trained(const finetune::PretrainOptions& options,
                                 const fs::path& init_unet = {}) {
  const auto pipeline = tests::tiny_pipeline();
  const auto set = some_set(pipeline);
  const auto objective = finetune::unet_objective(
      {.model = tests::tiny_unet_config(), .init_unet = init_unet}, pipeline.scheduler);
  return finetune::pretrain(options, objective, pipeline, set, set, {}, [](const std::string&) {});
}

// A run in a program that goes on must not change how the next one rounds.
TEST(ThreadsPerOperation, LeavesTheNumberOfThreadsAsItWas) {
  const int before = at::get_num_threads();
  {
    const finetune::ThreadsPerOperation three(3);
    EXPECT_EQ(at::get_num_threads(), 3);
    const finetune::ThreadsPerOperation one(1);
    EXPECT_EQ(at::get_num_threads(), 1);
  }
  EXPECT_EQ(at::get_num_threads(), before);
  const finetune::ThreadsPerOperation three(3);
  trained(tiny_options(tests::fresh_folder(), 1));
  EXPECT_EQ(at::get_num_threads(), 3);
}

TEST(PretrainUNet, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  const fs::path whole_folder = tests::fresh_folder("_whole"),
                 cut_folder = tests::fresh_folder("_cut");
  auto whole = trained(tiny_options(whole_folder, 8));
  trained(tiny_options(cut_folder, 4));
  auto options = tiny_options(cut_folder, 8);
  EXPECT_THROW(trained(options), data::BadInput);  // not over an earlier run without being told to
  options.loop.resume_from_checkpoint = "latest";
  auto resumed = trained(options);
  EXPECT_EQ(resumed.steps, 8);
  EXPECT_EQ(resumed.held_out_loss, whole.held_out_loss);
  tests::expect_same_network(resumed.network, whole.network);
}

TEST(PretrainUNet, LearnsAndDoesNotDependOnTheNumberOfWorkersBeyondRounding) {
  auto options = tiny_options(tests::fresh_folder("_one"), 60);
  options.loop.learning_rate = 5e-3;
  options.loop.ema_decay = 0.5;
  options.loop.validation_steps = options.loop.checkpointing_steps = 1000;
  const double untrained = trained(tiny_options(tests::fresh_folder("_none"), 1)).held_out_loss;
  const double two = trained(options).held_out_loss;
  EXPECT_LT(two, 0.8 * untrained);
  options.num_workers = 1;
  options.loop.max_train_steps = 3;
  options.loop.output_dir = tests::fresh_folder("_single");
  const double single = trained(options).held_out_loss;
  options.num_workers = 3;
  options.loop.output_dir = tests::fresh_folder("_triple");
  EXPECT_NEAR(trained(options).held_out_loss, single, 1e-4 * single);
}

TEST(Exam, AnImageDependsOnItsSeedAndPromptAlone) {
  const auto pipeline = tests::tiny_pipeline();
  finetune::ExamOptions options;
  options.num_inference_steps = 3;
  const at::Tensor images = finetune::sample_prompts(
      pipeline, {"a red circle", "a blue square", "a red circle"}, options);
  ASSERT_EQ(images.sizes(), (std::vector<int64_t>{3, 3, 16, 16}));
  options.seed = 1;
  const at::Tensor alone = finetune::sample_prompts(pipeline, {"a blue square"}, options);
  EXPECT_LE((alone[0] - images[1]).abs().max().item<double>(), 1e-4);
  EXPECT_GT((images[0] - images[2]).abs().max().item<double>(), 1e-4);
}

TEST(Exam, PromptsAreFixedAndSplit) {
  const auto sets = finetune::world_exams(20), again = finetune::world_exams(20);
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].name, "seen");
  EXPECT_EQ(sets[0].prompts.size(), 20u);
  EXPECT_EQ(sets[1].prompts, again[1].prompts);
  EXPECT_NE(sets[0].prompts, sets[1].prompts);
}

TEST(PretrainUNet, GoesOnFromAUNetThatExists) {
  const auto pipeline = tests::tiny_pipeline();
  const fs::path folder = tests::fresh_folder("_start");
  diffusion::UNet start = diffusion::unet_of(pipeline.network);
  diffusion::save_unet(folder, start, at::kFloat);
  auto options = tiny_options(tests::fresh_folder("_on"), 1);
  options.loop.learning_rate = 0;
  const auto result = trained(options, folder);
  const auto batch = at::randn({1, 4, 8, 8}), hidden = at::randn({1, 12, 8});
  const auto output = [&](const diffusion::UNet& unet) {
    return diffusion::unet_forward(unet, batch, at::tensor({5}), hidden).detach();
  };
  EXPECT_TRUE(at::allclose(output(diffusion::unet_of(result.network)),
                           output(diffusion::unet_of(pipeline.network)), 1e-5, 1e-6));
}

}  // namespace
