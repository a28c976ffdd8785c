#include "finetune/policy/trainer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <limits>
#include <optional>

#include "data/base/format.hpp"
#include "data/train/metrics.hpp"
#include "finetune/policy/calibration.hpp"
#include "finetune/policy/epoch.hpp"
#include "finetune/policy/epoch_results.hpp"
#include "finetune/policy/epoch_states.hpp"
#include "finetune/policy/kl_bound.hpp"
#include "finetune/policy/state_values.hpp"
#include "finetune/policy/update.hpp"
#include "finetune/run/guarding.hpp"
#include "finetune/run/throughput.hpp"
#include "finetune/task/reward_combination.hpp"
#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr double kFarFromTarget = 10;  // times target_kl
constexpr double kKlBudget = 3;        // of the guard, times the bound or target_kl

struct EpochData {
  EpochPlan plan;
  RowShard share;             // of the P images
  Trajectories trajectories;  // of this rank's
  at::Tensor rewards;         // [P, M] raw, of all
  at::Tensor held_out;        // [P, H] raw, by the guard's rewards
  at::Tensor kl;              // [P, T] nats, of all
};

struct PolicyRun {
  const FinetuneConfig& config;
  TrainingRun session;
  SamplingPlan chain;
  diffusion::Network reference;
  std::vector<EpochData> offline{};  // drawn once
  double clip_range = 0;             // nats
  std::optional<double> kl_bound{};  // nats
  bool tested = false;               // log-probabilities can be replayed
  bool warned_of_kl = false;
  int64_t lost_in_a_row = 0;
};

const ProcessGroup& ranks_of(const PolicyRun& run) { return run.session.options.ranks; }

Denoiser policy_of(const PolicyRun& run,
                   const diffusion::Network& unet,
                   const std::vector<TrainingPrompt>& prompts) {
  return policy_on(run.session.task, unet, prompts, run.config.sample_guidance_scale,
                   ranks_of(run));
}

// What the method imitates: the starting model, guided; empty: nothing.
Denoiser teacher_of(const TrainingRun& session,
                    const FinetuneConfig& config,
                    const std::vector<TrainingPrompt>& prompts) {
  const double scale = config.method.imitated_guidance;
  if (scale == 0) return {};
  return policy_on(session.task, session.task.unet, prompts, scale, session.options.ranks);
}

EpochData draw_epoch(PolicyRun& run,
                     const EpochPlan& plan,
                     const diffusion::Network& unet,
                     bool is_reference) {
  EpochData data;
  data.plan = plan;
  data.share = share_of(ranks_of(run), run.config);
  const EpochPlan own = part_of(plan, data.share);
  const Denoiser reference = is_reference || !run.config.method.compares_with_start
                                 ? Denoiser()
                                 : policy_of(run, run.reference, plan.prompts);
  data.trajectories =
      rollout(policy_of(run, unet, plan.prompts), reference, own.draw, run.chain,
              run.config.sample_batch_size, teacher_of(run.session, run.config, plan.prompts));
  const at::Tensor scores =
      rate(run.session.task, plan, data.share, data.trajectories, run.config.sample_batch_size);
  const auto trained = static_cast<int64_t>(run.session.task.rewards.size());
  data.rewards = scores.narrow(1, 0, trained).contiguous();
  data.held_out = scores.slice(1, trained);
  data.kl = all_gather_rows(data.share, data.trajectories.kl);
  return data;
}

// What the starting model draws, before anything is trained.
void draw_offline(PolicyRun& run) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(run.config.seed) + 1);
  for (int64_t i = 0; i < run.config.offline_epochs; ++i) {
    const EpochPlan plan = plan_epoch(run.session.task.prompts, run.config, i, generator);
    run.offline.push_back(draw_epoch(run, plan, run.reference, true));
    run.session.reporter.progress("offline images", i + 1, run.config.offline_epochs);
  }
}

EpochData epoch_data(PolicyRun& run) {
  const int64_t images = run.config.prompts_per_epoch * run.config.images_per_prompt;
  if (!run.config.offline) {
    const EpochPlan plan =
        plan_epoch(run.session.task.prompts, run.config, run.session.progress.epoch,
                   run.session.optimizer.state.generator);
    run.session.progress.queries += images;
    return draw_epoch(run, plan, run.session.unet, run.session.optimizer.step == 0);
  }
  if (run.offline.empty()) draw_offline(run);
  run.session.progress.queries = static_cast<int64_t>(run.offline.size()) * images;
  EpochData data =
      run.offline[static_cast<size_t>(run.session.progress.epoch) % run.offline.size()];
  const Denoiser policy = policy_of(run, run.session.unet, data.plan.prompts);
  const auto own = static_cast<int64_t>(data.share.rows.size());
  data.trajectories.log_ratio = log_ratios(policy, data.trajectories, whole(own).rows, run.chain,
                                           run.config.train_batch_size);
  return data;
}

