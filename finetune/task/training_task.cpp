#include "finetune/task/training_task.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/device/transfer.hpp"
#include "data/images/image_folder.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "rewards/combine/measures.hpp"

namespace finetune {
namespace {

constexpr size_t kEncodedAtOnce = 8;  // source images: memory alone

std::vector<std::string> texts_of(const std::vector<TrainingPrompt>& prompts) {
  std::vector<std::string> texts;
  for (const auto& prompt : prompts) texts.push_back(prompt.text);
  return texts;
}

// Sides of an image.
int64_t pixels_of(const TrainingTask& task) { return task.latent_shape[1] * vae_factor(task); }

// -> [N, C, h, w] fp32 raw
at::Tensor source_latents(const TrainingTask& task, const std::vector<TrainingPrompt>& prompts) {
  const diffusion::Pipeline& pipeline = *task.pipeline;
  const at::NoGradGuard no_gradient;
  const at::Device device = diffusion::device_of(pipeline.network);
  std::vector<at::Tensor> latents;
  for (size_t done = 0; done < prompts.size();) {
    std::vector<at::Tensor> images;
    for (; done < prompts.size() && images.size() < kEncodedAtOnce; ++done) {
      TORCH_CHECK(prompts[done].edit, "source_latents: '", prompts[done].text, "' has no source");
      const at::Tensor whole = data::read_image(prompts[done].edit->source);
      images.push_back(data::middle_square(whole, pixels_of(task)));
    }
    const at::Tensor batch = at::stack(images).to(device) * 2 - 1;
    latents.push_back(diffusion::vae_encode(pipeline.vae, batch).mean.to(at::kFloat));
  }
  return at::cat(latents);
}

at::Tensor at_least_float(const at::Tensor& images) {
  return images.to(at::promote_types(images.scalar_type(), at::kFloat));
}

}  // namespace

std::string label_of(const TrainingPrompt& prompt) {
  if (!prompt.edit) return prompt.text;
  return prompt.edit->source.filename().string() + ": " + prompt.text;
}

TrainingTask make_training_task(std::shared_ptr<diffusion::Pipeline> pipeline, int64_t pixels) {
  TrainingTask task;
  task.pipeline = pipeline;
  task.unet = task.pipeline->network;
  task.device = diffusion::device_of(task.unet);
  task.model = task.pipeline->source.string();
  const int64_t factor = vae_factor(task);
  const int64_t side = (pixels > 0 ? pixels : diffusion::native_size(*task.pipeline)) / factor;
  // Throws for a side that the network does not divide into patches.
  task.latent_shape = diffusion::latent_shape(*task.pipeline, side * factor, side * factor);
  if (auto& flow = pipeline->scheduler.flow)
    flow->image_tokens = diffusion::image_tokens(*pipeline, task.latent_shape);
  return task;
}

int64_t vae_factor(const TrainingTask& task) {
  return diffusion::vae_factor(task.pipeline->vae.config);
}

diffusion::TextCondition encode(const TrainingTask& task,
                                const std::vector<TrainingPrompt>& prompts) {
  const auto texts = texts_of(prompts);
  return diffusion::to_device(
      diffusion::encode_prompts(*task.pipeline, {texts.begin(), texts.end()}), task.device);
}

diffusion::TextCondition unconditional(const TrainingTask& task) {
  return diffusion::to_device(diffusion::encode_negatives(*task.pipeline, {task.negative_prompt}),
                              task.device);
}

at::Tensor size_conditions(const TrainingTask& task) {
  if (!diffusion::is_xl(*task.pipeline)) return {};
  return data::to_device(diffusion::time_ids({}, pixels_of(task), pixels_of(task)), task.device);
}

diffusion::EditCondition edit_condition(const TrainingTask& task,
                                        const std::vector<TrainingPrompt>& prompts) {
  if (prompts.empty() || !prompts[0].edit) return {};
  diffusion::EditCondition edit{source_latents(task, prompts), {}, task.image_guidance_scale};
  if (diffusion::traits(task.pipeline->network).reads_reward) {
    edit.reward = diffusion::reward_condition(
        *task.pipeline, std::vector<diffusion::RewardRequest>(prompts.size(), task.request));
  }
  for (at::Tensor* tensor :
       {&edit.image_latents, &edit.reward.scores, &edit.reward.valid, &edit.reward.text}) {
    if (tensor->defined()) *tensor = data::to_device(*tensor, task.device);
  }
  return edit;
}

at::Tensor decode(const TrainingTask& task, const at::Tensor& latents) {
  return at_least_float(diffusion::latents_to_images(task.pipeline->vae, latents));
}

at::Tensor decode_unclamped(const TrainingTask& task, const at::Tensor& latents) {
  return at_least_float(diffusion::latents_to_unclamped(task.pipeline->vae, latents));
}

void tile_vae(const TrainingTask& task, bool on) {
  task.pipeline->vae.tile_size = 0;
  if (on) diffusion::enable_tiling(task.pipeline->vae);
}

void save_pipeline(const TrainingTask& task,
                   const std::filesystem::path& folder,
                   const diffusion::Network& unet,
                   const diffusion::SchedulerConfig& scheduler) {
  diffusion::Pipeline whole = *task.pipeline;
  whole.network = unet;
  whole.scheduler = scheduler;
  diffusion::save_pipeline(folder, whole, at::kHalf);
}

rewards::RewardBatch reward_batch(const at::Tensor& images,
                                  const std::vector<TrainingPrompt>& prompts) {
  rewards::RewardBatch batch{images, texts_of(prompts)};
  for (const auto& prompt : prompts) {
    if (prompt.edit) batch.edits.push_back(*prompt.edit);
  }
  return batch;
}

std::vector<rewards::WeightedReward> guard_rewards_of(const TrainingTask& task) {
  std::vector<rewards::WeightedReward> held_out;
  for (const auto& name : task.guard_rewards) {
    for (const auto& one : task.eval_rewards) {
      if (one.reward.info.name == name) held_out.push_back(one);
    }
  }
  return held_out;
}

at::Tensor score_images(const std::vector<rewards::WeightedReward>& rewards,
                        const at::Tensor& images,
                        const std::vector<TrainingPrompt>& prompts,
                        const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const WaitGuard outside(ranks);  // a reward may ask a server
  const rewards::RewardBatch batch = reward_batch(images, prompts);
  std::vector<at::Tensor> columns;
  for (const auto& [reward, weight] : rewards)
    columns.push_back(reward.score(batch).to(at::kCPU, at::kDouble));
  return columns.empty() ? at::zeros({images.size(0), 0}, at::kDouble) : at::stack(columns, 1);
}

at::Tensor measure_images(const std::vector<rewards::WeightedReward>& rewards,
                          const at::Tensor& images,
                          const std::vector<TrainingPrompt>& prompts,
                          const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const WaitGuard outside(ranks);
  return rewards::measure(rewards, reward_batch(images, prompts));
}

}  // namespace finetune
