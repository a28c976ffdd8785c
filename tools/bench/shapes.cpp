#include "tools/bench/shapes.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "diffusion/networks/vae/build.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"
#include "finetune/policy/update.hpp"
#include "finetune/run/trained_parameters.hpp"
#include "tools/bench/random_model.hpp"

namespace bench {
namespace {

constexpr double kGuidance = 5.0, kSigma = 0.1;

double megabytes(const at::Tensor& tensor) {
  return static_cast<double>(tensor.nbytes()) / (1024 * 1024);
}

template <class Weights>
double weights_mb(Weights weights) {
  double sum = 0;
  for_each_tensor(weights, "",
                  [&](const std::string&, const at::Tensor& tensor) { sum += megabytes(tensor); });
  return sum;
}

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::kFloat).normal_(0, 1, generator);
}

template <class Weights>
Weights moved(Weights weights, at::Device device) {
  for_each_tensor(weights, "",
                  [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
  return weights;
}

diffusion::Network random_unet(const ModelShape& shape, at::Device device) {
  auto generator = at::detail::createCPUGenerator(1);
  return moved(diffusion::make_unet(shape.unet, generator), device);
}

// Text features of one prompt; for SDXL with a pooled row.
diffusion::TextCondition random_text(const ModelShape& shape, uint64_t seed, at::Device device) {
  diffusion::TextCondition text;
  text.hidden = noise({1, kTokens, shape.unet.cross_attention_dim}, seed).to(device);
  if (shape.text_2) text.pooled = noise({1, shape.text_2->projection_dim}, seed + 10).to(device);
  return text;
}

at::Tensor random_sizes(const ModelShape& shape, const ShapeOptions& options) {
  if (!shape.text_2) return {};
  return diffusion::time_ids({}, options.resolution, options.resolution).to(options.device);
}

BenchStage unet_stage(const ModelShape& shape, int64_t side, const ShapeOptions& options) {
  const at::Device device = options.device;
  auto unet = std::make_shared<diffusion::Network>(random_unet(shape, device));
  const auto text = random_text(shape, 3, device);
  const at::Tensor x = noise({2, shape.unet.in_channels, side, side}, 2).to(device),
                   context = text.hidden.expand({2, -1, -1}),
                   t = at::full({2}, kTimestep, at::kLong).to(device);
  diffusion::ExtraConditions added;
  if (shape.text_2) {
    added.text_embeds = text.pooled.expand({2, -1});
    added.time_ids = random_sizes(shape, options).expand({2, -1});
  }
  return {.name = "unet",
          .batch = 2,
          .run =
              [=] {
                const at::NoGradGuard no_grad;
                diffusion::forward(*unet, x, t, context, added);
              },
          .weights_mb = weights_mb(*unet)};
}

BenchStage vae_stage(const ModelShape& shape, int64_t side, at::Device device) {
  auto generator = at::detail::createCPUGenerator(1);
  auto vae =
      std::make_shared<diffusion::Vae>(moved(diffusion::make_vae(shape.vae, generator), device));
  const at::Tensor latents = noise({1, shape.vae.latent_channels, side, side}, 2).to(device);
  return {.name = "vae",
          .batch = 1,
          .run =
              [=] {
                const at::NoGradGuard no_grad;
                diffusion::latents_to_images(*vae, latents);
              },
          .weights_mb = weights_mb(*vae)};
}

// The data of one optimiser step of PRDP.
struct Update {
  finetune::FinetuneConfig config;
  diffusion::Network unet;
  finetune::SamplingPlan chain;
  finetune::Trajectories pair;  // two of one prompt
  finetune::Denoiser policy;
  finetune::Optimizer optimizer;
};

// Artificial trajectories: latents of noise, with the reference means near them.
finetune::Trajectories random_pair(const finetune::SamplingPlan& chain) {
  std::vector<int64_t> shape{2};
  shape.insert(shape.end(), chain.latent_shape.begin(), chain.latent_shape.end());
  const size_t steps = chain.steps.size();
  finetune::Trajectories pair;
  for (size_t k = 0; k <= steps; ++k) {
    pair.latents.push_back(noise(shape, 4 + 2 * k).to(chain.device));
    if (k == 0) continue;
    pair.reference_means.push_back(pair.latents[k] +
                                   kSigma * noise(shape, 5 + 2 * k).to(chain.device));
  }
  pair.log_ratio = pair.kl = at::zeros({2, static_cast<int64_t>(steps)}, at::kDouble);
  pair.prompt_ids = {0, 0};
  pair.branch_sizes.assign(steps, 1);
  return pair;
}

BenchStage prdp_stage(const ModelShape& shape, int64_t side, const ShapeOptions& options) {
  auto work = std::make_shared<Update>();
  work->config.method = finetune::prdp_method();
  work->config.sample_num_steps = 20 * options.update_steps;
  work->config.sigma_min = kSigma;
  work->config.train_batch_size = 1;
  work->config.learning_rate = 1e-6;
  work->unet = random_unet(shape, options.device);
  work->config.gradient_checkpointing = options.gradient_checkpointing;
  const double weights = weights_mb(work->unet);
  work->optimizer = finetune::make_optimizer(
      work->config, finetune::trained_parameters(work->unet, work->config), 1000);
  work->chain = finetune::make_sampling_plan(work->config, {}, {shape.unet.in_channels, side, side},
                                             options.device);
  work->chain.steps.resize(static_cast<size_t>(options.update_steps));
  work->chain.mask = at::ones({options.update_steps}, at::kDouble);
  work->pair = random_pair(work->chain);
  work->policy = finetune::guided_policy(work->unet,
                                         {.text = random_text(shape, 6, options.device),
                                          .negative = random_text(shape, 7, options.device),
                                          .time_ids = random_sizes(shape, options)},
                                         {.scale = kGuidance});
  return {.name = "prdp",
          .batch = 2,
          .run =
              [work] {
                finetune::update({.policy = work->policy,
                                  .trajectories = work->pair,
                                  .rewards = at::tensor({0.0, 1.0}, at::kDouble),
                                  .chain = work->chain,
                                  .share = finetune::whole(2)},
                                 work->config, work->optimizer, [] {});
              },
          .weights_mb = weights};
}

}  // namespace

std::vector<StagePlan> make_shape_stages(const ShapeOptions& options) {
  const ModelShape shape = shape_by_name(options.shape);
  const int64_t side = latent_side(shape, options.resolution);
  return {{"unet", [=] { return unet_stage(shape, side, options); }},
          {"vae", [=] { return vae_stage(shape, side, options.device); }},
          {"prdp", [=] { return prdp_stage(shape, side, options); }}};
}

}  // namespace bench
