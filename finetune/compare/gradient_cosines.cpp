#include "finetune/compare/gradient_cosines.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "data/base/format.hpp"
#include "finetune/policy/calibration.hpp"
#include "finetune/policy/epoch.hpp"
#include "finetune/policy/update.hpp"
#include "finetune/run/reward_combination.hpp"
#include "finetune/run/trained_parameters.hpp"
#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

// The raw rewards [P, M] of an epoch as one, [P].
at::Tensor combined_rewards(const TrainingTask& task,
                            const FinetuneConfig& config,
                            const at::Tensor& raw,
                            const std::vector<int64_t>& prompt_ids) {
  rewards::CombineState state;
  state.spreads = rewards::pooled_spreads(raw, prompt_ids);
  return rewards::combine_rewards(raw, prompt_ids, state, combine_options(task.rewards, config));
}

}  // namespace

GradientCosines gradient_cosines(const TrainingTask& task,
                                 const FinetuneConfig& config,
                                 const std::vector<PolicyMethod>& methods) {
  const SamplingPlan chain =
      make_sampling_plan(config, task.pipeline->scheduler, task.latent_shape, task.device);
  diffusion::Network network = task.unet;
  const train::Params params = trained_parameters(network, config);
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  const EpochPlan plan = plan_epoch(task.prompts, config, 0, generator);
  const Denoiser policy = policy_on(task, network, plan.prompts, config.sample_guidance_scale);
  const Trajectories drawn =
      rollout(policy, Denoiser(), plan.draw, chain, config.sample_batch_size);
  const auto& prompt_ids = plan.draw.prompt_ids;
  const at::Tensor reward =
      combined_rewards(task, config, rate(task, plan, drawn, config.sample_batch_size), prompt_ids);
  const double spread = rewards::spread_within_prompts(reward, prompt_ids);

  GradientCosines result;
  std::vector<at::Tensor> gradients;
  for (const auto& method : methods) {
    FinetuneConfig own = config;
    own.method = method;
    const double beta = choose_calibration(own, chain, spread).beta;
    gradients.push_back(
        first_gradient({policy, drawn, reward, chain, beta, clip_range_in_nats(own, chain),
                        whole(drawn.log_ratio.size(0))},
                       own, params));
    result.methods.push_back(method.name);
  }
  const at::Tensor all = at::stack(gradients);
  result.norms = all.norm(2, {1});
  const at::Tensor units = all / result.norms.unsqueeze(1);
  result.cosines = units.mm(units.t());
  return result;
}

std::string cosines_text(const GradientCosines& result) {
  constexpr int kWidth = 9;
  std::string text = std::string(kWidth, ' ');
  for (const auto& name : result.methods) text += data::formatted("%9s", name.c_str());
  text += "     norm\n";
  for (size_t i = 0; i < result.methods.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    text += data::formatted("%-9s", result.methods[i].c_str());
    for (int64_t j = 0; j < result.cosines.size(1); ++j)
      text += data::formatted("%9.3f", result.cosines[row][j].item<double>());
    text += data::formatted("%9.3g\n", result.norms[row].item<double>());
  }
  return text;
}

}  // namespace finetune
