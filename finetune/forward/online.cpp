#include "finetune/forward/online.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/train/metrics.hpp"
#include "finetune/forward/online_epoch.hpp"
#include "finetune/forward/remembered_images.hpp"
#include "finetune/forward/winner_watch.hpp"
#include "finetune/policy/epoch_results.hpp"
#include "finetune/run/guarding.hpp"
#include "finetune/run/throughput.hpp"
#include "finetune/task/reward_combination.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

struct OnlineRun {
  const ForwardConfig& config;
  const ForwardDrawing& drawing;
  AveragedPolicy& averaged;  // without parameters where the method has none
  RememberedImages& memory;  // empty where the method has none
  diffusion::NoiseSchedule schedule;
  TrainingRun session;
  WinnerWatch watch{};
  int64_t lost_in_a_row = 0;
};

const ProcessGroup& ranks_of(const OnlineRun& run) { return run.session.options.ranks; }
const ForwardMethod& method_of(const OnlineRun& run) { return run.config.method; }

// The average as a network.
diffusion::Network average_of(const OnlineRun& run) {
  return with_values(run.session.unet, run.averaged.params, run.averaged.average.shadow);
}

// Draws and rates the next epoch's images.
DrawnEpoch next_epoch(OnlineRun& run) {
  TrainingRun& session = run.session;
  const EpochPlan plan = plan_epoch(session.task.prompts, epoch_config(run.config),
                                    session.progress.epoch, session.optimizer.state.generator);
  session.progress.queries += static_cast<int64_t>(plan.draw.seeds.size());
  const bool averages = method_of(run).compares_with_average;
  return draw_epoch(session.task, run.config, run.drawing,
                    averages ? average_of(run) : session.unet, plan, ranks_of(run));
}

// The candidates' rewards as one, [Q]; the first time, when all of them are new, their scales are
// chosen: progress.beta is the spread within a prompt at the start.
at::Tensor combine_epoch(OnlineRun& run, const DrawnEpoch& epoch, const Candidates& candidates) {
  const auto& prompt_ids = candidates.prompt_ids;
  RunProgress& progress = run.session.progress;
  const auto combine = combine_options(run.session.task.rewards, run.config);
  const bool first = progress.beta == 0;
  if (first) progress.spreads = rewards::pooled_spreads(epoch.rewards, prompt_ids);
  if (first)
    choose_caps(progress.combine, run.session.task, run.config,
                {epoch.rewards, epoch.held_out, prompt_ids}, run.session.reporter);
  progress.combine.spreads = progress.spreads;
  const at::Tensor combined =
      rewards::combine_rewards(candidates.rewards, prompt_ids, progress.combine, combine);
  if (first) progress.beta = rewards::spread_within_prompts(combined, prompt_ids);
  if (!(progress.beta > 0))
    throw data::BadInput(
        "reward: expected values that differ between images of a prompt, found no difference in "
        "the first epoch; choose another reward, or check that the model's images are not all "
        "alike");
  rewards::observe(progress.combine, epoch.rewards, combine, prompt_ids);
  return combined;
}

// What the optimiser steps of an epoch share.
struct EpochUpdate {
  ForwardPass pass;
  CleanImages images;
  ForwardLabels labels;
  std::vector<int64_t> prompts;  // of each row of `labels`
  RowShard share;                // of the rows
};
EpochUpdate make_update(const OnlineRun& run,
                        const DrawnEpoch& epoch,
                        const Candidates& candidates,
                        const ForwardLabels& labels) {
  const TrainingRun& session = run.session;
  const ForwardMethod& method = method_of(run);
  const bool averages = method.compares_with_average;
  const diffusion::Network compared = averages ? average_of(run) : session.task.unet;
  const auto& ids = candidates.prompt_ids;
  EpochUpdate update{
      .pass = make_forward_pass(session.task, run.config, run.schedule, session.unet,
                                averages || method.compares_with_start ? &compared : nullptr,
                                epoch.plan.prompts, ranks_of(run)),
      .images = {candidates.latents, ids, static_cast<int64_t>(epoch.plan.prompts.size())},
      .labels = labels,
      .prompts = {},
      .share = strided_shard(ranks_of(run), static_cast<int64_t>(labels.rows.size()))};
  for (const int64_t row : labels.rows) update.prompts.push_back(ids[static_cast<size_t>(row)]);
  return update;
}

