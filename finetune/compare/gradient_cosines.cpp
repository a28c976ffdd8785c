#include "finetune/compare/gradient_cosines.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "data/base/format.hpp"
#include "finetune/draft/chain_gradient.hpp"
#include "finetune/forward/online_epoch.hpp"
#include "finetune/policy/calibration.hpp"
#include "finetune/policy/epoch.hpp"
#include "finetune/policy/update.hpp"
#include "finetune/task/reward_combination.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr int64_t kDraws = 8;  // of noise, of an image: the errors' own noise is then small

// The raw rewards [P, M + H] of an epoch, without the guard's, as one, [P].
at::Tensor combined_rewards(const TrainingTask& task,
                            const FinetuneConfig& config,
                            const at::Tensor& rated,
                            const std::vector<int64_t>& prompt_ids) {
  const at::Tensor raw = rated.narrow(1, 0, static_cast<int64_t>(task.rewards.size()));
  rewards::CombineState state;
  state.spreads = rewards::pooled_spreads(raw, prompt_ids);
  return rewards::combine_rewards(raw, prompt_ids, state, combine_options(task.rewards, config));
}

// What all methods are compared on.
struct ComparedEpoch {
  const TrainingTask& task;
  const FinetuneConfig& config;
  const diffusion::Network& network;  // in training, at the start
  const train::Params& params;
  const SamplingPlan& chain;
  EpochPlan plan;
  Denoiser policy{};
  Trajectories drawn{};
  at::Tensor reward{};  // [P] fp64, combined
  double spread = 0;    // of it, within a prompt
  NoiseDraws draws{};   // of all images, shared within a prompt
};

at::Tensor gradient_of(const ComparedEpoch& epoch, const PolicyMethod& method) {
  FinetuneConfig own = epoch.config;
  own.method = method;
  const double beta = choose_calibration(own, epoch.chain, epoch.spread).beta;
  return first_gradient(
      {epoch.policy, epoch.drawn, epoch.reward, epoch.chain, beta,
       clip_range_in_nats(own, epoch.chain), whole(epoch.drawn.log_ratio.size(0))},
      own, epoch.params);
}

// Of the loss on rows with these labels.
at::Tensor labelled_gradient(const ComparedEpoch& epoch,
                             const ForwardConfig& own,
                             const ForwardLabels& labels) {
  const bool compares = own.method.compares_with_start || own.method.compares_with_average;
  const auto schedule = diffusion::make_schedule(epoch.task.pipeline->scheduler);
  const ForwardPass pass =
      make_forward_pass(epoch.task, own, schedule, epoch.network,
                        compares ? &epoch.task.unet : nullptr, epoch.plan.prompts);
  train::zero_grad(epoch.params);
  add_forward_gradient(own.method, pass,
                       {final_latents(epoch.drawn), epoch.plan.draw.prompt_ids,
                        static_cast<int64_t>(epoch.plan.prompts.size())},
                       labels, selected(epoch.draws, labels.rows),
                       whole(static_cast<int64_t>(labels.rows.size())));
  return take_gradient(epoch.params);
}

// Less the gradient of even labels, where they have one: what imitation of all own images alike
// would do says nothing of the reward.
at::Tensor gradient_of(const ComparedEpoch& epoch, ForwardConfig own) {
  own.sample_guidance_scale = epoch.config.sample_guidance_scale;
  own.train_batch_size = epoch.config.train_batch_size;
  const auto& draw = epoch.plan.draw;
  const RatedImages rated{epoch.reward, draw.prompt_ids, draw.seeds, epoch.spread};
  const ForwardLabels labels = own.method.labels(rated);
  const at::Tensor gradient = labelled_gradient(epoch, own, labels);
  if (own.method.couples_rows) return gradient;
  const at::Tensor mean = labels.values.mean();
  const auto even = [&](const at::Tensor& group) { return mean.expand_as(group).clone(); };
  return gradient - labelled_gradient(epoch, own, labels_by_group(rated, even));
}