// Of a trajectory, from the start; 0 where the starting model did not score the steps.
double kl_of(const PolicyRun& run, const EpochData& data) {
  return data.kl.mv(run.chain.mask).mean().item<double>();
}

// The coefficient follows the KL of the images that the update learns from.
void follow_kl(PolicyRun& run, double kl) {
  double& factor = run.session.progress.kl_factor;
  if (run.kl_bound && !std::isnan(kl))
    factor = stepped_kl_factor(factor, kl, *run.kl_bound, run.config.constraint_rate);
}

// What an epoch's line says of the KL, where it is known.
std::string kl_words(const PolicyRun& run, double kl) {
  if (!run.config.method.compares_with_start) return "";
  return data::formatted("KL %.3f nats, ", kl) +
         (run.kl_bound ? data::formatted("its coefficient x %.3g, ", run.session.progress.kl_factor)
                       : "");
}

// The rewards as one, [P]; the first time, beta and the rewards' scales are chosen.
at::Tensor combine_epoch(PolicyRun& run, const EpochData& data) {
  const auto& prompt_ids = data.plan.draw.prompt_ids;
  const rewards::CombineOptions combine = combine_options(run.session.task.rewards, run.config);
  auto& progress = run.session.progress;
  const bool first = progress.beta == 0;
  if (first) progress.spreads = rewards::pooled_spreads(data.rewards, prompt_ids);
  if (first)
    choose_caps(progress.combine, run.session.task, run.config,
                {data.rewards, data.held_out, prompt_ids}, run.session.reporter);
  progress.combine.spreads = progress.spreads;
  const at::Tensor combined =
      rewards::combine_rewards(data.rewards, prompt_ids, progress.combine, combine);
  if (first) {
    const MethodCalibration chosen = choose_calibration(
        run.config, run.chain, rewards::spread_within_prompts(combined, prompt_ids));
    for (const auto& remark : chosen.remarks) run.session.reporter.say(remark);
    progress.beta = chosen.beta;
  }
  rewards::observe(progress.combine, data.rewards, combine, prompt_ids);
  return combined;
}

// What the states of the epoch's trajectories are worth, where steps get credit for it.
EpochValues epoch_values(const PolicyRun& run, const EpochData& data, const Denoiser& policy) {
  const StepCredit& credit = run.config.credit;
  if (!is_known(credit.steps) && !is_known(credit.baseline)) return {};
  const auto& task = run.session.task;
  const auto schedule = diffusion::make_schedule(task.pipeline->scheduler);
  const auto of = [&](const StateValue& value) {
    if (!is_known(value)) return at::Tensor();
    return all_gather_rows(
        data.share, state_values(value, {policy, data.trajectories, data.plan.prompts, run.chain,
                                         schedule, run.config.sample_batch_size}));
  };
  return {weighted_rewards(task, data.rewards), of(credit.steps), of(credit.baseline)};
}

// Says once that the model has moved much further from the start than was asked for.
void warn_of_kl(PolicyRun& run, double kl) {
  const double target = run.config.target_kl;
  if (run.warned_of_kl || run.config.beta > 0 || !(kl > kFarFromTarget * target)) return;
  run.warned_of_kl = true;
  run.session.reporter.say(data::formatted(
      "warning: a KL of %.4g nats is %.0f times target_kl (%.4g): lower --learning_rate, or raise "
      "--target_kl if that is wanted",
      kl, kl / target, target));
}

// Before a value that is learnt gives credit: the ranks' networks become that of rank 0, since
// machines may round differently. Says where it knows nothing yet.
void begin_credit(const PolicyRun& run) {
  const StepCredit& credit = run.config.credit;
  if (!credit.learner.learn) return;
  for (const at::Tensor& tensor : credit.learner.weights()) broadcast(ranks_of(run), 0, tensor);
  const auto unknown = [](const StateValue& value) { return value.of && !is_known(value); };
  if (unknown(credit.steps) || unknown(credit.baseline))
    run.session.reporter.say(
        data::formatted("epoch %.0f: nothing is learnt of the states' values yet: no credit by it",
                        static_cast<double>(run.session.progress.epoch)));
}

