#include "finetune/draft/draft.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/format.hpp"
#include "data/base/splitmix.hpp"
#include "data/device/memory.hpp"
#include "data/train/epoch_order.hpp"
#include "data/train/metrics.hpp"
#include "finetune/distributed/row_shard.hpp"
#include "finetune/draft/chain_gradient.hpp"
#include "finetune/policy/rollout.hpp"
#include "finetune/run/step_loop.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

constexpr int64_t kDraftReportEvery = 10;  // steps between lines of metrics

// Of the image in row `row` of step `step`.
uint64_t image_seed(int64_t seed, int64_t step, int64_t row) {
  const uint64_t base =
      data::splitmix64(data::splitmix64(static_cast<uint64_t>(seed)) + static_cast<uint64_t>(step));
  return data::splitmix64(base + static_cast<uint64_t>(row)) >> 1;
}

// This rank's images of step `step`: the same prompts and seeds however many ranks there are.
DraftBatch draw_batch(const TrainingTask& task,
                      const DraftConfig& config,
                      const RowShard& share,
                      int64_t step) {
  const auto count = static_cast<int64_t>(task.prompts.size());
  DraftBatch batch;
  batch.share = static_cast<double>(share.rows.size()) / static_cast<double>(share.total);
  for (const int64_t row : share.rows) {
    const int64_t image = step * config.train_batch_size + row;
    const at::Tensor order = train::epoch_order(config.seed, image / count, count);
    batch.prompts.push_back(
        task.prompts[static_cast<size_t>(order[image % count].item<int64_t>())]);
    batch.draw.prompt_ids.push_back(static_cast<int64_t>(batch.draw.prompt_ids.size()));
    batch.draw.seeds.push_back(image_seed(config.seed, step, row));
  }
  return batch;
}

// The chain as rollouts read it. Its KL is summed over the steps that the policy-gradient methods
// sum it over, so that the figures of all methods can be compared.
SamplingPlan plan_of(const TrainingTask& task, const DraftChain& chain) {
  SamplingPlan plan{.steps = chain.steps,
                    .prediction = chain.prediction,
                    .latent_shape = task.latent_shape,
                    .mask = at::zeros({static_cast<int64_t>(chain.steps.size())}, at::kDouble),
                    .device = task.device};
  for (size_t k = 0; k < chain.steps.size(); ++k)
    plan.mask[static_cast<int64_t>(k)] = chain.steps[k].sigma > 0 ? 1 : 0;
  for (const int64_t sharp : high_kl_steps(chain.steps)) plan.mask[sharp] = 0;
  return plan;
}

Evaluation evaluate_model(const TrainingRun& run,
                          const DraftConfig& config,
                          const DraftChain& chain,
                          bool is_base) {
  const auto on = [&](const diffusion::Network& network) {
    return policy_on(run.task, network, run.eval_set.prompts, config.sample_guidance_scale,
                     run.options.ranks);
  };
  const SamplingPlan plan = plan_of(run.task, chain);
  const Denoiser base = on(run.task.unet);
  return evaluate(run.task, run.eval_set,
                  is_base ? chain_drawer(base, {}, plan, config.sample_batch_size)
                          : chain_drawer(on(run.unet), base, plan, config.sample_batch_size),
                  plan.mask, config.sample_batch_size, run.options.ranks);
}

// `config` and `chain` must outlive the run.
RunHooks hooks_of(const TrainingTask& task,
                  const DraftMethod& method,
                  const DraftConfig& config,
                  const DraftChain& chain) {
  const SampleCaption caption{std::filesystem::path(task.model).filename().string(), "DDIM",
                              config.sample_num_steps, config.sample_guidance_scale};
  const auto draw = [&](bool is_base) {
    return [&config, &chain, is_base](const TrainingRun& run) {
      return evaluate_model(run, config, chain, is_base);
    };
  };
  return {.command = std::string("laurel finetune ") + method.name,
          .memory_options = data::formatted(
              "--train_batch_size (now %.0f), --last_steps (now %.0f), "
              "--reward_chunk (now %.0f)",
              static_cast<double>(config.train_batch_size), static_cast<double>(config.last_steps),
              static_cast<double>(config.reward_chunk)),
          .draw_base = draw(true),
          .draw_now = draw(false),
          .base_caption = caption,
          .caption = caption};
}

