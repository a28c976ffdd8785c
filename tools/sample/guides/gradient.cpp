#include "tools/sample/guides/gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "diffusion/sampling/value_guidance.hpp"
#include "finetune/task/reward_gradient.hpp"
#include "tools/sample/guides/rating.hpp"

namespace tools {
namespace {

constexpr int64_t kGradientChunk = 4;  // latents that are decoded with a graph at once

diffusion::ValueGradient reward_slope(const BatchLead& lead) {
  auto task = finetune::make_training_task(std::make_shared<diffusion::Pipeline>(lead.pipeline));
  task.rewards = lead.setting.rewards;
  const auto captions = captions_of(lead.batch);
  const std::vector<finetune::TrainingPrompt> prompts(captions.begin(), captions.end());
  return [task, prompts](const at::Tensor& x0) {
    const at::AutoGradMode with_gradient(true);
    finetune::RewardGradientConfig config;
    config.reward_chunk = kGradientChunk;
    auto generator = at::detail::createCPUGenerator(0);  // no crop is drawn
    return -finetune::reward_gradient(task, config, x0.to(at::kFloat), prompts, generator).gradient;
  };
}

void lead_gradient(const BatchLead& lead, double share, diffusion::BatchGuide& guide) {
  const bool jacobian = lead.setting.config.jacobian;
  guide.differentiates = guide.differentiates || jacobian;
  const auto before = std::make_shared<at::Tensor>();  // the output of the last call, not moved
  if (lead.setting.config.strength > 0) guide.unmoved = [before] { return before->detach(); };
  guide.around = [inner = guide.around, before, slope = reward_slope(lead),
                  schedule = diffusion::make_schedule(lead.pipeline.scheduler), share,
                  jacobian](const diffusion::Denoiser& denoiser) {
    const diffusion::Denoiser led = inner ? inner(denoiser) : denoiser;
    const auto recorded = [led, before](const at::Tensor& x, double timestep) {
      return *before = led(x, timestep);
    };
    return diffusion::value_guided(recorded, schedule, slope,
                                   {.share = share, .jacobian = jacobian});
  };
}

void check_slope(const GuideSetting& setting, const diffusion::SamplerOptions&) {
  finetune::TrainingTask task;
  task.rewards = setting.rewards;
  finetune::check_differentiable(task, "leave gradient= out (particles=4 needs none)");
}

}  // namespace

const GuideKind kGradientGuide{.name = "gradient",
                               .example = "gradient=0.1",
                               .expected = "a number above 0, at most 10",
                               .least = 1e-6,
                               .most = 10,
                               .check = check_slope,
                               .lead = lead_gradient};

}  // namespace tools
