#include "tools/bench/shape_work.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "data/profile/meta_kernels.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/networks/network_files.hpp"
#include "diffusion/networks/prepack.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"
#include "finetune/policy/two_pass_gradient.hpp"
#include "finetune/policy/update.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "tools/bench/random_model.hpp"

namespace bench {
namespace {

constexpr double kSigma = 0.1;

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

at::Tensor noise(at::IntArrayRef shape, uint64_t seed, at::Device device) {
  if (device.is_meta()) return at::empty(shape, at::TensorOptions(device));
  auto generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::kFloat).normal_(0, 1, generator).to(device);
}

diffusion::Network network_of(const SizedShape& shape, const ShapeOptions& options) {
  return options.device.is_meta() ? shape_network(shape.model, options.compute)
                                  : random_network(shape.model, options.compute, options.device);
}

std::vector<int64_t> latents_of(const SizedShape& shape) {
  return {shape.model.vae.latent_channels, shape.side, shape.side};
}

// {B, C, h, w}
std::vector<int64_t> batch_of(const SizedShape& shape, int64_t batch) {
  auto sizes = latents_of(shape);
  sizes.insert(sizes.begin(), batch);
  return sizes;
}

// Text features of one prompt, with a pooled row where the network reads one.
diffusion::TextCondition random_text(const SizedShape& shape,
                                     const diffusion::NetworkTraits& network,
                                     uint64_t seed,
                                     at::Device device) {
  const int64_t rows = shape.model.clip_tokens + shape.model.t5_tokens;
  diffusion::TextCondition text;
  text.hidden = noise({1, rows, network.context_width}, seed, device);
  if (network.pooled_width > 0) text.pooled = noise({1, network.pooled_width}, seed + 10, device);
  return text;
}

at::Tensor sizes_of(const SizedShape& shape,
                    const diffusion::NetworkTraits& network,
                    at::Device device) {
  if (!network.reads_time_ids) return {};
  return diffusion::time_ids({}, shape.pixels, shape.pixels).to(device);
}

BenchStage network_stage(const SizedShape& shape, const ShapeOptions& options) {
  const at::Device device = options.device;
  const auto network = std::make_shared<diffusion::Network>(network_of(shape, options));
  const auto traits = diffusion::traits(*network);
  const int64_t batch = shape.model.guidance > 1 ? 2 : 1;
  if (options.device.is_cpu())  // as `laurel sample` does
    diffusion::prepack(*network, {batch, shape.side, shape.side}, options.compute);
  const auto text = random_text(shape, traits, 3, device);
  const at::Tensor x = noise(batch_of(shape, batch), 2, device),
                   context = text.hidden.expand({batch, -1, -1}),
                   t = at::full({batch}, kTimestep, at::kLong).to(device);
  diffusion::ExtraConditions added;
  if (text.pooled.defined()) added.text_embeds = text.pooled.expand({batch, -1});
  if (traits.reads_time_ids) added.time_ids = sizes_of(shape, traits, device).expand({batch, -1});
  return {.name = diffusion::kind_of(*network).part,
          .batch = batch,
          .run =
              [=] {
                const at::NoGradGuard no_grad;
                diffusion::forward(*network, x, t, context, added);
              },
          .weights_mb = weights_mb(*network)};
}

std::shared_ptr<diffusion::Vae> random_vae(const SizedShape& shape, const ShapeOptions& options) {
  if (options.device.is_meta()) data::use_meta_kernels();
  auto generator = at::detail::createCPUGenerator(1);
  auto vae = std::make_shared<diffusion::Vae>(diffusion::make_vae(shape.model.vae, generator));
  diffusion::for_each_tensor(*vae, "", [&](const std::string&, at::Tensor& tensor) {
    tensor = tensor.to(options.device);
  });
  return vae;
}

// `work` on a random VAE and the latents of an image.
BenchStage decoder_stage(const SizedShape& shape,
                         const ShapeOptions& options,
                         const char* name,
                         void (*work)(const diffusion::Vae& vae, const at::Tensor& latents)) {
  const auto vae = random_vae(shape, options);
  const at::Tensor latents = noise(batch_of(shape, 1), 2, options.device);
  return {.name = name,
          .batch = 1,
          .run = [=] { work(*vae, latents); },
          .weights_mb = weights_mb(*vae)};
}

BenchStage vae_stage(const SizedShape& shape, const ShapeOptions& options) {
  return decoder_stage(shape, options, "vae",
                       [](const diffusion::Vae& vae, const at::Tensor& latents) {
                         const at::NoGradGuard no_grad;
                         diffusion::latents_to_images(vae, latents);
                       });
}

BenchStage decode_gradient_stage(const SizedShape& shape, const ShapeOptions& options) {
  return decoder_stage(shape, options, "decode_gradient",
                       [](const diffusion::Vae& vae, const at::Tensor& latents) {
                         const at::Tensor z = latents.detach().requires_grad_();
                         diffusion::latents_to_unclamped(vae, z).sum().backward();
                       });
}

// The data of one optimiser step of PRDP.
struct Update {
  finetune::FinetuneConfig config;
  diffusion::Network network;
  finetune::SamplingPlan chain;
  finetune::Trajectories pair;  // two of one prompt
  finetune::Denoiser policy;
  finetune::Optimizer optimizer;
};

// Artificial trajectories: latents of noise, with the reference means near them.
finetune::Trajectories random_pair(const SizedShape& shape, const finetune::SamplingPlan& chain) {
  const auto sizes = batch_of(shape, 2);
  const size_t steps = chain.steps.size();
  finetune::Trajectories pair;
  for (size_t k = 0; k <= steps; ++k) {
    pair.latents.push_back(noise(sizes, 4 + 2 * k, chain.device));
    if (k == 0) continue;
    pair.reference_means.push_back(pair.latents[k] +
                                   kSigma * noise(sizes, 5 + 2 * k, chain.device));
  }
  pair.log_ratio = pair.kl = at::zeros({2, static_cast<int64_t>(steps)}, at::kDouble);
  pair.prompt_ids = {0, 0};
  pair.branch_sizes.assign(steps, 1);
  return pair;
}

diffusion::SchedulerConfig scheduler_of(const ModelShape& model) {
  const auto& family = diffusion::class_family(model.class_name, model.class_name).family;
  return family.says_velocity ? diffusion::flow_scheduler_of(family, /*dynamic_shift=*/false)
                              : diffusion::SchedulerConfig();
}

std::shared_ptr<Update> make_update(const SizedShape& shape, const ShapeOptions& options) {
  auto work = std::make_shared<Update>();
  work->config.method = finetune::prdp_method();
  work->config.sample_num_steps = 20 * options.update_steps;
  work->config.sigma_min = kSigma;
  work->config.train_batch_size = 1;
  work->config.learning_rate = 1e-6;
  work->network = network_of(shape, options);
  work->config.gradient_checkpointing = options.gradient_checkpointing;
  work->optimizer = finetune::make_optimizer(
      work->config, finetune::trained_parameters(work->network, work->config), 1000);
  work->chain = finetune::make_sampling_plan(work->config, scheduler_of(shape.model),
                                             latents_of(shape), options.device);
  work->chain.steps.resize(static_cast<size_t>(options.update_steps));
  work->chain.mask = at::ones({options.update_steps}, at::kDouble);
  work->pair = random_pair(shape, work->chain);
  const auto traits = diffusion::traits(work->network);
  work->policy = finetune::guided_policy(work->network,
                                         {.text = random_text(shape, traits, 6, options.device),
                                          .negative = random_text(shape, traits, 7, options.device),
                                          .time_ids = sizes_of(shape, traits, options.device)},
                                         {.scale = shape.model.train_guidance});
  return work;
}

void take_update(Update& work) {
  finetune::update({.policy = work.policy,
                    .trajectories = work.pair,
                    .rewards = at::tensor({0.0, 1.0}, at::kDouble),
                    .chain = work.chain,
                    .share = finetune::whole(2)},
                   work.config, work.optimizer, [] {});
}

void add_gradient(const Update& work) {
  finetune::accumulate_gradient(
      work.policy, work.pair, {0, 1}, finetune::unmasked_steps(work.chain), work.chain, 1,
      /*with_kl=*/true, [](int64_t, int64_t, const finetune::StepTerms& now) {
        return finetune::StepWeights{at::ones_like(now.log_ratio), at::ones_like(now.kl)};
      });
}

BenchStage prdp_stage(const SizedShape& shape, const ShapeOptions& options) {
  const auto work = make_update(shape, options);
  const bool without_values = options.device.is_meta();
  return {.name = "prdp",
          .batch = 2,
          .run = [=] { without_values ? add_gradient(*work) : take_update(*work); },
          .weights_mb = weights_mb(work->network)};
}

}  // namespace

SizedShape sized_shape(const ShapeOptions& options) {
  SizedShape shape{.model = shape_by_name(options.shape)};
  shape.pixels = options.resolution > 0 ? options.resolution : shape.model.vae.sample_size;
  shape.side = latent_side(shape.model, shape.pixels);
  if (options.blocks > 0) shape.model = with_blocks(shape.model, options.blocks);
  return shape;
}

std::vector<ShapeStage> shape_stages(const ModelShape& shape) {
  return {{diffusion::kind_of(shape_network(shape)).part, true, network_stage},
          {"vae", false, vae_stage},
          {"decode_gradient", false, decode_gradient_stage},
          {"prdp", true, prdp_stage}};
}

}  // namespace bench
