#include "tools/bench/distill_stages.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "finetune/distill/distill.hpp"
#include "finetune/distill/step.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "tools/bench/random_model.hpp"
#include "tools/bench/task.hpp"

namespace bench {
namespace {

// The data of a step. The parts refer to each other: do not move it.
struct DistillWork {
  finetune::TrainingTask task;
  finetune::EncodedImages data;
  finetune::DistillConfig config;
  diffusion::Network student;
  finetune::Optimizer optimizer;
  std::unique_ptr<finetune::Distillation> distillation;
};

rewards::Reward clip_reward(const diffusion::Pipeline& pipeline, const rewards::Clip& clip) {
  const at::NoGradGuard no_gradient;
  // Text features of two prompts; their assignment to images does not change the cost.
  const at::Tensor ids = data::encode(pipeline.text_encoders[0].tokenizer, some_prompts(2)).ids,
                   text = rewards::text_features(clip, ids.to(clip.visual_projection.device()));
  return {{.name = "clip_score", .differentiable = true},
          [&clip, text](const rewards::RewardBatch& batch) {
            return rewards::image_features(clip, batch.images).matmul(text[0]);
          }};
}

std::shared_ptr<DistillWork> make_work(const diffusion::Pipeline& pipeline,
                                       const StageOptions& options) {
  auto work = std::make_shared<DistillWork>();
  work->task = task_of(pipeline);
  work->task.teacher = pipeline.network;
  work->task.unet = finetune::make_student(pipeline.network, 256);
  auto generator = at::detail::createCPUGenerator(1);
  std::vector<int64_t> shape = work->task.latent_shape;
  shape.insert(shape.begin(), 2);
  work->data = {at::randn(shape, generator), at::zeros(shape), some_prompts(2)};
  work->config.train_full = options.train == "full";
  work->config.ema_decay = 0.95;
  work->config.learning_rate = 1e-6;
  work->config.gradient_checkpointing = options.gradient_checkpointing;
  work->config.train_batch_size = options.images;
  work->config.reward_chunk = options.images;
  work->student = work->task.unet;
  const auto params = finetune::trained_parameters(work->student, work->config);
  work->optimizer = finetune::make_optimizer(work->config, params, 1000);
  work->distillation = std::make_unique<finetune::Distillation>(finetune::make_distillation(
      work->task, work->data, work->config, work->student, work->optimizer));
  return work;
}

BenchStage stage_of(const std::string& name, const std::shared_ptr<DistillWork>& work) {
  return {name, work->config.train_batch_size, [work] {
            at::Generator& generator = work->optimizer.state.generator;
            const auto drawn = finetune::draw_batch(*work->distillation, generator);
            finetune::accumulate_terms(*work->distillation, work->student, drawn, 0.01, generator);
            finetune::take_step(work->optimizer);
          }};
}

}  // namespace

std::vector<StagePlan> distill_stages(const diffusion::Pipeline& pipeline,
                                      const std::optional<rewards::Clip>& clip,
                                      const StageOptions& options) {
  // What cannot be a teacher.
  if (diffusion::embeds_guidance(pipeline.network) || pipeline.scheduler.flow) return {};
  std::vector<StagePlan> plans{{"LCD step", [&pipeline, options] {
                                  return stage_of("LCD step", make_work(pipeline, options));
                                }}};
  if (clip) {
    plans.push_back({"RG-LCD step", [&pipeline, &clip, options] {
                       const auto work = make_work(pipeline, options);
                       work->task.rewards = {{clip_reward(pipeline, *clip), 1.0}};
                       return stage_of("RG-LCD step", work);
                     }});
  }
  return plans;
}

}  // namespace bench
