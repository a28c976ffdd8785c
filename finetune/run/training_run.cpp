#include "finetune/run/training_run.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/device/gpu_usage.hpp"
#include "data/device/memory.hpp"
#include "data/train/events.hpp"
#include "finetune/run/guarding.hpp"
#include "finetune/run/run_events.hpp"
#include "finetune/run/written_model.hpp"
#include "finetune/task/reward_combination.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

bool writes(const TrainingRun& run) { return run.options.ranks.rank == 0; }

void write_set(TrainingRun& run,
               const std::string& name,
               const Evaluation& evaluation,
               const SampleCaption& words) {
  if (!writes(run)) return;
  write_samples(run.options.folder / "samples" / name, run.eval_set, evaluation, words);
  add_event_images(run, evaluation);
}

MetricValues figures_of(const TrainingRun& run, const Evaluation& evaluation) {
  return evaluation_figures(run.task, run.eval_set, evaluation, run.base,
                            combine_options(run.task.rewards, run.config));
}

// The trained rewards' mean change from the start, in deviations there.
double trained_change(const TrainingRun& run, const Evaluation& now) {
  const auto trained = static_cast<int64_t>(run.task.rewards.size());
  std::vector<int64_t> ids;
  for (const auto& item : run.eval_set.items) ids.push_back(item.prompt_id);
  const at::Tensor start = run.base.rewards.narrow(1, 0, trained);
  return guard::paired_change(now.rewards.narrow(1, 0, trained), start,
                              guard::change_scales(start, ids), ids, 0.5)
      .mean;
}

void say_evaluation(TrainingRun& run, const Evaluation& now) {
  if (run.task.rewards.empty()) return;
  run.result.trained = trained_change(run, now);
  std::string told =
      data::formatted("evaluation: trained rewards %+.3f deviations from ", *run.result.trained) +
      run.hooks.base_name;
  if (now.mask.size(0) > 0)
    told += data::formatted(", KL %.2f nats", now.kl.mv(now.mask).mean().item<double>());
  run.reporter.say(told);
}

// While it lives, the parameters are their moving average, where there is one.
struct EmaScope {
  explicit EmaScope(train::TrainState& learned) : state(learned) { swap(); }
  ~EmaScope() { swap(); }
  void swap() { train::swap_ema(state.ema, state.params); }
  train::TrainState& state;
};

Evaluation draw_averaged(TrainingRun& run) {
  const EmaScope averaged(run.optimizer.state);
  const ActivityGuard working(run.options.ranks);
  return run.hooks.draw_now(run);
}

// True when the run should stop.
bool evaluate_now(TrainingRun& run) {
  const Evaluation now = draw_averaged(run);
  const bool finite =
      now.features.isfinite().all().item<bool>() && now.kl.isfinite().all().item<bool>();
  if (!finite && run.good) {
    run.reporter.say("evaluation: the images are not finite: back to the last good parameters");
    restore(*run.good, run.optimizer);
    run.good.reset();
    ++run.result.lost_epochs;
    return evaluate_now(run);
  }
  run.progress.evaluated = true;
  const auto verdict = judged(run, now);
  MetricValues figures = figures_of(run, now);
  if (verdict) figures.insert(figures.end(), verdict->figures.begin(), verdict->figures.end());
  log_metrics(run, figures, true);
  write_set(run, "step-" + std::to_string(run.optimizer.step), now, run.hooks.caption);
  say_evaluation(run, now);
  return verdict && follow(run, *verdict);
}

void evaluate_base(TrainingRun& run, bool resumed) {
  {
    const ActivityGuard working(run.options.ranks);
    run.base = run.hooks.draw_base(run);
  }
  if (!resumed) {
    log_metrics(run, figures_of(run, run.base), true);
    write_set(run, "base", run.base, run.hooks.base_caption);
  }
  begin_guard(run, run.base, resumed);
  run.base.images = at::Tensor();
}

// What the driver's monitor says of the card; nothing on the CPU.
void append_gpu_figures(MetricValues& figures, at::Device device) {
  if (!device.is_cuda()) return;
  const auto usage = data::gpu_usage(std::max<int64_t>(device.index(), 0));
  if (!usage) return;
  figures.emplace_back("gpu/utilization", usage->utilization);
  figures.emplace_back("gpu/memory", usage->memory);
}

// The bits of all weights, added up.
std::string sum_of_bits(diffusion::Network unet) {
  int64_t sum = 0;
  for_each_tensor(unet, "", [&](const std::string&, at::Tensor& tensor) {
    const at::Tensor flat = tensor.detach().contiguous().view(-1);
    const bool half = flat.element_size() == 2;
    sum += flat.view(half ? at::kShort : at::kInt).sum(at::kLong).item<int64_t>();
  });
  return std::to_string(sum);
}