// Keeps the epoch's trajectories, and learns the value of their states, where either is asked for.
MetricValues use_states(const PolicyRun& run, const EpochData& data, const at::Tensor& combined) {
  const ValueLearner& learner = run.config.credit.learner;
  const ProcessGroup& ranks = ranks_of(run);
  const int64_t epoch = run.session.progress.epoch;
  // What an offline run draws again is what it has kept.
  const bool keeps =
      run.config.keep.epochs > 0 && !(run.config.offline && epoch > run.config.offline_epochs);
  if (!keeps && !learner.learn) return {};
  EpochStates states = epoch_states(data.trajectories, data.share, run.chain, data.plan.prompts,
                                    data.plan.draw.prompt_ids);
  states.rewards = data.rewards;
  states.combined = combined;
  if (keeps && ranks.rank == 0)
    keep_epoch(run.session.options.folder, epoch, run.config.keep, states);
  if (!learner.learn) return {};
  const double began = data::now();
  MetricValues figures = learner.learn(states, [&] { heartbeat(ranks); });
  figures.emplace_back("seconds/value", data::now() - began);
  return figures;
}

// What an epoch took, in seconds.
struct EpochTimes {
  double draw = 0, update = 0, all = 0;
};

MetricValues epoch_figures(const PolicyRun& run,
                           const EpochData& data,
                           const at::Tensor& combined,
                           const UpdateReport& report,
                           double kl,
                           const EpochTimes& seconds) {
  const auto& draw = data.plan.draw;
  MetricValues figures = reward_figures(run.session, data.rewards, combined, draw.prompt_ids);
  if (run.config.method.compares_with_start) figures.emplace_back("kl_nats", kl);
  if (run.kl_bound) figures.emplace_back("multiplier.kl", run.session.progress.kl_factor);
  figures.emplace_back("queries", static_cast<double>(run.session.progress.queries));
  figures.emplace_back("transitions",
                       static_cast<double>(transitions(draw.branch_sizes, combined.size(0))));
  figures.insert(figures.end(), report.values.begin(), report.values.end());
  figures.insert(
      figures.end(),
      {{"beta", run.session.progress.beta * run.session.progress.kl_factor},
       {"seconds/draw", seconds.draw},
       {"seconds/update", seconds.update},
       {"images_per_second", images_per_second(combined.size(0), seconds.all, ranks_of(run))}});
  return figures;
}

// The updates on an epoch's images, told and counted.
UpdateReport update_on(PolicyRun& run,
                       const EpochData& data,
                       const at::Tensor& combined,
                       const Denoiser& policy) {
  const int64_t updates = updates_per_epoch(run.config), epoch = run.session.progress.epoch;
  int64_t done = (epoch - 1) * updates;
  const UpdateReport report = update(
      {policy, data.trajectories, combined, run.chain, run.session.progress.beta, run.clip_range,
       data.share, epoch_values(run, data, policy), run.session.progress.kl_factor},
      run.config, run.session.optimizer,
      [&] { run.session.reporter.progress("updates", ++done, run.config.num_epochs * updates); });
  for (const auto& fault : report.faults) {
    run.session.reporter.say(data::formatted("epoch %.0f: ", static_cast<double>(epoch)) + fault +
                             " is not finite: step skipped");
  }
  run.session.result.skipped_steps += static_cast<int64_t>(report.faults.size());
  return report;
}

void train_epoch(PolicyRun& run) {
  const double started = data::now();
  const CommunicationStats before_exchange = communication_stats(ranks_of(run));
  const EpochData data = epoch_data(run);
  const double drawn = data::now();
  ++run.session.progress.epoch;
  const bool finite = all_finite(data.trajectories);
  if (!keep_finite_epoch(run.session, !any_rank(ranks_of(run), !finite), run.lost_in_a_row)) return;
  const Denoiser policy = policy_of(run, run.session.unet, data.plan.prompts);
  if (!run.tested)
    self_test(policy, data.trajectories, run.config, run.chain, run.session.reporter);
  run.tested = true;
  const at::Tensor combined = combine_epoch(run, data);
  const double kl = kl_of(run, data);
  follow_kl(run, kl);
  begin_credit(run);
  const UpdateReport report = update_on(run, data, combined, policy);
  const double ended = data::now();
  MetricValues figures = epoch_figures(run, data, combined, report, kl,
                                       {drawn - started, ended - drawn, ended - started});
  for (const MetricValues& more :
       {exchange_figures(ranks_of(run), before_exchange), use_states(run, data, combined)})
    figures.insert(figures.end(), more.begin(), more.end());
  log_metrics(run.session, figures, false);
  show_epoch(run.session, combined, data.held_out, data.plan.draw.prompt_ids);
  run.session.reporter.say(data::formatted("epoch %.0f: reward %.4f (spread %.3f), ",
                                           static_cast<double>(run.session.progress.epoch),
                                           figures[0].second, figures[1].second) +
                           kl_words(run, kl) + data::formatted("%.1f s", data::now() - started));
  warn_of_kl(run, kl);
}

