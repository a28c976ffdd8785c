#include "finetune/trainer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdio>
#include <optional>

#include "data/error.hpp"
#include "data/metrics.hpp"
#include "finetune/epoch.hpp"
#include "finetune/pair_loss.hpp"
#include "finetune/scale.hpp"
#include "finetune/trainable.hpp"
#include "finetune/update.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using Figures = std::vector<std::pair<std::string, double>>;

constexpr int64_t kMostLostInARow = 3;

struct EpochData {
  EpochPlan plan;
  Trajectories trajectories;
  at::Tensor rewards;  // [P, M] raw
};

struct Run {
  const Task& task;
  const FinetuneConfig& config;
  const RunOptions& options;
  const Reporter& reporter;
  Chain chain;
  diffusion::UNet reference, unet;
  Learner learner;
  RunProgress progress;
  EvalSet eval_set;
  Evaluation base;
  std::optional<Snapshot> good;    // parameters that have drawn finite images
  std::vector<EpochData> offline;  // drawn once
  fs::path events;
  double clip_range = 0;   // nats
  bool tested = false;     // log-probabilities can be replayed
  bool evaluated = false;  // since the last update
  int64_t lost_in_a_row = 0;
  RunResult result;
};

void log_figures(Run& run, const Figures& figures, bool evaluation) {
  const data::Metrics metrics{run.learner.step, run.progress.epoch, data::now(), evaluation,
                              figures};
  data::append_metrics(run.options.folder / "metrics.jsonl", metrics);
  data::append_events(run.events, metrics);
}

EpochData draw_epoch(Run& run,
                     const EpochPlan& plan,
                     const diffusion::UNet& unet,
                     bool is_reference) {
  const double scale = run.config.sample_guidance_scale;
  EpochData data;
  data.plan = plan;
  const Denoiser policy = policy_on(run.task, unet, plan.prompts, scale);
  const Denoiser reference =
      is_reference ? Denoiser() : policy_on(run.task, run.reference, plan.prompts, scale);
  data.trajectories =
      rollout(policy, reference, plan.draw, run.chain, run.config.sample_batch_size);
  data.rewards = rate(run.task, plan, data.trajectories, run.config.sample_batch_size);
  return data;
}

// What the starting model draws, before anything is trained.
void draw_offline(Run& run) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(run.config.seed) + 1);
  for (int64_t i = 0; i < run.config.offline_epochs; ++i) {
    const EpochPlan plan = plan_epoch(run.task.prompts, run.config, i, generator);
    run.offline.push_back(draw_epoch(run, plan, run.reference, true));
    run.reporter.progress("offline images", i + 1, run.config.offline_epochs);
  }
}

EpochData epoch_data(Run& run) {
  const int64_t images = run.config.prompts_per_epoch * run.config.images_per_prompt;
  if (!run.config.offline) {
    const EpochPlan plan =
        plan_epoch(run.task.prompts, run.config, run.progress.epoch, run.learner.state.generator);
    run.progress.queries += images;
    return draw_epoch(run, plan, run.unet, run.learner.step == 0);
  }
  if (run.offline.empty()) draw_offline(run);
  run.progress.queries = static_cast<int64_t>(run.offline.size()) * images;
  EpochData data = run.offline[static_cast<size_t>(run.progress.epoch) % run.offline.size()];
  const Denoiser policy =
      policy_on(run.task, run.unet, data.plan.prompts, run.config.sample_guidance_scale);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < data.plan.draw.seeds.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  data.trajectories.log_ratio =
      log_ratios(policy, data.trajectories, rows, run.chain, run.config.train_batch_size);
  return data;
}

// False when the images are not finite: the parameters are put back to where they were good.
bool check_epoch(Run& run, const EpochData& data) {
  const at::Tensor& latents = data.trajectories.latents;
  if (latents.isfinite().all().item<bool>()) {
    run.good.reset();  // two at once would be a model's size too much
    run.good = take_snapshot(run.learner);
    run.lost_in_a_row = 0;
    return true;
  }
  const std::string where = faulty_value(run.learner.state.params).value_or("the network's output");
  if (!run.good)
    throw data::BadInput("model: expected finite images, found values that are not, in " + where +
                         "; check the checkpoint");
  run.reporter.say(line("epoch %.0f: ", static_cast<double>(run.progress.epoch)) + where +
                   " is not finite: back to the last good parameters");
  restore(*run.good, run.learner);
  ++run.result.lost_epochs;
  if (++run.lost_in_a_row >= kMostLostInARow) {
    throw std::runtime_error("finetune: " + where + " was not finite in " +
                             std::to_string(kMostLostInARow) +
                             " epochs in a row; lower the learning rate");
  }
  return false;
}

