// What a GPU would wait for. Loops run on the meta device, whose tensors have no values: reading
// one (item, a copy to the CPU) is an error there, and copies that wait are counted.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <atomic>

#include "data/device/transfer.hpp"
#include "data/profile/meta_kernels.hpp"
#include "diffusion/networks/unet/unet.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "finetune/distill/lcd.hpp"
#include "finetune/policy/two_pass_gradient.hpp"
#include "tests/support/tiny/edit_task.hpp"

namespace {

std::atomic<int> g_waits{0};

// aten::copy_(self, src, non_blocking)
std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& call) {
  if (std::string_view(call.name()) != "aten::copy_") return nullptr;
  const auto in = call.inputs();
  const bool crosses = in[0].toTensor().device() != in[1].toTensor().device();
  if (crosses && !in[2].toBool()) ++g_waits;
  return nullptr;
}

// Copies between devices that wait for each other, while `work` runs.
int waits(const std::function<void()>& work) {
  g_waits = 0;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(on_call).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return g_waits;
}

at::Tensor meta(at::IntArrayRef shape) {
  return at::empty(shape, at::TensorOptions().device(at::kMeta));
}

finetune::Denoiser meta_policy(const diffusion::Network& unet) {
  return finetune::guided_policy(
      unet, {.text = {meta({2, 5, 8}), {}}, .negative = {meta({1, 5, 8}), {}}}, {.scale = 3});
}

finetune::SamplingPlan meta_chain(int64_t steps) {
  finetune::FinetuneConfig config;
  config.sample_num_steps = steps;
  return finetune::make_sampling_plan(config, {}, {4, 8, 8}, at::kMeta);
}

TEST(Transfer, CopiesThatWaitAreSeen) {
  data::use_meta_kernels();
  EXPECT_EQ(waits([] { at::ones({3}).to(at::kMeta); }), 1);
  EXPECT_EQ(waits([] { data::to_device(at::ones({3}), at::kMeta); }), 0);
  EXPECT_THROW(meta({3}).sum().item<double>(), c10::Error);
  EXPECT_THROW(meta({3}).cpu(), c10::Error);
}

TEST(Transfer, SendsToADeviceOnce) {
  const at::Tensor here = at::tensor({1.0, 2.0});
  EXPECT_TRUE(data::to_device(here, at::kCPU).is_same(here));
  EXPECT_TRUE(data::to_host(here).is_same(here));
  EXPECT_TRUE(data::to_device(here, at::kMeta).is_meta());
  EXPECT_TRUE(at::equal(data::to_device(std::vector<int64_t>{3, 1}, at::kCPU),
                        at::tensor({3, 1}, at::kLong)));
  const at::Tensor place = data::pinned_empty({2, 3}, at::kDouble, at::kCPU);
  EXPECT_EQ(place.sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(place.scalar_type(), at::kDouble);
  EXPECT_TRUE(data::pinned_empty({2}, at::kFloat, at::kMeta).is_meta());
}

TEST(Loops, ARolloutWaitsForNothing) {
  const diffusion::Network unet = diffusion::meta_unet(tests::tiny_unet_config());
  const auto policy = meta_policy(unet);
  for (const int64_t steps : {2, 5}) {
    EXPECT_EQ(waits([&] {
                const auto drawn = finetune::rollout(policy, policy, {{0, 1, 1}, {1, 2, 3}, {}},
                                                     meta_chain(steps), 2);
                EXPECT_EQ(static_cast<int64_t>(drawn.latents.size()), steps + 1);
              }),
              0);
  }
}

TEST(Loops, NeitherPassOfAnUpdateWaits) {
  diffusion::Network unet = diffusion::meta_unet(tests::tiny_unet_config());
  for (const auto& param : train::parameters_of(unet, "")) param.value.requires_grad_(true);
  const auto policy = meta_policy(unet);
  const finetune::SamplingPlan chain = meta_chain(4);
  const auto drawn = finetune::rollout(policy, {}, {{0, 1, 1}, {1, 2, 3}, {}}, chain, 2);
  EXPECT_EQ(waits([&] { finetune::log_ratios(policy, drawn, {0, 1, 2}, chain, 2); }), 0);
  EXPECT_EQ(waits([&] {
              finetune::accumulate_gradient(policy, drawn, {0, 1, 2}, {0, 1, 3}, chain, 2, true,
                                            [](int64_t, int64_t, const finetune::StepTerms& now) {
                                              const at::Tensor ones = at::ones(now.kl.sizes());
                                              return finetune::StepWeights{ones, ones};
                                            });
            }),
            0);
  EXPECT_TRUE(diffusion::unet_of(unet).conv_in.weight.grad().defined());
}

TEST(Loops, NoSamplerWaits) {
  const at::NoGradGuard no_gradient;
  const diffusion::Network unet = diffusion::meta_unet(tests::tiny_unet_config());
  diffusion::Conditioning conditions;
  conditions.text.hidden = conditions.negative.hidden = meta({2, 5, 8});
  const auto denoiser = diffusion::guided_denoiser(unet, conditions, {.scale = 4});
  const auto schedule = diffusion::make_schedule(diffusion::SchedulerConfig());
  for (const diffusion::Sampler* sampler : diffusion::samplers()) {
    diffusion::SamplerOptions options;
    options.sampler = sampler;
    options.steps = 6;
    EXPECT_EQ(waits([&] {
                auto generators = diffusion::image_generators({1, 2});
                diffusion::sample(denoiser, meta({2, 4, 8, 8}), schedule, generators, options);
              }),
              0)
        << sampler->flag;
  }
}

TEST(Loops, ADistillationsPredictionsWaitForNothing) {
  const diffusion::Network unet = diffusion::meta_unet(tests::tiny_unet_config());
  const auto schedule =
      finetune::lcd_schedule(diffusion::make_schedule(diffusion::SchedulerConfig()), 10, 10);
  const auto options = at::TensorOptions(at::kLong).device(at::kMeta);
  const finetune::LcdBatch batch{.latents = meta({2, 4, 8, 8}),
                                 .noise = meta({2, 4, 8, 8}),
                                 .index = at::full({2}, 4, options),
                                 .conditions = {.text = {meta({2, 5, 8}), {}},
                                                .negative = {meta({1, 5, 8}), {}},
                                                .guidance_w = at::full({2}, 4.0)}};
  EXPECT_EQ(waits([&] { finetune::lcd_predict(unet, unet, unet, schedule, batch); }), 0);
}

}  // namespace
