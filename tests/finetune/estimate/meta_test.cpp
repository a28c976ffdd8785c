// The networks on the meta device, where tensors have shapes and no values: the operations of real
// sizes are counted in milliseconds, and most tensors made on another device are errors.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "data/device/memory.hpp"
#include "data/profile/flops.hpp"
#include "data/profile/meta_kernels.hpp"
#include "diffusion/networks/unet/unet.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/networks/vae/vae.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "finetune/distill/lcd.hpp"
#include "finetune/policy/two_pass_gradient.hpp"
#include "finetune/task/guided_policy.hpp"
#include "tests/support/tiny/edit_task.hpp"
#include "tools/bench/random_model.hpp"

namespace {

using diffusion::UNetConfig;

at::Tensor meta(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  return at::empty(shape, at::TensorOptions().device(at::kMeta).dtype(dtype));
}

UNetConfig unet_of_shape(const char* name) {
  return std::get<UNetConfig>(bench::shape_by_name(name).network);
}
UNetConfig sd15() { return unet_of_shape("sd15"); }
UNetConfig sd21() { return unet_of_shape("sd21"); }
UNetConfig sdxl() { return unet_of_shape("sdxl"); }

int64_t parameters(diffusion::Network& unet) {
  int64_t count = 0;
  diffusion::for_each_tensor(unet, "",
                             [&](const std::string&, at::Tensor& t) { count += t.numel(); });
  return count;
}

// TFLOP of one forward pass of one image. `side`: of the latents
double unet_tflop(const UNetConfig& config, int64_t side) {
  const at::NoGradGuard no_gradient;
  const diffusion::Network unet = diffusion::meta_unet(config);
  diffusion::ExtraConditions added;
  if (config.addition_time_embed_dim > 0) {
    added.text_embeds = meta({1, 1280});
    added.time_ids = meta({1, diffusion::kTimeIds});
  }
  at::Tensor output;
  const int64_t flops = data::count_flops([&] {
    output = diffusion::forward(unet, meta({1, config.in_channels, side, side}), meta({1}),
                                meta({1, 77, config.cross_attention_dim}), added);
  });
  EXPECT_TRUE(output.is_meta());
  EXPECT_EQ(output.sizes(), (std::vector<int64_t>{1, config.out_channels, side, side}));
  return static_cast<double>(flops) / 1e12;
}

// Counted by hand from every convolution, linear layer and attention product of the published
// networks, in TFLOP.
TEST(Meta, UNetsOfRealSizesCostWhatTheirShapesSay) {
  diffusion::Network sd1 = diffusion::meta_unet(sd15()), xl = diffusion::meta_unet(sdxl());
  EXPECT_EQ(parameters(sd1), 859520964);
  EXPECT_EQ(parameters(xl), 2567463684);
  struct Case {
    UNetConfig config;
    int64_t side;
    double tflop;
  };
  UNetConfig edit = sd15();
  edit.in_channels = 8;
  for (const auto& [config, side, tflop] :
       {Case{sd15(), 32, 0.180}, Case{sd15(), 64, 0.803}, Case{sd15(), 128, 4.674},
        Case{sd21(), 64, 0.804}, Case{sd21(), 96, 2.149}, Case{edit, 64, 0.803},
        Case{sdxl(), 64, 1.589}, Case{sdxl(), 128, 6.761}})
    EXPECT_NEAR(unet_tflop(config, side) / tflop, 1, 0.02) << side << " " << tflop;
}

TEST(Meta, AVaeOfRealSizeCostsWhatItsShapesSay) {
  const at::NoGradGuard no_gradient;
  data::use_meta_kernels();
  diffusion::VaeConfig config;
  config.block_out_channels = {128, 256, 512, 512};
  config.layers_per_block = 2;
  config.norm_num_groups = 32;
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::Vae vae = diffusion::make_vae(config, generator);
  diffusion::for_each_tensor(vae, "",
                             [](const std::string&, at::Tensor& t) { t = t.to(at::kMeta); });
  const auto tflop = [](const std::function<void()>& work) {
    return static_cast<double>(data::count_flops(work)) / 1e12;
  };
  EXPECT_NEAR(tflop([&] { diffusion::vae_decode(vae, meta({1, 4, 64, 64})); }) / 2.515, 1, 0.02);
  EXPECT_NEAR(tflop([&] { diffusion::vae_decode(vae, meta({1, 4, 128, 128})); }) / 10.470, 1, 0.02);
  EXPECT_NEAR(tflop([&] { diffusion::vae_encode(vae, meta({1, 3, 512, 512})); }) / 1.117, 1, 0.02);
}

// What a piece of work computes and holds.
struct Cost {
  int64_t flops = 0, bytes = 0;
};
// Of a network with all of its parameters in training, on meta tensors and on the CPU.
struct Costs {
  Cost meta, cpu;
};
using Work = std::function<void(const diffusion::Network& unet, at::Device device)>;
Costs costs_of(const Work& work) {
  const auto measured = [&](diffusion::Network unet, at::Device device, auto peak) {
    const auto params = train::parameters_of(unet, "");
    for (const auto& param : params) param.value.requires_grad_(true);
    const auto once = [&] {
      for (const auto& param : params) param.value.mutable_grad().reset();
      work(unet, device);
    };
    const int64_t flops = data::count_flops(once);
    return Cost{flops, peak(once)};
  };
  auto generator = at::detail::createCPUGenerator(1);
  const UNetConfig config = tests::tiny_unet_config();
  return {measured(diffusion::meta_unet(config), at::kMeta, data::peak_meta_bytes),
          measured(diffusion::make_unet(config, generator), at::kCPU, data::peak_tensor_bytes)};
}
void expect_alike(const Costs& costs) {
  EXPECT_GT(costs.cpu.flops, 0);
  EXPECT_EQ(costs.meta.flops, costs.cpu.flops);
  EXPECT_NEAR(static_cast<double>(costs.meta.bytes) / static_cast<double>(costs.cpu.bytes), 1, 0.1)
      << costs.meta.bytes << " " << costs.cpu.bytes;
}
at::Tensor filled(at::IntArrayRef shape, at::Device device) {
  return at::full(shape, 0.1, at::TensorOptions().device(device));
}

TEST(Meta, ATrainingStepCostsAndHoldsWhatItDoesOnTheCpu) {
  expect_alike(costs_of([](const diffusion::Network& unet, at::Device device) {
    diffusion::forward(unet, filled({2, 4, 16, 16}, device), filled({2}, device),
                       filled({2, 5, 8}, device))
        .square()
        .mean()
        .backward();
  }));
}

TEST(Meta, AGradientOfPrdpCostsAndHoldsWhatItDoesOnTheCpu) {
  expect_alike(costs_of([](const diffusion::Network& unet, at::Device device) {
    finetune::FinetuneConfig config;
    config.sample_num_steps = 3;
    config.skip_sharp_steps = false;
    const finetune::SamplingPlan chain =
        finetune::make_sampling_plan(config, {}, {4, 16, 16}, device);
    const at::Tensor some = filled({4, 4, 16, 16}, device);
    const finetune::Trajectories drawn{.latents = std::vector<at::Tensor>(4, some),
                                       .reference_means = std::vector<at::Tensor>(3, some),
                                       .targets = {},
                                       .log_ratio = {},
                                       .kl = {},
                                       .prompt_ids = {0, 0, 1, 1},
                                       .branch_sizes = {1, 1, 1}};
    const finetune::Denoiser policy = finetune::guided_policy(
        unet,
        {.text = {filled({2, 5, 8}, device), {}}, .negative = {filled({1, 5, 8}, device), {}}},
        {.scale = 3});
    finetune::accumulate_gradient(
        policy, drawn, {0, 1, 2, 3}, {0, 1}, chain, 2, true,
        [](int64_t, int64_t, const finetune::StepTerms& now) {
          return finetune::StepWeights{at::ones_like(now.log_ratio), at::ones_like(now.kl)};
        });
  }));
}

TEST(Meta, AStepOfDistillationCostsAndHoldsWhatItDoesOnTheCpu) {
  expect_alike(costs_of([](const diffusion::Network& unet, at::Device device) {
    const auto schedule =
        finetune::lcd_schedule(diffusion::make_schedule(diffusion::SchedulerConfig()), 10, 10);
    const at::Tensor index = at::full({2}, 4, at::TensorOptions(at::kLong).device(device)),
                     x = filled({2, 4, 16, 16}, device);
    const diffusion::Conditioning conditions{.text = {filled({2, 5, 8}, device), {}},
                                             .negative = {filled({1, 5, 8}, device), {}},
                                             .guidance_w = filled({2}, device)};
    at::Tensor target, t = at::full({2}, 499, at::TensorOptions(at::kLong).device(device));
    {
      const at::NoGradGuard no_gradient;
      target = finetune::teacher_step(unet, schedule, x, index, conditions);
    }
    finetune::lcd_loss(finetune::consistency(unet, schedule, x, t, conditions), target,
                       finetune::LcdLoss::kHuber, 1e-3)
        .backward();
  }));
}

// What conditions a policy follows the latents' device. (Most tensors left on the CPU throw; not
// those that are only joined to others: PyTorch's `cat` does not look.)
TEST(Meta, AGuidedPolicyStaysOnItsDevice) {
  UNetConfig config = tests::tiny_unet_config();
  config.in_channels = 8;
  config.reward = tests::native_branch();
  const diffusion::Network unet = diffusion::meta_unet(config);
  const diffusion::Conditioning conditioning{
      .text = {meta({3, 5, 8}), {}},
      .negative = {meta({1, 5, 8}), {}},
      .image_latents = meta({3, 4, 8, 8}),
      .reward = {meta({3, 3}), meta({3, 3}, at::kBool), meta({3, 0})}};
  const finetune::Denoiser policy =
      finetune::guided_policy(unet, conditioning, {.scale = 4, .image_scale = 1.5});
  const at::Tensor out = policy(meta({4, 4, 8, 8}), 500, {2, 0, 1, 1});
  EXPECT_TRUE(out.is_meta());
  EXPECT_EQ(out.sizes(), (std::vector<int64_t>{4, 4, 8, 8}));
  EXPECT_THROW(policy(at::zeros({4, 4, 8, 8}), 500, {2, 0, 1, 1}), c10::Error);
}

}  // namespace