Figures reward_figures(const Run& run, const EpochData& data, const at::Tensor& combined) {
  Figures figures{
      {"reward_mean", combined.masked_select(combined.isfinite()).mean().item<double>()},
      {"reward_std", spread_within_prompts(combined, data.trajectories.prompt_ids)}};
  for (size_t m = 0; m < run.task.rewards.size(); ++m) {
    const at::Tensor column = data.rewards.select(1, static_cast<int64_t>(m));
    figures.emplace_back("reward/" + run.task.rewards[m].info.name,
                         column.masked_select(column.isfinite()).mean().item<double>());
  }
  figures.emplace_back("kl_nats", data.trajectories.kl.mv(run.chain.mask).mean().item<double>());
  figures.emplace_back("queries", static_cast<double>(run.progress.queries));
  return figures;
}

void train_epoch(Run& run) {
  const double started = data::now();
  const EpochData data = epoch_data(run);
  const double drawn = data::now();
  ++run.progress.epoch;
  if (!check_epoch(run, data)) return;
  const Denoiser policy =
      policy_on(run.task, run.unet, data.plan.prompts, run.config.sample_guidance_scale);
  if (!run.tested) self_test(policy, data.trajectories, run.config, run.chain, run.reporter);
  run.tested = true;
  if (run.progress.beta == 0) {
    const Scale scale = choose_scale(data.rewards, data.trajectories.prompt_ids, run.config,
                                     run.chain, run.reporter);
    run.progress.beta = scale.beta;
    run.progress.spreads = scale.spreads;
  }
  const at::Tensor combined = combine_rewards(data.rewards, data.trajectories.prompt_ids,
                                              run.progress.spreads, combine_options(run.config));
  const int64_t updates = updates_per_epoch(run.config),
                before = (run.progress.epoch - 1) * updates;
  int64_t done = before;
  const UpdateReport report =
      update({policy, data.trajectories, combined, run.chain, run.progress.beta, run.clip_range},
             run.config, run.learner,
             [&] { run.reporter.progress("updates", ++done, run.config.num_epochs * updates); });
  run.evaluated = false;
  for (const auto& fault : report.faults) {
    run.reporter.say(line("epoch %.0f: ", static_cast<double>(run.progress.epoch)) + fault +
                     " is not finite: step skipped");
  }
  run.result.skipped_steps += static_cast<int64_t>(report.faults.size());
  Figures figures = reward_figures(run, data, combined);
  figures.insert(figures.end(), report.values.begin(), report.values.end());
  figures.insert(figures.end(), {{"beta", run.progress.beta},
                                 {"seconds/draw", drawn - started},
                                 {"seconds/update", data::now() - drawn}});
  log_figures(run, figures, false);
  run.reporter.say(
      line("epoch %.0f: reward %.4f", static_cast<double>(run.progress.epoch), figures[0].second) +
      line(" (spread %.3f)", figures[1].second) +
      line(", KL %.3f nats, %.1f s", data.trajectories.kl.mv(run.chain.mask).mean().item<double>(),
           data::now() - started));
}

void write_set(Run& run, const std::string& name, const Evaluation& evaluation) {
  const SampleText words{fs::path(run.task.model).filename().string(), "DDIM",
                         run.config.sample_num_steps, run.config.sample_guidance_scale};
  write_samples(run.options.folder / "samples" / name, run.task, run.eval_set, evaluation, words);
}

void export_to(Run& run, const fs::path& folder) {
  const std::string name = fs::absolute(run.options.folder).filename().string();
  export_model(folder, name, run.task, run.config, run.unet, run.learner, run.progress);
}

// True when the run should stop.
bool judge(Run& run, const Evaluation& now) {
  const Standing here = standing(run.task, run.eval_set, now, run.base);
  const Verdict verdict = observe(run.progress.watch, here, run.learner.step);
  run.result.last = here;
  run.reporter.say(
      line("evaluation: trained rewards %+.3f, held-out %+.3f standard deviations from the start, "
           "KL %.2f nats",
           here.trained, here.held_out, now.kl.mv(now.mask).mean().item<double>()));
  if (verdict.best) export_to(run, run.options.folder / "best");
  if (!verdict.hacking) return false;
  run.reporter.say(
      "warning: the trained reward rises while the held-out rewards fall: it is being gamed; best/ "
      "keeps step " +
      std::to_string(run.progress.watch.best_step));
  return run.config.stop_after_hacking > 0 &&
         run.progress.watch.in_a_row >= run.config.stop_after_hacking;
}

