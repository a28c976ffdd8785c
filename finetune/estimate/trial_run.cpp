#include "finetune/estimate/trial_run.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "finetune/policy/two_pass_gradient.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

std::vector<int64_t> counted(size_t count) {
  std::vector<int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

TrialRun make_trial_run(const TrainingTask& task,
                        const FinetuneConfig& config,
                        const TrialSize& size) {
  TrialRun probe{
      .task = task,
      .config = config,
      .chain = make_sampling_plan(config, task.pipeline->scheduler, size.latent_shape, task.device),
      .unet = task.unet,
      .optimizer = {},
      .plan = {},
      .policy = {},
      .teacher = {}};
  const auto steps = std::min(probe.chain.steps.size(), static_cast<size_t>(size.steps));
  probe.chain.steps.resize(steps);
  probe.chain.mask = at::ones({static_cast<int64_t>(steps)}, at::kDouble);
  probe.optimizer = make_optimizer(config, trained_parameters(probe.unet, config), 1);
  probe.plan = plan_epoch(task.prompts, config, 0, probe.optimizer.state.generator);
  SampleRequests& images = probe.plan.draw;
  const auto count = std::min(images.seeds.size(), static_cast<size_t>(size.images));
  images.prompt_ids.resize(count);
  images.seeds.resize(count);
  images.noise_seeds.clear();
  images.branch_sizes.clear();
  probe.policy = policy_on(task, probe.unet, probe.plan.prompts, config.sample_guidance_scale);
  if (config.method.imitated_guidance > 0)
    probe.teacher = policy_on(task, task.unet, probe.plan.prompts, config.method.imitated_guidance);
  return probe;
}

Trajectories draw(const TrialRun& probe) {
  return rollout(probe.policy, {}, probe.plan.draw, probe.chain, probe.config.sample_batch_size,
                 probe.teacher);
}

void rate(const TrialRun& probe, const Trajectories& drawn) {
  measure(probe.task, probe.plan, drawn, probe.config.sample_batch_size);
}

void add_gradient(const TrialRun& probe, const Trajectories& drawn) {
  const bool weighs_kl = probe.config.method.weighs_kl;
  accumulate_gradient(probe.policy, drawn, counted(drawn.prompt_ids.size()),
                      counted(probe.chain.steps.size()), probe.chain, probe.config.train_batch_size,
                      weighs_kl, [&](int64_t, int64_t, const StepTerms& now) {
                        const at::Tensor ones = at::ones_like(now.log_ratio);
                        return StepWeights{ones, weighs_kl ? ones : at::Tensor(),
                                           now.error.defined() ? ones : at::Tensor()};
                      });
}

void train(TrialRun& probe, const Trajectories& drawn) {
  add_gradient(probe, drawn);
  take_step(probe.optimizer);
}

}  // namespace finetune
