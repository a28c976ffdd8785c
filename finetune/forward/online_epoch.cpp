#include "finetune/forward/online_epoch.hpp"

#include <ATen/ATen.h>

#include <numeric>

#include "finetune/datasets/timesteps.hpp"

namespace finetune {

FinetuneConfig epoch_config(const ForwardConfig& config) {
  FinetuneConfig epoch;
  epoch.seed = config.seed;
  epoch.prompts_per_epoch = config.prompts_per_epoch;
  epoch.images_per_prompt = config.images_per_prompt;
  epoch.primary_share = config.primary_share;
  return epoch;
}

DrawnEpoch draw_epoch(const TrainingTask& task,
                      const ForwardConfig& config,
                      const ForwardDrawing& drawing,
                      const diffusion::Network& network,
                      const EpochPlan& plan,
                      const ProcessGroup& ranks) {
  DrawnEpoch epoch{.plan = plan,
                   .share = share_of(ranks, epoch_config(config)),
                   .latents = {},
                   .rewards = {},
                   .held_out = {}};
  const EpochPlan own = part_of(plan, epoch.share);
  const Denoiser policy =
      policy_on(task, network, plan.prompts, config.sample_guidance_scale, ranks);
  const int64_t batch = config.sample_batch_size;
  Trajectories ends;  // of which only the last latents are rated
  ends.latents = {draw_clean(task, drawing, policy, own.draw, batch)};
  ends.prompt_ids = own.draw.prompt_ids;
  const at::Tensor scores = rate(task, plan, epoch.share, ends, batch);
  const auto trained = static_cast<int64_t>(task.rewards.size());
  epoch.latents = all_gather_rows(epoch.share, final_latents(ends).contiguous());
  epoch.rewards = scores.narrow(1, 0, trained).contiguous();
  epoch.held_out = scores.slice(1, trained);
  return epoch;
}

ForwardPass make_forward_pass(const TrainingTask& task,
                              const ForwardConfig& config,
                              const diffusion::NoiseSchedule& schedule,
                              const diffusion::Network& network,
                              const diffusion::Network* compared,
                              const std::vector<TrainingPrompt>& prompts,
                              const ProcessGroup& ranks) {
  const auto on = [&](const diffusion::Network& of) {
    return unguided_network(task, of, prompts, config.sample_guidance_scale, ranks);
  };
  const at::Tensor all = at::arange(schedule.config.num_train_timesteps, at::kLong);
  return {.network = on(network),
          .compared = compared ? on(*compared) : NoiseNetwork(),
          .weights = min_snr_weights(schedule, all, config.snr_gamma).to(at::kDouble),
          .x0_scales = x0_error_scales(schedule),
          .schedule = schedule,
          .device = task.device,
          .batch = config.train_batch_size};
}

NoiseDraws next_draws(const ForwardConfig& config,
                      const diffusion::NoiseSchedule& schedule,
                      const std::vector<int64_t>& prompts,
                      at::Generator& generator) {
  std::vector<int64_t> groups = prompts;
  if (!config.method.couples_rows) std::iota(groups.begin(), groups.end(), 0);
  return draw_noises(groups, config.draws, schedule.config.num_train_timesteps,
                     config.proportion_empty_prompts, generator);
}

MetricValues named_figures(const ForwardMethod& method, const at::Tensor& values) {
  MetricValues figures;
  for (size_t i = 0; i < method.figures.size(); ++i)
    figures.emplace_back(method.figures[i], values[static_cast<int64_t>(i)].item<double>());
  return figures;
}

}  // namespace finetune