bool evaluate_now(Run& run) {
  const double scale = run.config.sample_guidance_scale;
  train::swap_ema(run.learner.state.ema, run.learner.state.params);
  const Denoiser policy = policy_on(run.task, run.unet, run.eval_set.prompts, scale);
  const Denoiser reference = policy_on(run.task, run.reference, run.eval_set.prompts, scale);
  const Evaluation now =
      evaluate(run.task, run.eval_set, policy, reference, run.chain, run.config.sample_batch_size);
  train::swap_ema(run.learner.state.ema, run.learner.state.params);
  if (!now.kl.isfinite().all().item<bool>() && run.good) {
    run.reporter.say("evaluation: the images are not finite: back to the last good parameters");
    restore(*run.good, run.learner);
    run.good.reset();
    ++run.result.lost_epochs;
    return evaluate_now(run);
  }
  run.evaluated = true;
  log_figures(
      run, evaluation_figures(run.task, run.eval_set, now, run.base, combine_options(run.config)),
      true);
  write_set(run, "step-" + std::to_string(run.learner.step), now);
  return judge(run, now);
}

void evaluate_base(Run& run, bool resumed) {
  const Denoiser policy =
      policy_on(run.task, run.reference, run.eval_set.prompts, run.config.sample_guidance_scale);
  run.base = evaluate(run.task, run.eval_set, policy, {}, run.chain, run.config.sample_batch_size);
  if (!resumed) {
    log_figures(
        run,
        evaluation_figures(run.task, run.eval_set, run.base, run.base, combine_options(run.config)),
        true);
    write_set(run, "base", run.base);
  }
  run.base.images = at::Tensor();
}

Run make_run(const Task& task,
             const FinetuneConfig& config,
             const RunOptions& options,
             const Reporter& reporter) {
  Run run{.task = task,
          .config = config,
          .options = options,
          .reporter = reporter,
          .chain = {},
          .reference = task.unet,
          .unet = task.unet,
          .learner = {},
          .progress = {},
          .eval_set = {},
          .base = {},
          .good = {},
          .offline = {},
          .events = {},
          .result = {}};
  run.chain = make_chain(config, task.scheduler, task.latent_shape, task.device);
  run.clip_range = clip_range_in_nats(config, run.chain);
  run.learner = make_learner(config, trained_parameters(run.unet, config),
                             config.num_epochs * updates_per_epoch(config));
  run.progress.started = data::now();
  run.eval_set = make_eval_set(task, config.eval_prompts, config.eval_images, config.eval_seed);
  return run;
}

// Opens the folder, and a checkpoint where one is asked for. True when one was loaded.
bool open(Run& run) {
  const auto& options = run.options;
  std::optional<fs::path> checkpoint;
  if (!options.resume_from.empty())
    checkpoint = find_checkpoint(options.folder, options.resume_from);
  if (checkpoint) run.progress = load_checkpoint(*checkpoint, run.task, run.learner);
  open_run(options.folder, options.record, run.task.config_text, !options.resume_from.empty());
  data::truncate_metrics(options.folder / "metrics.jsonl", checkpoint ? run.learner.step : -1);
  run.events = data::start_events(options.folder, data::now());
  if (checkpoint) {
    run.reporter.say("resumed from " + checkpoint->string() +
                     line(": epoch %.0f, step %.0f", static_cast<double>(run.progress.epoch),
                          static_cast<double>(run.learner.step)));
  }
  return checkpoint.has_value();
}

void save(Run& run) {
  save_checkpoint(run.options.folder, run.task, run.config, run.unet, run.learner, run.progress);
}

}  // namespace

RunResult run_finetune(const Task& task,
                       const FinetuneConfig& config,
                       const RunOptions& options,
                       const Reporter& reporter) {
  Run run = make_run(task, config, options, reporter);
  const bool resumed = open(run);
  if (!run.eval_set.items.empty()) evaluate_base(run, resumed);
  int64_t saved_at = run.learner.step;
  while (run.progress.epoch < config.num_epochs && run.result.stopped.empty()) {
    train_epoch(run);
    const bool evaluates = config.eval_every > 0 && run.progress.epoch % config.eval_every == 0;
    if (evaluates && !run.eval_set.items.empty() && evaluate_now(run))
      run.result.stopped = "the reward is being gamed";
    if (options.stop_requested()) run.result.stopped = "asked to";
    if (config.checkpointing_steps > 0 &&
        run.learner.step - saved_at >= config.checkpointing_steps) {
      save(run);
      saved_at = run.learner.step;
    }
  }
  if (!run.evaluated && !run.eval_set.items.empty() && run.result.stopped != "asked to")
    evaluate_now(run);
  save(run);
  export_to(run, options.folder);
  run.result.epochs = run.progress.epoch;
  run.result.steps = run.learner.step;
  run.result.best_step = run.progress.watch.best_step;
  run.result.best = run.progress.watch.best;
  return run.result;
}

}  // namespace finetune