// The checkpoint to go on from, the same for all ranks.
std::optional<fs::path> agreed_checkpoint(const TrainingRun& run) {
  const auto& options = run.options;
  std::optional<fs::path> checkpoint;
  if (!options.resume_from.empty())
    checkpoint = find_checkpoint(options.folder, options.resume_from);
  check_equal_on_ranks(options.ranks, "resume_from_checkpoint",
                       checkpoint ? checkpoint->filename().string() : "none",
                       "all ranks read output_dir: keep it in a folder that they share");
  return checkpoint;
}

void open_folder(TrainingRun& run, bool resumed) {
  const auto& options = run.options;
  run.lock =
      open_run(options.folder, options.record, run.task.config_text, !options.resume_from.empty());
  for (const char* lines : kLineFiles) {
    const auto bytes = run.progress.line_bytes.find(lines);
    if (bytes != run.progress.line_bytes.end())
      data::cut_metrics(options.folder / lines, bytes->second);
    data::truncate_metrics(options.folder / lines, resumed ? run.optimizer.step : -1);
  }
  run.events = data::start_events(options.folder, data::now());
}

// Opens the folder, and a checkpoint where one is asked for. True when one was loaded.
bool open(TrainingRun& run) {
  const ProcessGroup& ranks = run.options.ranks;
  const auto checkpoint = agreed_checkpoint(run);
  if (checkpoint) load_checkpoint(*checkpoint, run);
  set_braked_rate(run);
  if (ranks.count > 1)
    check_equal_on_ranks(ranks, "model: sum of the weights' bits", sum_of_bits(run.unet),
                         "the ranks read different files: copy the model of rank 0");
  if (writes(run)) open_folder(run, checkpoint.has_value());
  if (checkpoint) {
    run.reporter.say("resumed from " + checkpoint->string() +
                     data::formatted(": epoch %.0f, step %.0f",
                                     static_cast<double>(run.progress.epoch),
                                     static_cast<double>(run.optimizer.step)));
  }
  return checkpoint.has_value();
}

void save(TrainingRun& run) {
  train::TrainState& state = run.optimizer.state;
  gather_moments(run.optimizer.moments, state.params, state.adamw);
  if (writes(run)) save_checkpoint(run);
  drop_unowned_moments(run.optimizer.moments, state.adamw);
}

// Where a round began.
struct RoundStart {
  RunProgress progress;
  int64_t step = 0;
  at::Tensor generator;
};

// All as it was where the round began.
void rollback(TrainingRun& run, const RoundStart& start) {
  Optimizer& optimizer = run.optimizer;
  // Without a copy made in this round, no parameter was changed in it.
  if (run.kept_since_round) restore(*run.good, optimizer);
  train::zero_grad(optimizer.state.params);
  run.progress = start.progress;
  optimizer.step = start.step;
  optimizer.state.generator.set_state(start.generator);
}

// One round. When a rank is lost or memory runs out in it, all is put back to where it began.
void take_round(TrainingRun& run, const std::function<void()>& round) {
  const Optimizer& optimizer = run.optimizer;
  const RoundStart start{run.progress, optimizer.step, optimizer.state.generator.get_state()};
  run.kept_since_round = false;
  try {
    const ActivityGuard working(run.options.ranks);
    round();
  } catch (const RankFailed&) {
    rollback(run, start);
    throw;
  } catch (const std::exception& error) {
    if (data::is_out_of_memory(error)) rollback(run, start);
    throw;
  }
  run.progress.evaluated = false;
}

// True when the run should stop.
bool after_round(TrainingRun& run, bool evaluates) {
  const TrainingConfig& config = run.config;
  std::string& stopped = run.result.stopped;
  const bool asked = std::exchange(run.asked_evaluation, false);
  const bool due = asked || (config.eval_every > 0 && run.progress.epoch % config.eval_every == 0);
  if (due && evaluates && evaluate_now(run)) stopped = "the guard: " + run.result.verdict->kind;
  if (any_rank(run.options.ranks, run.options.stop_requested())) stopped = "asked to";
  return !stopped.empty();
}

void take_rounds(TrainingRun& run, int64_t rounds, const std::function<void()>& round) {
  const TrainingConfig& config = run.config;
  const bool resumed = open(run), evaluates = !run.eval_set.items.empty();
  say_guard(run);
  if (evaluates) evaluate_base(run, resumed);
  if (writes(run)) begin_events(run, evaluates ? figures_of(run, run.base) : MetricValues{});
  int64_t saved_at = run.optimizer.step;
  run.result.guard_acts = guard_acts(run);
  bool stop = is_rejected(run.result);  // by the verdict in the checkpoint
  if (stop) run.result.stopped = "the guard: " + run.result.verdict->kind;
  while (run.progress.epoch < rounds && !stop) {
    take_round(run, round);
    stop = after_round(run, evaluates);
    if (config.checkpointing_steps > 0 &&
        run.optimizer.step - saved_at >= config.checkpointing_steps) {
      save(run);
      saved_at = run.optimizer.step;
    }
  }
  if (!run.progress.evaluated && evaluates && run.result.stopped != "asked to") evaluate_now(run);
  save(run);
}

