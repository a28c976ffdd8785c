#include "tools/bench/guided_stages.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "tools/bench/random_model.hpp"
#include "tools/bench/task.hpp"
#include "tools/sample/guides/competition.hpp"
#include "tools/sample/guides/generate.hpp"

namespace bench {
namespace {

constexpr int64_t kParticles = 4;

// The candidates of images / kParticles images, and how they are drawn.
struct GuidedRun {
  std::vector<diffusion::ImageRequest> requests;
  diffusion::GenerateOptions options;
  tools::GuideSetting setting;
};

rewards::WeightedReward free_reward() {
  rewards::Reward reward;
  reward.info.name = "first value";
  reward.score = [](const rewards::RewardBatch& batch) {
    return batch.images.select(1, 0).select(1, 0).select(1, 0);
  };
  return {.reward = reward};
}

std::shared_ptr<GuidedRun> guided_run(const StageOptions& options) {
  auto run = std::make_shared<GuidedRun>();
  run->setting.guide = {{&tools::kParticlesGuide, static_cast<double>(kParticles)}};
  run->setting.rewards = {free_reward()};
  const int64_t rows = tools::guided_batch(run->setting.guide, options.images);
  for (const auto& prompt : some_prompts(rows / kParticles)) {
    for (int64_t i = 0; i < kParticles; ++i) {
      diffusion::ImageRequest request;
      request.prompt = prompt;
      request.seed = run->requests.size();
      run->requests.push_back(request);
    }
  }
  run->options.sampler.steps = options.steps;
  run->options.sampler.eta = 1;
  run->options.guidance.scale = options.guidance;
  run->options.micro_batch = rows;
  return run;
}

BenchStage guided_stage(const diffusion::Pipeline& pipeline, const StageOptions& options) {
  const auto run = guided_run(options);
  return {"guided sampling", run->options.micro_batch, [&pipeline, run] {
            tools::generate_guided(run->setting, pipeline, run->requests, run->options,
                                   [](const diffusion::GeneratedBatch&) {});
          }};
}

BenchStage passes_stage(const diffusion::Pipeline& pipeline, const StageOptions& options) {
  const auto run = guided_run(options);
  auto shape = native_latent_shape(pipeline);
  shape.insert(shape.begin(), run->options.micro_batch);
  const at::Tensor x = at::zeros(shape, at::TensorOptions(options.device));
  return {"guided sampling: passes alone", run->options.micro_batch, [&pipeline, run, x] {
            const at::NoGradGuard no_grad;
            diffusion::generate(pipeline, run->requests, run->options,
                                [](const diffusion::GeneratedBatch&) {});
            for (int64_t i = 0; i < run->setting.config.times; ++i)
              diffusion::latents_to_images(pipeline.vae, x);
          }};
}

}  // namespace

std::vector<StagePlan> guided_stages(const diffusion::Pipeline& pipeline,
                                     const StageOptions& options) {
  return {{"guided sampling", [=, &pipeline] { return guided_stage(pipeline, options); }},
          {"guided sampling: passes alone",
           [=, &pipeline] { return passes_stage(pipeline, options); }}};
}

}  // namespace bench
