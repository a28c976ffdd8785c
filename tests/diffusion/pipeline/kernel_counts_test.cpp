// The counts of docs/kernels.md: how many elements of Stable Diffusion's networks go through what
// a fused kernel could take over. On the meta device: shapes without values.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "data/profile/meta_kernels.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "diffusion/networks/unet/unet.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/networks/vae/vae.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/gaussian_step.hpp"
#include "tools/bench/random_model.hpp"

namespace {

struct Count {
  int64_t calls = 0, elements = 0;  // elements of the first input
};
std::map<std::string, Count> g_counts;

std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& call) {
  const auto inputs = call.inputs();
  if (inputs.size() == 0 || !inputs[0].isTensor() || !inputs[0].toTensor().defined()) return {};
  Count& count = g_counts[call.name()];
  ++count.calls;
  count.elements += inputs[0].toTensor().numel();
  return {};
}

std::map<std::string, Count> counts_of(const std::function<void()>& work) {
  const at::NoGradGuard no_gradient;
  g_counts.clear();
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(on_call).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return g_counts;
}

at::Tensor meta(at::IntArrayRef shape) { return at::empty(shape, at::device(at::kMeta)); }

diffusion::UNetConfig sdxl() {
  return std::get<diffusion::UNetConfig>(bench::shape_by_name("sdxl").network);
}

std::map<std::string, Count> unet_counts(const diffusion::UNetConfig& config, int64_t side) {
  const diffusion::UNet unet = diffusion::meta_unet(config);
  diffusion::ExtraConditions added;
  if (config.addition_time_embed_dim > 0) {
    added.text_embeds = meta({1, 1280});
    added.time_ids = meta({1, diffusion::kTimeIds});
  }
  return counts_of([&] {
    diffusion::unet_forward(unet, meta({1, 4, side, side}), meta({1}),
                            meta({1, 77, config.cross_attention_dim}), added);
  });
}

std::map<std::string, Count> decoder_counts() {
  data::use_meta_kernels();
  diffusion::VaeConfig config;
  config.block_out_channels = {128, 256, 512, 512};
  config.layers_per_block = 2;
  config.norm_num_groups = 32;
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::Vae vae = diffusion::make_vae(config, generator);
  diffusion::for_each_tensor(vae, "",
                             [](const std::string&, at::Tensor& t) { t = t.to(at::kMeta); });
  return counts_of([&] { diffusion::vae_decode(vae, meta({1, 4, 64, 64})); });
}

struct Expected {
  std::string name;
  int64_t calls, elements;
};
void expect_counts(std::map<std::string, Count> found, const std::vector<Expected>& expected) {
  for (const auto& [name, calls, elements] : expected) {
    EXPECT_EQ(found["aten::" + name].calls, calls) << name;
    EXPECT_EQ(found["aten::" + name].elements, elements) << name;
  }
}

// Of one image. A group norm without SiLU behind it stands before each transformer.
TEST(KernelCounts, AreThoseOfTheTable) {
  expect_counts(unet_counts({}, 64), {{"silu_", 45, 33505280},
                                      {"native_group_norm", 45 + 16, 33505280 + 11550720},
                                      {"native_layer_norm", 48, 34652160},
                                      {"gelu", 16, 46202880}});
  expect_counts(unet_counts(sdxl(), 128), {{"silu_", 35, 133693440},
                                           {"native_group_norm", 35 + 11, 133693440 + 20971520},
                                           {"native_layer_norm", 210, 314572800},
                                           {"gelu", 70, 419430400}});
  expect_counts(decoder_counts(), {{"silu_", 29, 457179136}});
}

// Guidance, the step and its log-ratio.
TEST(KernelCounts, AStepPassesManyTimesOverFewValues) {
  const auto counts = counts_of([] {
    const at::Tensor x = meta({1, 4, 64, 64});
    const at::Tensor output = diffusion::guide(meta({2, 4, 64, 64}), 7.5);
    const diffusion::StepCoefficients step{.here = diffusion::level_of_alpha_bar(0.5),
                                           .there = diffusion::level_of_alpha_bar(0.6),
                                           .sigma = 0.3,
                                           .from_epsilon = std::sqrt(0.31),
                                           .kappa = -1};
    const auto drawn = diffusion::ddim_sample(step, diffusion::Prediction::kEpsilon, output, x,
                                              meta({1, 4, 64, 64}));
    diffusion::log_ratio(drawn.mean, x, drawn.next, step.sigma);
  });
  Count passes;
  for (const std::string name : {"add", "sub", "mul", "div", "pow", "square", "sum"}) {
    const Count& count = counts.at("aten::" + name);
    passes.calls += count.calls;
    passes.elements += count.elements;
  }
  EXPECT_EQ(passes.calls, 33);
  EXPECT_EQ(passes.elements, 442374);
}

}  // namespace
