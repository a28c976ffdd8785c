#include "finetune/policy/calibration.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"
#include "finetune/policy/two_pass_gradient.hpp"
#include "finetune/run/reward_combination.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr double kSafeDrift = 0.1;  // of the clip range; above it a warning is given

}  // namespace

double clip_range_in_nats(const FinetuneConfig& config, const SamplingPlan& chain) {
  if (!config.mean_units || config.method == Method::kDdpo) return config.clip_range;
  return clip_range_from_mean_units(config.clip_range, latent_dimensions(chain));
}

Calibration choose_calibration(const at::Tensor& rewards,
                               const std::vector<int64_t>& prompt_ids,
                               const FinetuneConfig& config,
                               const SamplingPlan& chain,
                               const Reporter& reporter) {
  Calibration scale;
  scale.spreads = rewards::pooled_spreads(rewards, prompt_ids);
  const at::Tensor combined =
      rewards::combine_rewards(rewards, prompt_ids, scale.spreads, combine_options(config));
  const double spread = rewards::spread_within_prompts(combined, prompt_ids);
  if (!(spread > 0)) {
    throw data::BadInput(
        "reward: expected values that differ between images of a prompt, found no difference in "
        "the "
        "first epoch; choose another reward, or check that the model's images are not all alike");
  }
  const int64_t steps = active_steps(chain), dimensions = latent_dimensions(chain);
  scale.beta = config.beta <= 0    ? beta_for_kl(spread, config.target_kl)
               : config.mean_units ? beta_from_mean_units(config.beta, steps, dimensions)
                                   : config.beta;
  if (config.method == Method::kDdpo) return scale;
  const double optimum = spread * spread / (2 * scale.beta * scale.beta),
               clip_range = clip_range_in_nats(config, chain);
  reporter.say(data::formatted(
      "beta %.4g a nat (%.4g in the paper's mean units): the reward spreads by %.4g within a "
      "prompt; "
      "the optimum lies about %.3g nats from the start",
      scale.beta, beta_to_mean_units(scale.beta, steps, dimensions), spread, optimum));
  std::string masked;
  for (int64_t k = 0; k < chain.mask.size(0); ++k) {
    if (chain.mask[k].item<double>() == 0) masked += " " + std::to_string(k);
  }
  if (!masked.empty())
    reporter.say("steps outside the objective:" + masked + " (see --skip_steps)");
  reporter.say(data::formatted("clip range %.4g nats a step (%.4g in the paper's mean units)",
                               clip_range, clip_range_to_mean_units(clip_range, dimensions)));
  return scale;
}

void self_test(const Denoiser& policy,
               const Trajectories& trajectories,
               const FinetuneConfig& config,
               const SamplingPlan& chain,
               const Reporter& reporter) {
  const double clip_range = clip_range_in_nats(config, chain);
  const double drift =
      replay_drift(policy, trajectories, config.train_batch_size, chain, config.train_batch_size);
  const std::string found =
      data::formatted("%.3g nats, %.3g of the clip range", drift, drift / clip_range);
  if (!(drift <= clip_range)) {
    throw data::BadInput(
        "self-test: log-probabilities recomputed by training differ from the rollout's by " +
        found +
        "; set train_batch_size equal to sample_batch_size, use --precision fp32, or widen "
        "clip_range");
  }
  if (drift > kSafeDrift * clip_range) {
    reporter.say("self-test: warning: log-probabilities drift by " + found +
                 " (more than a tenth); train_batch_size equal to sample_batch_size or --precision "
                 "fp32 lowers it");
  } else {
    reporter.say("self-test: stored and recomputed log-probabilities agree within " + found);
  }
}

}  // namespace finetune
