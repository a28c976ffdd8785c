#include "tools/bench/stages.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "data/images/image_io.hpp"
#include "data/train/optimizers.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"
#include "finetune/policy/update.hpp"
#include "finetune/task/guided_policy.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/scorers/clip_score.hpp"
#include "tools/bench/distill_stages.hpp"
#include "tools/bench/draft_stage.hpp"
#include "tools/bench/guided_stages.hpp"
#include "tools/bench/random_model.hpp"
#include "tools/bench/reward_stages.hpp"
#include "tools/bench/task.hpp"

namespace bench {
namespace {

constexpr int64_t kTextBatch = 16, kFeatureBatch = 16, kVaeBatch = 8, kTrainBatch = 16;
constexpr int64_t kScoredSide = 512;  // side of the scored images, pixels

at::Tensor noise(std::vector<int64_t> shape) {
  auto generator = at::detail::createCPUGenerator(1);
  return at::randn(shape, generator);
}

// The inputs of a UNet.
struct UNetInput {
  at::Tensor x;        // [B, C, H, W]
  at::Tensor t;        // [B]
  at::Tensor context;  // [B, L, D]
  diffusion::ExtraConditions added;
};
UNetInput unet_input(const diffusion::Pipeline& pipeline, int64_t batch, at::Device device) {
  auto shape = native_latent_shape(pipeline);
  shape.insert(shape.begin(), batch);
  const auto prompts = some_prompts(batch);
  const auto text = diffusion::encode_prompts(pipeline, {prompts.begin(), prompts.end()});
  UNetInput input{.x = noise(shape).to(device),
                  .t = at::full({batch}, kTimestep, at::kLong).to(device),
                  .context = text.hidden.to(device),
                  .added = {}};
  if (text.pooled.defined()) input.added.text_embeds = text.pooled.to(device);
  if (!diffusion::is_xl(pipeline)) return input;
  const int64_t pixels = diffusion::native_size(pipeline);
  input.added.time_ids =
      diffusion::time_ids({}, pixels, pixels).expand({batch, diffusion::kTimeIds}).to(device);
  return input;
}

BenchStage text_stage(const diffusion::Pipeline& pipeline) {
  const at::Tensor ids =
      data::encode(pipeline.text_encoders[0].tokenizer, some_prompts(kTextBatch)).ids;
  return {"text encoder", kTextBatch, [&pipeline, ids] {
            const at::NoGradGuard no_grad;
            nn::clip_text_forward(pipeline.text_encoders[0].network, ids);
          }};
}

BenchStage forward_stage(const diffusion::Pipeline& pipeline, int64_t batch, at::Device device) {
  return {"UNet forward", batch, [&pipeline, input = unet_input(pipeline, batch, device)] {
            const at::NoGradGuard no_grad;
            diffusion::forward(pipeline.network, input.x, input.t, input.context, input.added);
          }};
}

// A UNet with all its weights trained.
struct Training {
  diffusion::Network unet;
  train::Params params;
  train::AdamWState adamw;
};

BenchStage training_stage(const diffusion::Pipeline& pipeline, at::Device device) {
  auto training = std::make_shared<Training>();
  training->unet = pipeline.network;
  training->params = train::parameters_of(training->unet, "");
  training->adamw = train::make_adamw(training->params);
  const UNetInput input = unet_input(pipeline, kTrainBatch, device);
  return {"UNet training step", kTrainBatch, [training, input] {
            train::zero_grad(training->params);
            const at::Tensor output =
                diffusion::forward(training->unet, input.x, input.t, input.context, input.added);
            at::mse_loss(output, input.x).backward();
            train::adamw_step(training->params, training->adamw, {}, 1e-6);
          }};
}

BenchStage encode_stage(const diffusion::Pipeline& pipeline, at::Device device) {
  const int64_t side = diffusion::native_size(pipeline);
  const at::Tensor images = at::full({kVaeBatch, 3, side, side}, 0.5, at::TensorOptions(device));
  return {"VAE encode", kVaeBatch, [&pipeline, images] {
            const at::NoGradGuard no_grad;
            diffusion::images_to_latents(pipeline.vae, images);
          }};
}

BenchStage decode_stage(const diffusion::Pipeline& pipeline, at::Device device) {
  return {"VAE decode", kVaeBatch,
          [&pipeline, latents = unet_input(pipeline, kVaeBatch, device).x] {
            const at::NoGradGuard no_grad;
            diffusion::latents_to_images(pipeline.vae, latents);
          }};
}

// Sampling by deterministic DDIM with guidance, all images in one batch, as `laurel sample` does.
BenchStage sampling_stage(const diffusion::Pipeline& pipeline,
                          int64_t images,
                          const StageOptions& options) {
  std::vector<diffusion::ImageRequest> requests;
  for (const auto& prompt : some_prompts(images)) {
    diffusion::ImageRequest request;
    request.prompt = prompt;
    request.seed = requests.size();
    requests.push_back(request);
  }
  diffusion::GenerateOptions generate;
  generate.sampler.steps = options.steps;
  if (pipeline.scheduler.flow) generate.sampler.sampler = pipeline.scheduler.sampler;
  generate.guidance.scale = options.guidance;
  generate.micro_batch = images;
  return {"sampling", images, [&pipeline, requests, generate] {
            const at::NoGradGuard no_grad;
            diffusion::generate(pipeline, requests, generate,
                                [](const diffusion::GeneratedBatch&) {});
          }};
}

BenchStage features_stage(const rewards::Clip& clip, at::Device device) {
  const int64_t side = clip.vision.config.image_size;
  const at::Tensor images =
      at::full({kFeatureBatch, 3, side, side}, 0.5, at::TensorOptions(device));
  return {"CLIP image features", kFeatureBatch, [&clip, images] {
            const at::NoGradGuard no_grad;
            rewards::image_features(clip, images);
          }};
}

// CLIP scores of JPEGs in memory, as `laurel score` computes them.
BenchStage scoring_stage(const rewards::Clip& clip, at::Device device) {
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor coarse = at::rand({3, 24, 24}, generator);
  const std::string bytes = data::encode_jpeg(
      data::resize(coarse, kScoredSide, kScoredSide, data::ResizeKind::kBicubic), 92);
  const at::Tensor text =
      at::ones({kFeatureBatch, clip.visual_projection.size(0)}, at::TensorOptions(device));
  return {"score JPEGs", kFeatureBatch, [&clip, bytes, text] {
            const at::NoGradGuard no_grad;
            std::vector<at::Tensor> images;
            for (int64_t i = 0; i < kFeatureBatch; ++i)
              images.push_back(data::decode_image(bytes, "JPEG"));
            rewards::clip_score(rewards::image_features(clip, at::stack(images).to(text.device())),
                                text);
          }};
}

// An epoch of PRDP after its rollout.
struct PolicyEpoch {
  finetune::FinetuneConfig config;
  diffusion::Network unet;
  finetune::SamplingPlan chain;
  finetune::Denoiser policy;
  finetune::Trajectories trajectories;
  at::Tensor rewards;  // [P] fp64
  finetune::Optimizer optimizer;
};

BenchStage update_stage(const diffusion::Pipeline& pipeline, const StageOptions& options) {
  auto epoch = std::make_shared<PolicyEpoch>();
  const finetune::TrainingTask task = task_of(pipeline);
  epoch->config.method = finetune::prdp_method();
  epoch->config.sample_num_steps = options.update_steps;
  epoch->config.train_batch_size = options.images;
  epoch->config.learning_rate = 1e-6;
  epoch->config.gradient_checkpointing = options.gradient_checkpointing;
  epoch->unet = task.unet;
  const auto params = finetune::trained_parameters(epoch->unet, epoch->config);
  epoch->optimizer = finetune::make_optimizer(epoch->config, params, 1000);
  epoch->chain = finetune::make_sampling_plan(epoch->config, task.pipeline->scheduler,
                                              task.latent_shape, options.device);
  const auto texts = some_prompts(2);
  const std::vector<finetune::TrainingPrompt> captions(texts.begin(), texts.end());
  const auto policy_of = [&](const diffusion::Network& unet) {
    return finetune::policy_on(task, unet, captions, options.guidance);
  };
  epoch->policy = policy_of(epoch->unet);
  finetune::SampleRequests draw;
  const int64_t prompts = options.images >= 4 ? 2 : 1;  // a pair has images of the same prompt
  for (int64_t k = 0; k < options.images; ++k) {
    draw.prompt_ids.push_back(k * prompts / options.images);
    draw.seeds.push_back(static_cast<uint64_t>(k));
  }
  epoch->trajectories =
      finetune::rollout(epoch->policy, policy_of(task.unet), draw, epoch->chain, options.images);
  epoch->rewards = noise({options.images}).to(at::kDouble);
  return {"PRDP update", options.images, [epoch] {
            finetune::update({.policy = epoch->policy,
                              .trajectories = epoch->trajectories,
                              .rewards = epoch->rewards,
                              .chain = epoch->chain,
                              .beta = 1,
                              .clip_range = epoch->config.clip_range,
                              .share = finetune::whole(epoch->rewards.size(0))},
                             epoch->config, epoch->optimizer, [] {});
          }};
}

}  // namespace

std::vector<StagePlan> make_stages(const diffusion::Pipeline& pipeline,
                                   const std::optional<rewards::Clip>& clip,
                                   const StageOptions& options) {
  const at::Device device = options.device;
  std::vector<StagePlan> plans;
  const auto add = [&](const std::string& name, const std::function<BenchStage()>& make) {
    plans.push_back({name, make});
  };
  // The text encoder always runs on the CPU, so that a GPU's results omit it.
  if (device.is_cpu()) add("text encoder", [&pipeline] { return text_stage(pipeline); });
  for (const int64_t batch : {1, 8, 16})
    add("UNet forward", [=, &pipeline] { return forward_stage(pipeline, batch, device); });
  add("UNet training step", [=, &pipeline] { return training_stage(pipeline, device); });
  add("VAE encode", [=, &pipeline] { return encode_stage(pipeline, device); });
  add("VAE decode", [=, &pipeline] { return decode_stage(pipeline, device); });
  for (const int64_t images : {int64_t{1}, options.images})
    add("sampling", [=, &pipeline] { return sampling_stage(pipeline, images, options); });
  for (auto& plan : guided_stages(pipeline, options)) plans.push_back(plan);
  if (clip) {
    add("CLIP image features", [=, &clip] { return features_stage(*clip, device); });
    add("score JPEGs", [=, &clip] { return scoring_stage(*clip, device); });
    for (auto& plan : reward_stages(*clip, options)) plans.push_back(plan);
  }
  add("PRDP update", [=, &pipeline] { return update_stage(pipeline, options); });
  add("DRaFT step", [=, &pipeline] { return draft_stage(pipeline, options); });
  for (auto& plan : distill_stages(pipeline, clip, options)) plans.push_back(plan);
  return plans;
}

}  // namespace bench