// One optimiser step. -> its figures; none where it was not taken
MetricValues take_update(OnlineRun& run, const EpochUpdate& update) {
  TrainingRun& session = run.session;
  const ForwardMethod& method = method_of(run);
  const NoiseDraws draws =
      next_draws(run.config, run.schedule, update.prompts, session.optimizer.state.generator);
  MetricValues figures = named_figures(
      method,
      add_forward_gradient(method, update.pass, update.images, update.labels, draws, update.share));
  all_reduce_gradients(ranks_of(run), session.optimizer.state.params);
  const StepResult step = take_step(session.optimizer);
  if (!step.fault.empty()) {
    session.reporter.say(
        data::formatted("epoch %.0f: ", static_cast<double>(session.progress.epoch)) + step.fault +
        " is not finite: step skipped");
    ++session.result.skipped_steps;
    return {};
  }
  figures.insert(figures.end(), {{"grad_norm", step.grad_norm}, {"lr", step.learning_rate}});
  return figures;
}

// The epoch's optimiser steps. -> means over those that were taken
MetricValues take_updates(OnlineRun& run, const EpochUpdate& update) {
  const int64_t each = run.config.num_inner_epochs;
  MetricValues means;
  double taken = 0;
  for (int64_t i = 0; i < each; ++i) {
    const MetricValues figures = take_update(run, update);
    run.session.reporter.progress("updates", (run.session.progress.epoch - 1) * each + i + 1,
                                  run.config.num_epochs * each);
    if (figures.empty()) continue;
    if (means.empty()) means = MetricValues(figures.size());
    ++taken;
    for (size_t k = 0; k < figures.size(); ++k) {
      means[k].first = figures[k].first;
      means[k].second += (figures[k].second - means[k].second) / taken;
    }
  }
  return means;
}

// After the guard put the parameters back, the average begins anew.
void follow_brake(OnlineRun& run) {
  if (run.averaged.braked == run.session.progress.watch.braked) return;
  run.averaged.braked = run.session.progress.watch.braked;
  restart_average(run.averaged);
}

// What an epoch's images, and those remembered of its prompts, are trained towards.
struct LabelledEpoch {
  Candidates candidates;
  ForwardLabels labels;  // rows: of the candidates
  at::Tensor combined;   // [P] of the epoch's own images
};
LabelledEpoch label_epoch(OnlineRun& run, const DrawnEpoch& epoch) {
  LabelledEpoch result{candidates_of(epoch, run.memory), {}, {}};
  const Candidates& all = result.candidates;
  const at::Tensor rated = combine_epoch(run, epoch, all);
  result.labels =
      method_of(run).labels({rated, all.prompt_ids, all.seeds, run.session.progress.beta});
  result.combined = rated.narrow(0, 0, epoch.rewards.size(0));
  remember(run.memory, all, rated, epoch.plan.prompts);
  return result;
}

// How many of the images trained on were drawn in earlier epochs.
double old_images(const ForwardLabels& labels, const DrawnEpoch& epoch) {
  const int64_t drawn = epoch.rewards.size(0);
  return static_cast<double>(std::count_if(labels.rows.begin(), labels.rows.end(),
                                           [&](int64_t row) { return row >= drawn; }));
}