// What the run leaves where the guard rejects its end.
void leave_accepted(TrainingRun& run) {
  const int64_t step = run.progress.watch.accepted_step;
  if (restore_accepted(run)) {
    run.reporter.say("guard: the run leaves the model of step " + std::to_string(step) +
                     (step == 0 ? ", the start: nothing after it was accepted"
                                : ", the last that was accepted"));
  } else {
    run.reporter.say("guard: no accepted model is kept: the run leaves its last one");
  }
}

// "; saved after epoch 3 in <folder>: go on with ..."; "": there is nothing to save here. Moments
// that are shared out are not whole any more: the last checkpoint stands.
std::string save_what_is_done(TrainingRun& run) {
  const bool begun = run.progress.epoch > 0 && fs::exists(run.options.folder / "run.json");
  if (!begun || !run.optimizer.moments.owner.empty()) return "";
  const fs::path saved = save_checkpoint(run);
  return data::formatted("; saved after epoch %.0f in ", static_cast<double>(run.progress.epoch)) +
         saved.string() + ": go on with --resume_from_checkpoint latest";
}

// What is left to do when a rank was lost: the rounds done are kept.
[[noreturn]] void end_without(TrainingRun& run, const RankFailed& lost) {
  if (!lost.deputy) throw lost;
  throw RankFailed(lost.what() + save_what_is_done(run), lost.exit_code, lost.deputy);
}

// The same when memory ran out.
[[noreturn]] void end_for_memory(TrainingRun& run, const std::exception& error) {
  const TrainingConfig& config = run.config;
  const std::string saved = writes(run) ? save_what_is_done(run) : "";
  throw data::BadInput(run.hooks.command + ": out of memory (" + data::memory_fault(error) +
                       "); lower " + run.hooks.memory_options + " or --resolution" +
                       (config.gradient_checkpointing ? "" : ", turn on --gradient_checkpointing") +
                       (config.train_full ? ", train adapters (--train lora)" : "") + saved);
}

}  // namespace

TrainingRun make_training_run(const TrainingTask& task,
                              const TrainingConfig& config,
                              const RunOptions& options,
                              const Reporter& reporter,
                              const RunHooks& hooks,
                              int64_t updates) {
  check_guard(task, config);
  TrainingRun run{.task = task,
                  .config = config,
                  .options = options,
                  .reporter = reporter,
                  .hooks = hooks,
                  .unet = task.unet,
                  .optimizer = {}};
  train::Params params =
      hooks.parameters ? hooks.parameters(run.unet) : trained_parameters(run.unet, config);
  run.optimizer = make_optimizer(config, std::move(params), updates, options.ranks);
  run.progress.started = data::now();
  run.eval_set = make_eval_set(task, config.eval_prompts, config.eval_images, config.eval_seed);
  return run;
}

void log_metrics(TrainingRun& run, MetricValues figures, bool evaluation) {
  if (!writes(run)) return;
  if (!evaluation) append_gpu_figures(figures, run.task.device);
  const data::Metrics metrics{run.optimizer.step, run.progress.epoch, data::now(), evaluation,
                              std::move(figures)};
  data::append_metrics(run.options.folder / "metrics.jsonl", metrics);
  data::append_events(run.events, metrics);
}

void save_snapshot(TrainingRun& run) {
  run.good.reset();  // two at once would be a model's size too much
  run.good = take_snapshot(run.optimizer);
  run.kept_since_round = true;
}

void restore_snapshot(TrainingRun& run, const std::string& where) {
  if (!run.good)
    throw data::BadInput("model: expected finite images, found values that are not, in " + where +
                         "; check the checkpoint");
  run.reporter.say(data::formatted("epoch %.0f: ", static_cast<double>(run.progress.epoch)) +
                   where + " is not finite: back to the last good parameters");
  restore(*run.good, run.optimizer);
  ++run.result.lost_epochs;
}

RunResult run_training(TrainingRun& run, int64_t rounds, const std::function<void()>& round) {
  RunResult& result = run.result;
  prepare_guard(run, rounds);
  try {
    take_rounds(run, rounds, round);
  } catch (const RankFailed& lost) {
    end_without(run, lost);
  } catch (const std::exception& error) {
    if (!data::is_out_of_memory(error)) throw;
    end_for_memory(run, error);
  }
  result.epochs = run.progress.epoch;
  result.steps = run.optimizer.step;
  if (is_rejected(result)) leave_accepted(run);
  if (writes(run)) export_model(run.options.folder, run);
  if (writes(run)) write_model_card(run);
  check_written_lora(run);
  if (writes(run)) {
    end_events(run);
    say_where_it_goes(run);
  }
  return result;
}

}  // namespace finetune
