#include "finetune/pretrain/vae.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::PretrainVaeOptions;

// Squares of one colour, 16x16.
at::Tensor plain_images(int64_t count, at::Generator& generator) {
  return at::empty({count, 3, 1, 1}, at::kFloat)
      .uniform_(0, 1, generator)
      .expand({count, 3, 16, 16})
      .contiguous();
}

finetune::ImageSource plain_source() {
  auto generator = at::detail::createCPUGenerator(99);
  return {"plain squares", plain_images, plain_images(4, generator)};
}

PretrainVaeOptions tiny_options(const std::string& name) {
  PretrainVaeOptions options;
  options.model.block_out_channels = {4, 8};
  options.model.norm_num_groups = 4;
  options.loop.output_dir = tests::fresh_folder(name);
  options.loop.train_batch_size = 3;
  options.crop_size = 8;
  options.crop_until = 0.5;
  options.loop.max_train_steps = 8;
  options.loop.lr_warmup_steps = 2;
  options.loop.logging_steps = 1;
  options.loop.validation_steps = 4;
  options.loop.checkpointing_steps = 3;
  return options;
}

void ignore(const std::string&) {}

TEST(PretrainVae, AKilledRunGoesOnBitForBit) {
  for (const char* optimizer : {"muon", "adamw"}) {
    PretrainVaeOptions whole = tiny_options("whole"), killed = tiny_options("killed");
    whole.optimizer = killed.optimizer = optimizer;
    finetune::pretrain_vae(whole, plain_source(), ignore);
    int steps = 0;
    const auto kill_at_5 = [&](const std::string&) {
      if (++steps == 5) throw std::runtime_error("killed");
    };
    EXPECT_THROW(finetune::pretrain_vae(killed, plain_source(), kill_at_5), std::runtime_error);
    killed.loop.resume_from_checkpoint = "latest";  // the state of step 3
    const auto result = finetune::pretrain_vae(killed, plain_source(), ignore);
    EXPECT_EQ(result.steps, 8);
    const auto a = data::read_safetensors(whole.loop.output_dir / "state.safetensors").tensors;
    const auto b = data::read_safetensors(killed.loop.output_dir / "state.safetensors").tensors;
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
    EXPECT_EQ(
        data::read_file(whole.loop.output_dir / "vae" / "diffusion_pytorch_model.safetensors"),
        data::read_file(killed.loop.output_dir / "vae" / "diffusion_pytorch_model.safetensors"));
  }
}

TEST(PretrainVae, ResumedMetricsHoldEachStepOnce) {
  PretrainVaeOptions options = tiny_options("metrics");
  options.loop.max_train_steps = 5;
  finetune::pretrain_vae(options, plain_source(), ignore);
  options.loop.max_train_steps = 7;
  options.loop.resume_from_checkpoint = "latest";
  finetune::pretrain_vae(options, plain_source(), ignore);
  const std::string metrics = data::read_file(options.loop.output_dir / "metrics.jsonl");
  for (int step = 1; step <= 7; ++step) {
    const std::string key = "\"step\":" + std::to_string(step) + ",";
    int64_t count = 0;
    for (size_t at = metrics.find(key); at != std::string::npos; at = metrics.find(key, at + 1))
      ++count;
    EXPECT_EQ(count, step == 4 ? 2 : 1) << metrics;  // step 4 has an evaluation too
  }
}

TEST(PretrainVae, LearnsPlainImages) {
  PretrainVaeOptions options = tiny_options("learns");
  options.loop.max_train_steps = 150;
  options.loop.learning_rate = 0.01;
  options.loop.ema_decay = 0.9;
  options.crop_until = 0;
  options.loop.logging_steps = options.loop.validation_steps = options.loop.checkpointing_steps =
      1000;
  const auto source = plain_source();
  auto generator = at::detail::createCPUGenerator(0);
  const double before =
      finetune::reconstruct(diffusion::make_vae(options.model, generator), source.held_out).psnr;
  const auto result = finetune::pretrain_vae(options, source, ignore);
  EXPECT_GT(result.psnr, before + 1);
  const auto loaded = diffusion::load_vae(options.loop.output_dir / "vae");
  const auto again = finetune::reconstruct(loaded, source.held_out);
  EXPECT_NEAR(again.psnr, result.psnr, 0.3);  // fp16
  EXPECT_NEAR(again.latent_std * loaded.config.scaling_factor, 1.0, 1e-2);
  EXPECT_EQ(loaded.config.sample_size, 16);
}

TEST(PretrainVae, LossesByHand) {
  PretrainVaeOptions options;
  options.model.block_out_channels = {4};
  options.model.norm_num_groups = 2;
  options.kl_weight = 0.5;
  options.l1_weight = 2.0;
  auto generator = at::detail::createCPUGenerator(5);
  const auto vae = diffusion::make_vae(options.model, generator);
  const at::Tensor images = plain_images(2, generator);
  const at::Tensor noise = at::zeros({2, 4, 16, 16});
  const auto losses = finetune::vae_losses(vae, images, noise, options);
  const auto moments = diffusion::vae_encode(vae, images * 2 - 1);
  const at::Tensor error = diffusion::vae_decode(vae, moments.mean) - (images * 2 - 1);
  const double mse = error.square().mean().item<double>();
  const at::Tensor variance = moments.logvar.exp();
  const double kl =
      0.5 * (moments.mean.square() + variance - 1 - variance.log()).sum().item<double>() / 2;
  EXPECT_NEAR(losses.mse.item<double>(), mse, 1e-5 * mse);
  EXPECT_NEAR(losses.kl.item<double>(), kl, 1e-4 * kl);
  const double expected = mse + 0.5 * kl / (3 * 16 * 16) + 2 * error.abs().mean().item<double>();
  EXPECT_NEAR(losses.total.item<double>(), expected, 1e-4 * expected);
}

TEST(PretrainVae, PsnrOfReconstructions) {
  auto generator = at::detail::createCPUGenerator(6);
  const auto vae =
      diffusion::make_vae({.block_out_channels = {4, 8}, .norm_num_groups = 4}, generator);
  const at::Tensor images = plain_images(3, generator);
  const auto result = finetune::reconstruct(vae, images);
  double sum = 0;
  for (int64_t i = 0; i < 3; ++i) {
    sum -= 10 * std::log10((result.images[i] - images[i]).square().mean().item<double>());
  }
  EXPECT_NEAR(result.psnr, sum / 3, 1e-4);
  EXPECT_LE(result.pooled_psnr, result.psnr);
}

TEST(PretrainVae, RefusesToWriteOverARunOrToResumeAnother) {
  PretrainVaeOptions options = tiny_options("refuses");
  options.loop.max_train_steps = 1;
  finetune::pretrain_vae(options, plain_source(), ignore);
  EXPECT_THROW(finetune::pretrain_vae(options, plain_source(), ignore), data::BadInput);
  options.loop.resume_from_checkpoint = "latest";
  options.model.block_out_channels = {4, 16};
  EXPECT_THROW(finetune::pretrain_vae(options, plain_source(), ignore), data::BadInput);
  options.model.block_out_channels = {4, 6};  // not a multiple of the groups
  EXPECT_THROW(finetune::pretrain_vae(options, plain_source(), ignore), data::BadInput);
}

}  // namespace
