#include "tools/bench/shapes.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <memory>

#include "data/error.hpp"
#include "diffusion/vae.hpp"
#include "finetune/trainable.hpp"
#include "finetune/update.hpp"

namespace bench {
namespace {

constexpr int64_t kTokens = 77;
constexpr int64_t kTimestep = 500;
constexpr double kGuidance = 5.0, kSigma = 0.1;

struct Shape {
  diffusion::UNetConfig unet;
  diffusion::VaeConfig vae;
};

Shape sd15() {
  Shape shape;  // the UNet's defaults are those of Stable Diffusion 1
  shape.vae.block_out_channels = {128, 256, 512, 512};
  shape.vae.layers_per_block = 2;
  shape.vae.sample_size = 512;
  return shape;
}

Shape sd21() {
  Shape shape = sd15();
  shape.unet.heads = {5, 10, 20, 20};
  shape.unet.cross_attention_dim = 1024;
  shape.unet.use_linear_projection = true;
  return shape;
}

Shape tiny() {
  Shape shape = sd15();
  shape.unet.block_out_channels = {8, 8, 16, 16};
  shape.unet.heads = {2, 2, 2, 2};
  shape.unet.cross_attention_dim = 8;
  shape.unet.norm_num_groups = 4;
  shape.vae.block_out_channels = {4, 4, 8, 8};
  shape.vae.norm_num_groups = 4;
  return shape;
}

Shape shape_by_name(const std::string& name) {
  static const std::map<std::string, Shape (*)()> shapes = {
      {"sd15", sd15}, {"sd21", sd21}, {"tiny", tiny}};
  const auto found = shapes.find(name);
  if (found == shapes.end())
    throw data::BadInput("shape: expected sd15 or sd21, found '" + name + "'");
  return found->second();
}

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

// The latents' side of an image.
int64_t latent_side(const Shape& shape, int64_t resolution) {
  const int64_t factor = diffusion::vae_factor(shape.vae);
  const int64_t unit = factor << (shape.unet.block_out_channels.size() - 1);
  if (resolution % unit != 0) {
    throw data::BadInput("resolution: expected a multiple of " + std::to_string(unit) + ", found " +
                         std::to_string(resolution));
  }
  return resolution / factor;
}

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::kFloat).normal_(0, 1, generator);
}

diffusion::UNet random_unet(const Shape& shape) {
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_unet(shape.unet, generator);
}

Stage unet_stage(const Shape& shape, int64_t side) {
  auto unet = std::make_shared<diffusion::UNet>(random_unet(shape));
  const at::Tensor x = noise({2, shape.unet.in_channels, side, side}, 2),
                   context = noise({2, kTokens, shape.unet.cross_attention_dim}, 3),
                   t = at::full({2}, kTimestep, at::kLong);
  return {.name = "unet",
          .batch = 2,
          .run =
              [=] {
                const at::NoGradGuard no_grad;
                diffusion::unet_forward(*unet, x, t, context);
              },
          .weights_mb = weights_mb(*unet)};
}

Stage vae_stage(const Shape& shape, int64_t side) {
  auto generator = at::detail::createCPUGenerator(1);
  auto vae = std::make_shared<diffusion::Vae>(diffusion::make_vae(shape.vae, generator));
  const at::Tensor latents = noise({1, shape.vae.latent_channels, side, side}, 2);
  return {.name = "vae",
          .batch = 1,
          .run =
              [=] {
                const at::NoGradGuard no_grad;
                diffusion::latents_to_images(*vae, latents);
              },
          .weights_mb = weights_mb(*vae)};
}

// What one optimiser step of PRDP works on.
struct Update {
  finetune::FinetuneConfig config;
  diffusion::UNet unet;
  finetune::Chain chain;
  finetune::Trajectories pair;  // two of one prompt
  finetune::Denoiser policy;
  finetune::Learner learner;
};

// Trajectories that no model drew: latents of noise, the reference's means near them.
finetune::Trajectories random_pair(const finetune::Chain& chain) {
  std::vector<int64_t> shape{2, static_cast<int64_t>(chain.steps.size()) + 1};
  shape.insert(shape.end(), chain.latent_shape.begin(), chain.latent_shape.end());
  finetune::Trajectories pair;
  pair.latents = noise(shape, 4);
  --shape[1];
  pair.reference_means = pair.latents.narrow(1, 1, shape[1]) + kSigma * noise(shape, 5);
  pair.log_ratio = at::zeros({2, shape[1]}, at::kDouble);
  pair.kl = at::zeros({2, shape[1]}, at::kDouble);
  pair.prompt_ids = {0, 0};
  return pair;
}

Stage prdp_stage(const Shape& shape, int64_t side, const ShapeOptions& options) {
  auto work = std::make_shared<Update>();
  work->config.sample_num_steps = 20 * options.update_steps;
  work->config.sigma_min = kSigma;
  work->config.train_batch_size = 1;
  work->config.learning_rate = 1e-6;
  work->unet = random_unet(shape);
  work->config.gradient_checkpointing = options.gradient_checkpointing;
  const double weights = weights_mb(work->unet);
  work->learner = finetune::make_learner(
      work->config, finetune::trained_parameters(work->unet, work->config), 1000);
  work->chain =
      finetune::make_chain(work->config, {}, {shape.unet.in_channels, side, side}, at::kCPU);
  work->chain.steps.resize(static_cast<size_t>(options.update_steps));
  work->chain.mask = at::ones({options.update_steps}, at::kDouble);
  work->pair = random_pair(work->chain);
  work->policy = finetune::guided_denoiser(
      work->unet, {.conditions = {noise({1, kTokens, shape.unet.cross_attention_dim}, 6), {}},
                   .uncondition = {noise({1, kTokens, shape.unet.cross_attention_dim}, 7), {}},
                   .scale = kGuidance});
  return {.name = "prdp",
          .batch = 2,
          .run =
              [work] {
                finetune::update({.policy = work->policy,
                                  .trajectories = work->pair,
                                  .rewards = at::tensor({0.0, 1.0}, at::kDouble),
                                  .chain = work->chain,
                                  .share = finetune::whole(2)},
                                 work->config, work->learner, [] {});
              },
          .weights_mb = weights};
}

}  // namespace

std::vector<StagePlan> make_shape_stages(const ShapeOptions& options) {
  const Shape shape = shape_by_name(options.shape);
  const int64_t side = latent_side(shape, options.resolution);
  return {{"unet", [=] { return unet_stage(shape, side); }},
          {"vae", [=] { return vae_stage(shape, side); }},
          {"prdp", [=] { return prdp_stage(shape, side, options); }}};
}

}  // namespace bench