// Draws and rates the evaluation's images, of the starting model (guided, where a method imitates
// that) or of the one in training; with the KL from the former.
Evaluation evaluate_model(const TrainingRun& session,
                          const FinetuneConfig& config,
                          const SamplingPlan& chain,
                          bool is_base) {
  const auto on = [&](const diffusion::Network& network) {
    return policy_on(session.task, network, session.eval_set.prompts, config.sample_guidance_scale,
                     session.options.ranks);
  };
  const int64_t batch = config.sample_batch_size;
  const Denoiser teacher = teacher_of(session, config, session.eval_set.prompts),
                 base = teacher ? teacher : on(session.task.unet);
  return evaluate(session.task, session.eval_set,
                  is_base ? chain_drawer(base, {}, chain, batch)
                          : chain_drawer(on(session.unet), base, chain, batch),
                  chain.mask, batch, session.options.ranks);
}

// `config` must outlive the run.
RunHooks hooks_of(const TrainingTask& task,
                  const FinetuneConfig& config,
                  const SamplingPlan& chain) {
  const SampleCaption caption{std::filesystem::path(task.model).filename().string(), "DDIM",
                              config.sample_num_steps, config.sample_guidance_scale};
  SampleCaption base_caption = caption;
  const bool imitates = config.method.imitated_guidance > 0;
  if (imitates) base_caption.guidance_scale = config.method.imitated_guidance;
  // The KL from the model that is imitated falls: it is no sign of a gamed reward.
  const auto bound = parse_kl_bound(config.constraints);
  const double kl_budget = imitates          ? std::numeric_limits<double>::infinity()
                           : bound           ? kKlBudget * *bound
                           : config.beta > 0 ? 0
                                             : kKlBudget * config.target_kl;
  const auto draw = [&config, chain](bool is_base) {
    return [&config, chain, is_base](const TrainingRun& session) {
      return evaluate_model(session, config, chain, is_base);
    };
  };
  return {.command = "laurel finetune " + config.method.name,
          .memory_options =
              data::formatted("--train_batch_size (now %.0f), --sample_batch_size (now %.0f)",
                              static_cast<double>(config.train_batch_size),
                              static_cast<double>(config.sample_batch_size)),
          .draw_base = draw(true),
          .draw_now = draw(false),
          .base_caption = base_caption,
          .caption = caption,
          .base_name = imitates ? "the guided start" : "the start",
          .base_is_start = !imitates,
          .kl_budget = kl_budget,
          .shows_epochs = true,
          .save_more = config.credit.learner.save,
          .load_more = config.credit.learner.load};
}

PolicyRun make_run(const TrainingTask& task,
                   const FinetuneConfig& config,
                   const RunOptions& options,
                   const Reporter& reporter) {
  const SamplingPlan chain =
      make_sampling_plan(config, task.pipeline->scheduler, task.latent_shape, task.device);
  PolicyRun run{
      .config = config,
      .session = make_training_run(task, config, options, reporter, hooks_of(task, config, chain),
                                   config.num_epochs * updates_per_epoch(config)),
      .chain = chain,
      .reference = task.unet};
  run.clip_range = clip_range_in_nats(config, run.chain);
  run.kl_bound = parse_kl_bound(config.constraints);
  return run;
}

}  // namespace

RunResult run_finetune(const TrainingTask& task,
                       const FinetuneConfig& config,
                       const RunOptions& options,
                       const Reporter& reporter) {
  PolicyRun run = make_run(task, config, options, reporter);
  const RunResult result = run_training(run.session, config.num_epochs, [&] { train_epoch(run); });
  const auto& write_value = config.credit.learner.write;
  if (write_value && options.ranks.rank == 0) write_value(options.folder);
  return result;
}

}  // namespace finetune
