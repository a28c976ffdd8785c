#include "finetune/policy/calibration.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "finetune/policy/two_pass_gradient.hpp"

namespace finetune {
namespace {

constexpr double kSafeDrift = 0.1;  // of the clip range; above it a warning is given

ChainSize size_of(const SamplingPlan& chain) {
  return {active_steps(chain), latent_dimensions(chain)};
}

}  // namespace

double clip_range_in_nats(const FinetuneConfig& config, const SamplingPlan& chain) {
  return config.method.clip_range_in_nats(config.clip_range, size_of(chain));
}

MethodCalibration choose_calibration(const FinetuneConfig& config,
                                     const SamplingPlan& chain,
                                     double spread) {
  if (!(spread > 0)) {
    throw data::BadInput(
        "reward: expected values that differ between images of a prompt, found no difference in "
        "the first epoch; choose another reward, or check that the model's images are not all "
        "alike");
  }
  MethodCalibration chosen =
      config.method.calibrate({.spread = spread,
                               .beta = config.beta,
                               .target_kl = config.target_kl,
                               .clip_range = clip_range_in_nats(config, chain),
                               .chain = size_of(chain)});
  std::string masked;
  for (int64_t k = 0; k < chain.mask.size(0); ++k) {
    if (chain.mask[k].item<double>() == 0) masked += " " + std::to_string(k);
  }
  if (!masked.empty())
    chosen.remarks.push_back("steps outside the objective:" + masked + " (see --skip_steps)");
  return chosen;
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