at::Tensor gradient_of(const ComparedEpoch& epoch, const DraftMethod& method) {
  DraftConfig own = method.defaults();
  own.sample_num_steps = epoch.config.sample_num_steps;
  own.last_steps = std::min(own.last_steps, own.sample_num_steps);
  own.sample_eta = epoch.config.sample_eta;
  const DraftChain chain = make_draft_chain(own, epoch.task.pipeline->scheduler);
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(epoch.config.seed));
  const auto& draw = epoch.plan.draw;
  const size_t count = draw.seeds.size(), each = static_cast<size_t>(epoch.config.train_batch_size);
  train::zero_grad(epoch.params);
  for (size_t start = 0; start < count; start += each) {
    DraftBatch batch;
    for (size_t i = start; i < std::min(start + each, count); ++i) {
      batch.prompts.push_back(epoch.plan.prompts[static_cast<size_t>(draw.prompt_ids[i])]);
      batch.draw.prompt_ids.push_back(static_cast<int64_t>(i - start));
      batch.draw.seeds.push_back(draw.seeds[i]);
    }
    batch.share = static_cast<double>(batch.prompts.size()) / static_cast<double>(count);
    const Denoiser policy =
        policy_on(epoch.task, epoch.network, batch.prompts, epoch.config.sample_guidance_scale);
    add_chain_gradient(epoch.task, own, chain, policy, Denoiser(), batch, generator);
  }
  return take_gradient(epoch.params);
}

// Whether the reward's gradient can be followed.
bool has_gradient(const TrainingTask& task) {
  return std::all_of(task.rewards.begin(), task.rewards.end(),
                     [](const auto& one) { return one.reward.info.differentiable; });
}

}  // namespace

GradientCosines gradient_cosines(const TrainingTask& task,
                                 const FinetuneConfig& config,
                                 const ComparedMethods& methods) {
  const SamplingPlan chain =
      make_sampling_plan(config, task.pipeline->scheduler, task.latent_shape, task.device);
  diffusion::Network network = task.unet;
  const train::Params params = trained_parameters(network, config);
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  ComparedEpoch epoch{task,   config, network,
                      params, chain,  plan_epoch(task.prompts, config, 0, generator)};
  epoch.policy = policy_on(task, network, epoch.plan.prompts, config.sample_guidance_scale);
  epoch.drawn = rollout(epoch.policy, Denoiser(), epoch.plan.draw, chain, config.sample_batch_size);
  const auto& prompt_ids = epoch.plan.draw.prompt_ids;
  epoch.reward = combined_rewards(task, config,
                                  rate(task, epoch.plan, whole(epoch.drawn.log_ratio.size(0)),
                                       epoch.drawn, config.sample_batch_size),
                                  prompt_ids);
  epoch.spread = rewards::spread_within_prompts(epoch.reward, prompt_ids);
  epoch.draws = draw_noises(prompt_ids, kDraws, task.pipeline->scheduler.num_train_timesteps,
                            /*proportion_empty_prompts=*/0, generator);

  GradientCosines result;
  std::vector<at::Tensor> gradients;
  const auto add = [&](const std::string& name, const auto& method) {
    gradients.push_back(gradient_of(epoch, method));
    result.methods.push_back(name);
  };
  for (const auto& method : methods.policy) add(method.name, method);
  for (const auto& own : methods.forward) add(own.method.name, own);
  if (has_gradient(task)) {
    for (const auto& method : methods.draft) add(method.name, method);
  }
  const at::Tensor all = at::stack(gradients);
  result.norms = all.norm(2, {1});
  const at::Tensor units = all / result.norms.unsqueeze(1);
  result.cosines = units.mm(units.t());
  return result;
}

std::string cosines_text(const GradientCosines& result) {
  constexpr int kWidth = 10;
  std::string text = std::string(kWidth, ' ');
  for (const auto& name : result.methods) text += data::formatted("%*s", kWidth, name.c_str());
  text += "      norm\n";
  for (size_t i = 0; i < result.methods.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    text += data::formatted("%-*s", kWidth, result.methods[i].c_str());
    for (int64_t j = 0; j < result.cosines.size(1); ++j)
      text += data::formatted("%*.3f", kWidth, result.cosines[row][j].item<double>());
    text += data::formatted("%*.3g\n", kWidth, result.norms[row].item<double>());
  }
  return text;
}

}  // namespace finetune