void train_epoch(OnlineRun& run) {
  TrainingRun& session = run.session;
  const double started = data::now();
  follow_brake(run);
  const DrawnEpoch epoch = next_epoch(run);
  const double drawn = data::now();
  ++session.progress.epoch;
  const bool finite = epoch.latents.isfinite().all().item<bool>();  // of all ranks
  if (!keep_finite_epoch(session, finite, run.lost_in_a_row)) return restart_average(run.averaged);
  const auto [candidates, labels, combined] = label_epoch(run, epoch);
  const auto& draw = epoch.plan.draw;
  MetricValues figures = reward_figures(session, epoch.rewards, combined, draw.prompt_ids);
  figures.emplace_back("trained_images", static_cast<double>(labels.rows.size()));
  if (method_of(run).remembers > 0)
    figures.emplace_back("trained_remembered", old_images(labels, epoch));
  figures.emplace_back("queries", static_cast<double>(session.progress.queries));
  const double epochs = static_cast<double>(session.progress.epoch);
  if (labels.rows.empty()) {
    session.reporter.say(data::formatted(
        "epoch %.0f: no reward differs between images of a prompt: nothing is learnt", epochs));
  } else {
    const MetricValues steps = take_updates(run, make_update(run, epoch, candidates, labels));
    watch_winner(run.watch, steps, session.reporter);
    figures.insert(figures.end(), steps.begin(), steps.end());
  }
  const double ended = data::now();
  figures.insert(
      figures.end(),
      {{"seconds/draw", drawn - started},
       {"seconds/update", ended - drawn},
       {"images_per_second", images_per_second(combined.size(0), ended - started, ranks_of(run))}});
  log_metrics(session, figures, false);
  show_epoch(session, combined, epoch.held_out, draw.prompt_ids);
  session.reporter.say(
      data::formatted("epoch %.0f: reward %.4f (spread %.3f), %.0f images "
                      "trained on, %.1f s",
                      epochs, figures[0].second, figures[1].second,
                      static_cast<double>(labels.rows.size()), data::now() - started));
  const ForwardMethod& method = method_of(run);
  if (method.compares_with_average)
    follow_epoch(run.averaged, session.progress.epoch, method.average_decay_rate,
                 method.average_decay_most);
}

RunHooks online_hooks(const TrainingTask& task,
                      const ForwardConfig& config,
                      const ForwardDrawing& drawing,
                      AveragedPolicy& averaged,
                      RememberedImages& memory) {
  RunHooks hooks = drawing_hooks(task, config, drawing);
  hooks.shows_epochs = true;
  const bool averages = config.method.compares_with_average, remembers = memory.each > 0;
  if (!averages && !remembers) return hooks;
  hooks.save_more = [&averaged, &memory, averages, remembers](const std::filesystem::path& folder) {
    if (averages) save_average(folder, averaged);
    if (remembers) save_remembered(folder, memory);
  };
  hooks.load_more = [&averaged, &memory, averages, remembers](const std::filesystem::path& folder) {
    if (averages) load_average(folder, averaged);
    if (remembers) load_remembered(folder, memory);
  };
  return hooks;
}

}  // namespace

RunResult run_online(const TrainingTask& task,
                     const ForwardConfig& config,
                     const RunOptions& options,
                     const Reporter& reporter) {
  const ForwardDrawing drawing = make_drawing(task, config);
  share_of(options.ranks, epoch_config(config));  // refuses what does not fit, before the run
  AveragedPolicy averaged;
  RememberedImages memory{.each = config.method.remembers};
  OnlineRun run{.config = config,
                .drawing = drawing,
                .averaged = averaged,
                .memory = memory,
                .schedule = diffusion::make_schedule(task.pipeline->scheduler),
                .session = make_training_run(task, config, options, reporter,
                                             online_hooks(task, config, drawing, averaged, memory),
                                             config.num_epochs * config.num_inner_epochs)};
  if (config.method.compares_with_average)
    averaged = make_averaged(run.session.optimizer.state.params);
  return run_training(run.session, config.num_epochs, [&] { train_epoch(run); });
}

}  // namespace finetune
