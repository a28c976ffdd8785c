#include "tools/bench/stages.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>
#include <numeric>

#include "data/image_io.hpp"
#include "data/train/optim.hpp"
#include "diffusion/samplers.hpp"
#include "finetune/trainable.hpp"
#include "finetune/update.hpp"
#include "rewards/clip_score.hpp"
#include "tools/bench/distill_stages.hpp"

namespace bench {
namespace {

constexpr int64_t kTextBatch = 16, kFeatureBatch = 16, kVaeBatch = 8, kTrainBatch = 16;
constexpr int64_t kTimestep = 500;
constexpr int64_t kScoredSide = 512;  // pixels, of the images that are rated

std::vector<std::string> some_prompts(int64_t count) {
  static const char* const kColours[] = {"red", "green", "blue", "yellow"};
  static const char* const kShapes[] = {"circle", "square", "triangle"};
  std::vector<std::string> prompts;
  for (int64_t k = 0; k < count; ++k) {
    prompts.push_back(std::string("a ") + kColours[k % 4] + " " + kShapes[k % 3]);
  }
  return prompts;
}

at::Tensor noise(std::vector<int64_t> shape) {
  auto generator = at::detail::createCPUGenerator(1);
  return at::randn(shape, generator);
}

// {C, h, w} of an image of the model's own size.
std::vector<int64_t> latent_shape(const diffusion::Pipeline& pipeline) {
  const auto& config = pipeline.vae.config;
  const int64_t side = diffusion::native_size(pipeline) / diffusion::vae_factor(config);
  return {config.latent_channels, side, side};
}

// What a UNet is called with.
struct UNetInput {
  at::Tensor x;        // [B, C, H, W]
  at::Tensor t;        // [B]
  at::Tensor context;  // [B, L, D]
};
UNetInput unet_input(const diffusion::Pipeline& pipeline, int64_t batch) {
  auto shape = latent_shape(pipeline);
  shape.insert(shape.begin(), batch);
  return {.x = noise(shape),
          .t = at::full({batch}, kTimestep, at::kLong),
          .context = diffusion::encode_prompts(pipeline, some_prompts(batch)).hidden};
}

Stage text_stage(const diffusion::Pipeline& pipeline) {
  const at::Tensor ids = data::encode(pipeline.tokenizer, some_prompts(kTextBatch)).ids;
  return {"text encoder", kTextBatch, [&pipeline, ids] {
            const at::NoGradGuard no_grad;
            nn::clip_text_forward(pipeline.text_encoder, ids);
          }};
}

Stage forward_stage(const diffusion::Pipeline& pipeline, int64_t batch) {
  return {"UNet forward", batch, [&pipeline, input = unet_input(pipeline, batch)] {
            const at::NoGradGuard no_grad;
            diffusion::unet_forward(pipeline.unet, input.x, input.t, input.context);
          }};
}

// A UNet with all its weights trained.
struct Training {
  diffusion::UNet unet;
  train::Params params;
  train::AdamWState adamw;
};

Stage training_stage(const diffusion::Pipeline& pipeline) {
  auto training = std::make_shared<Training>();
  training->unet = pipeline.unet;
  training->params = train::parameters_of(training->unet, "");
  training->adamw = train::make_adamw(training->params);
  return {"UNet training step", kTrainBatch, [training, input = unet_input(pipeline, kTrainBatch)] {
            train::zero_grad(training->params);
            const at::Tensor output =
                diffusion::unet_forward(training->unet, input.x, input.t, input.context);
            at::mse_loss(output, input.x).backward();
            train::adamw_step(training->params, training->adamw, {}, 1e-6);
          }};
}

Stage encode_stage(const diffusion::Pipeline& pipeline) {
  const int64_t side = diffusion::native_size(pipeline);
  const at::Tensor images = at::full({kVaeBatch, 3, side, side}, 0.5);
  return {"VAE encode", kVaeBatch, [&pipeline, images] {
            const at::NoGradGuard no_grad;
            diffusion::images_to_latents(pipeline.vae, images);
          }};
}

Stage decode_stage(const diffusion::Pipeline& pipeline) {
  return {"VAE decode", kVaeBatch, [&pipeline, latents = unet_input(pipeline, kVaeBatch).x] {
            const at::NoGradGuard no_grad;
            diffusion::latents_to_images(pipeline.vae, latents);
          }};
}

// Prompts to images by deterministic DDIM with guidance, all images in one batch.
void sample_images(const diffusion::Pipeline& pipeline,
                   const std::vector<std::string>& prompts,
                   const StageOptions& options) {
  const at::NoGradGuard no_grad;
  auto shape = latent_shape(pipeline);
  shape.insert(shape.begin(), options.images);
  const finetune::Denoiser guided = finetune::guided_denoiser(
      pipeline.unet, {.conditions = diffusion::encode_prompts(pipeline, prompts),
                      .uncondition = diffusion::encode_prompts(pipeline, {""}),
                      .scale = options.guidance});
  std::vector<int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::vector<at::Generator> generators;  // none: nothing is drawn after the initial noise
  diffusion::SamplerOptions sampler;
  sampler.steps = options.steps;
  const at::Tensor latents = diffusion::sample(
      [&](const at::Tensor& x, double t) { return guided(x, static_cast<int64_t>(t), ids); },
      noise(shape), diffusion::make_schedule(pipeline.scheduler), generators, sampler);
  diffusion::latents_to_images(pipeline.vae, latents);
}

Stage sampling_stage(const diffusion::Pipeline& pipeline, const StageOptions& options) {
  const auto prompts = some_prompts(options.images);
  return {"sampling", options.images,
          [&pipeline, prompts, options] { sample_images(pipeline, prompts, options); }};
}

Stage features_stage(const rewards::Clip& clip) {
  const int64_t side = clip.vision.config.image_size;
  const at::Tensor images = at::full({kFeatureBatch, 3, side, side}, 0.5);
  return {"CLIP image features", kFeatureBatch, [&clip, images] {
            const at::NoGradGuard no_grad;
            rewards::image_features(clip, images);
          }};
}

// JPEGs in memory to CLIP scores, as `laurel score` does.
Stage scoring_stage(const rewards::Clip& clip) {
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor coarse = at::rand({3, 24, 24}, generator);
  const std::string bytes = data::encode_jpeg(
      data::resize(coarse, kScoredSide, kScoredSide, data::ResizeKind::kBicubic), 92);
  const at::Tensor text = at::ones({kFeatureBatch, clip.visual_projection.size(0)});
  return {"score JPEGs", kFeatureBatch, [&clip, bytes, text] {
            const at::NoGradGuard no_grad;
            std::vector<at::Tensor> images;
            for (int64_t i = 0; i < kFeatureBatch; ++i)
              images.push_back(data::decode_image(bytes, "JPEG"));
            rewards::clip_score(rewards::image_features(clip, at::stack(images)), text);
          }};
}

// An epoch of PRDP between its rollout and its optimiser step.
struct Epoch {
  finetune::FinetuneConfig config;
  diffusion::UNet unet;
  finetune::Chain chain;
  finetune::Denoiser policy;
  finetune::Trajectories trajectories;
  at::Tensor rewards;  // [P] fp64
  finetune::Learner learner;
};

Stage update_stage(const diffusion::Pipeline& pipeline, const StageOptions& options) {
  auto epoch = std::make_shared<Epoch>();
  epoch->config.sample_num_steps = options.update_steps;
  epoch->config.train_batch_size = options.images;
  epoch->config.learning_rate = 1e-6;
  epoch->unet = pipeline.unet;
  const auto params = finetune::trained_parameters(epoch->unet, epoch->config);
  epoch->learner = finetune::make_learner(epoch->config, params, 1000);
  epoch->chain =
      finetune::make_chain(epoch->config, pipeline.scheduler, latent_shape(pipeline), at::kCPU);
  const finetune::Guidance guidance{
      .conditions = diffusion::encode_prompts(pipeline, {"a red circle", "a blue square"}),
      .uncondition = diffusion::encode_prompts(pipeline, {""}),
      .scale = options.guidance};
  epoch->policy = finetune::guided_denoiser(epoch->unet, guidance);
  finetune::Draw draw;
  for (int64_t k = 0; k < options.images; ++k) {
    draw.prompt_ids.push_back(k * 2 / options.images);
    draw.seeds.push_back(static_cast<uint64_t>(k));
  }
  epoch->trajectories =
      finetune::rollout(epoch->policy, finetune::guided_denoiser(pipeline.unet, guidance), draw,
                        epoch->chain, options.images);
  epoch->rewards = noise({options.images}).to(at::kDouble);
  return {"PRDP update", options.images, [epoch] {
            finetune::update({.policy = epoch->policy,
                              .trajectories = epoch->trajectories,
                              .rewards = epoch->rewards,
                              .chain = epoch->chain,
                              .beta = 1,
                              .clip_range = epoch->config.clip_range,
                              .share = finetune::whole(epoch->rewards.size(0))},
                             epoch->config, epoch->learner, [] {});
          }};
}

}  // namespace

std::vector<StagePlan> make_stages(const diffusion::Pipeline& pipeline,
                                   const std::optional<rewards::Clip>& clip,
                                   const StageOptions& options) {
  std::vector<StagePlan> plans{{"text encoder", [&pipeline] { return text_stage(pipeline); }}};
  for (const int64_t batch : {1, 8, 16}) {
    plans.push_back(
        {"UNet forward", [&pipeline, batch] { return forward_stage(pipeline, batch); }});
  }
  plans.push_back({"UNet training step", [&pipeline] { return training_stage(pipeline); }});
  plans.push_back({"VAE encode", [&pipeline] { return encode_stage(pipeline); }});
  plans.push_back({"VAE decode", [&pipeline] { return decode_stage(pipeline); }});
  plans.push_back({"sampling", [&pipeline, options] { return sampling_stage(pipeline, options); }});
  if (clip) {
    plans.push_back({"CLIP image features", [&clip] { return features_stage(*clip); }});
    plans.push_back({"score JPEGs", [&clip] { return scoring_stage(*clip); }});
  }
  plans.push_back(
      {"PRDP update", [&pipeline, options] { return update_stage(pipeline, options); }});
  for (auto& plan : distill_stages(pipeline, clip, options.images)) plans.push_back(plan);
  return plans;
}

}  // namespace bench