// Backward pass of the step's batch.
BatchResult accumulate(TrainingRun& run,
                       const DraftConfig& config,
                       const DraftChain& chain,
                       const RowShard& share) {
  const DraftBatch batch = draw_batch(run.task, config, share, run.progress.epoch);
  const double scale = config.sample_guidance_scale;
  const Denoiser policy = policy_on(run.task, run.unet, batch.prompts, scale, share.ranks);
  const Denoiser reference = config.kl_coefficient > 0
                                 ? policy_on(run.task, run.task.unet, batch.prompts, scale)
                                 : Denoiser();
  const DraftTerms terms = add_chain_gradient(run.task, config, chain, policy, reference, batch,
                                              run.optimizer.state.generator);
  run.progress.queries += config.train_batch_size * std::max<int64_t>(1, config.variance_draws);
  const auto summed = [&](double value) {
    at::Tensor sum = at::scalar_tensor(value, at::kDouble);
    all_reduce_sum(share.ranks, sum);
    return sum.item<double>();
  };
  BatchResult result{.figures = {{"loss", summed(terms.loss)},
                                 {"reward_mean", summed(terms.reward * batch.share)},
                                 {"saturated", summed(terms.saturated * batch.share)}}};
  if (config.kl_coefficient > 0)
    result.figures.emplace_back("kl_graph_nats", summed(terms.kl * batch.share));
  if (any_rank(share.ranks, !terms.fault.empty()))
    result.fault = terms.fault.empty() ? "the loss of another rank" : terms.fault;
  return result;
}

std::string step_words(const std::map<std::string, double>& means) {
  return data::formatted(", reward %.4f", means.at("reward_mean"));
}

}  // namespace

RunResult run_draft(const TrainingTask& task,
                    const DraftMethod& method,
                    const DraftConfig& config,
                    const RunOptions& options,
                    const Reporter& reporter) {
  check_differentiable(task, "train on it with a method that needs no gradient, as prdp");
  const DraftChain chain = make_draft_chain(config, task.pipeline->scheduler);
  const RowShard share = strided_shard(options.ranks, config.train_batch_size);
  TrainingRun run =
      make_training_run(task, config, options, reporter, hooks_of(task, method, config, chain),
                        config.max_train_steps);
  return run_steps(run, {.max_train_steps = config.max_train_steps,
                         .batch = config.train_batch_size,
                         .report_every = kDraftReportEvery,
                         .accumulate = [&] { return accumulate(run, config, chain, share); },
                         .state = [&]() -> MetricValues {
                           return {{"queries", static_cast<double>(run.progress.queries)}};
                         },
                         .words = step_words});
}

DraftForecast forecast_draft(const TrainingTask& task, const DraftConfig& config) {
  const DraftChain chain = make_draft_chain(config, task.pipeline->scheduler);
  data::reset_peak_memory();
  diffusion::Network network = task.unet;
  Optimizer optimizer = make_optimizer(config, trained_parameters(network, config), 1);
  const DraftBatch batch = draw_batch(task, config, whole(config.train_batch_size), 0);
  const auto on = [&](const diffusion::Network& of) {
    return policy_on(task, of, batch.prompts, config.sample_guidance_scale);
  };
  DraftForecast forecast;
  for (int64_t i = 0; i < 2; ++i) {  // the first warms up
    const double started = data::now();
    add_chain_gradient(task, config, chain, on(network), on(task.unet), batch,
                       optimizer.state.generator);
    take_step(optimizer);
    forecast.seconds_step = data::now() - started;
  }
  const double started = data::now();
  rollout(on(network), {}, batch.draw, plan_of(task, chain), config.sample_batch_size);
  const double image = (data::now() - started) / static_cast<double>(config.train_batch_size);
  const int64_t evaluations =
      1 + (config.eval_every > 0 ? config.max_train_steps / config.eval_every : 1);
  forecast.seconds_evaluate =
      2 * image * static_cast<double>(evaluations * 2 * config.eval_prompts * config.eval_images);
  forecast.seconds = forecast.seconds_evaluate +
                     forecast.seconds_step * static_cast<double>(config.max_train_steps);
  forecast.peak_bytes = data::peak_memory();
  for (const auto& param : optimizer.state.params) forecast.trained_values += param.value.numel();
  return forecast;
}

std::string forecast_text(const DraftForecast& forecast) {
  return data::formatted(
      "trained values   %.3g\ntime             %.1f minutes: %.3f s a step, %.1f minutes of "
      "evaluations\nmemory           %.2f GB at the most\n",
      static_cast<double>(forecast.trained_values), forecast.seconds / 60, forecast.seconds_step,
      forecast.seconds_evaluate / 60, forecast.peak_bytes / 1e9);
}

}  // namespace finetune
