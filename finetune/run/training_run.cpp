#include "finetune/run/training_run.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/device/memory.hpp"
#include "data/train/metrics.hpp"
#include "finetune/run/reward_combination.hpp"
#include "finetune/run/trained_parameters.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

bool writes(const TrainingRun& session) { return session.options.ranks.rank == 0; }

void write_set(TrainingRun& session,
               const std::string& name,
               const Evaluation& evaluation,
               const SampleCaption& words) {
  if (!writes(session)) return;
  write_samples(session.options.folder / "samples" / name, session.task, session.eval_set,
                evaluation, words);
}

MetricValues figures_of(const TrainingRun& session, const Evaluation& evaluation) {
  return evaluation_figures(session.task, session.eval_set, evaluation, session.base,
                            combine_options(session.config));
}

// True when the run should stop.
bool judge(TrainingRun& session, const Evaluation& now) {
  const EvalGain here = standing(session.task, session.eval_set, now, session.base);
  const HackingState verdict = observe(session.progress.watch, here, session.optimizer.step);
  session.result.last = here;
  session.result.evaluated = true;
  std::string told =
      data::formatted("evaluation: trained rewards %+.3f, held-out %+.3f standard deviations from ",
                      here.trained, here.held_out) +
      session.base_name;
  if (now.mask.size(0) > 0)
    told += data::formatted(", KL %.2f nats", now.kl.mv(now.mask).mean().item<double>());
  session.reporter.say(told);
  if (verdict.best && writes(session)) export_model(session.options.folder / "best", session);
  if (!verdict.hacking) return false;
  session.reporter.say(
      "warning: the trained reward rises while the held-out rewards fall: it is being gamed; best/ "
      "keeps step " +
      std::to_string(session.progress.watch.best_step));
  return session.config.stop_after_hacking > 0 &&
         session.progress.watch.in_a_row >= session.config.stop_after_hacking;
}

// While it lives, the parameters are their moving average, where there is one.
struct Averaged {
  explicit Averaged(train::TrainState& learned) : state(learned) { swap(); }
  ~Averaged() { swap(); }
  void swap() { train::swap_ema(state.ema, state.params); }
  train::TrainState& state;
};

Evaluation draw_averaged(TrainingRun& session) {
  const Averaged averaged(session.optimizer.state);
  const ActivityGuard working(session.options.ranks);
  return session.draw_now();
}

bool evaluate_now(TrainingRun& session) {
  const Evaluation now = draw_averaged(session);
  const bool finite =
      now.features.isfinite().all().item<bool>() && now.kl.isfinite().all().item<bool>();
  if (!finite && session.good) {
    session.reporter.say("evaluation: the images are not finite: back to the last good parameters");
    restore(*session.good, session.optimizer);
    session.good.reset();
    ++session.result.lost_epochs;
    return evaluate_now(session);
  }
  session.evaluated = true;
  log_metrics(session, figures_of(session, now), true);
  write_set(session, "step-" + std::to_string(session.optimizer.step), now, session.words);
  return judge(session, now);
}

void evaluate_base(TrainingRun& session, bool resumed) {
  {
    const ActivityGuard working(session.options.ranks);
    session.base = session.draw_base();
  }
  if (!resumed) {
    log_metrics(session, figures_of(session, session.base), true);
    write_set(session, "base", session.base, session.base_caption);
  }
  session.base.images = at::Tensor();
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
std::optional<fs::path> agreed_checkpoint(const TrainingRun& session) {
  const auto& options = session.options;
  std::optional<fs::path> checkpoint;
  if (!options.resume_from.empty())
    checkpoint = find_checkpoint(options.folder, options.resume_from);
  check_equal_on_ranks(options.ranks, "resume_from_checkpoint",
                       checkpoint ? checkpoint->filename().string() : "none",
                       "all ranks read output_dir: keep it in a folder that they share");
  return checkpoint;
}

void open_folder(TrainingRun& session, bool resumed) {
  const auto& options = session.options;
  session.lock = open_run(options.folder, options.record, session.task.config_text,
                          !options.resume_from.empty());
  data::truncate_metrics(options.folder / "metrics.jsonl", resumed ? session.optimizer.step : -1);
  session.events = data::start_events(options.folder, data::now());
}

// Opens the folder, and a checkpoint where one is asked for. True when one was loaded.
bool open(TrainingRun& session) {
  const ProcessGroup& ranks = session.options.ranks;
  const auto checkpoint = agreed_checkpoint(session);
  if (checkpoint) load_checkpoint(*checkpoint, session);
  if (ranks.count > 1)
    check_equal_on_ranks(ranks, "model: sum of the weights' bits", sum_of_bits(session.unet),
                         "the ranks read different files: copy the model of rank 0");
  if (writes(session)) open_folder(session, checkpoint.has_value());
  if (checkpoint) {
    session.reporter.say("resumed from " + checkpoint->string() +
                         data::formatted(": epoch %.0f, step %.0f",
                                         static_cast<double>(session.progress.epoch),
                                         static_cast<double>(session.optimizer.step)));
  }
  return checkpoint.has_value();
}

void save(TrainingRun& session) {
  train::TrainState& state = session.optimizer.state;
  gather_moments(session.optimizer.moments, state.params, state.adamw);
  if (writes(session)) save_checkpoint(session);
  drop_unowned_moments(session.optimizer.moments, state.adamw);
}

// Where a round began.
struct RoundStart {
  RunProgress progress;
  int64_t step = 0;
  at::Tensor generator;
};

// All as it was where the round began.
void rollback(TrainingRun& session, const RoundStart& start) {
  Optimizer& optimizer = session.optimizer;
  // Without a copy made in this round, no parameter was changed in it.
  if (session.kept_since_round) restore(*session.good, optimizer);
  train::zero_grad(optimizer.state.params);
  session.progress = start.progress;
  optimizer.step = start.step;
  optimizer.state.generator.set_state(start.generator);
}

// One round. When a rank is lost or memory runs out in it, all is put back to where it began.
void take_round(TrainingRun& session, const std::function<void()>& round) {
  const Optimizer& optimizer = session.optimizer;
  const RoundStart start{session.progress, optimizer.step, optimizer.state.generator.get_state()};
  session.kept_since_round = false;
  try {
    const ActivityGuard working(session.options.ranks);
    round();
  } catch (const RankFailed&) {
    rollback(session, start);
    throw;
  } catch (const std::exception& error) {
    if (data::is_out_of_memory(error)) rollback(session, start);
    throw;
  }
  session.evaluated = false;
}

// True when the run should stop.
bool after_round(TrainingRun& session, bool evaluates) {
  const TrainingConfig& config = session.config;
  std::string& stopped = session.result.stopped;
  const bool due = config.eval_every > 0 && session.progress.epoch % config.eval_every == 0;
  if (due && evaluates && evaluate_now(session)) stopped = "the reward is being gamed";
  if (any_rank(session.options.ranks, session.options.stop_requested())) stopped = "asked to";
  return !stopped.empty();
}

void take_rounds(TrainingRun& session, int64_t rounds, const std::function<void()>& round) {
  const TrainingConfig& config = session.config;
  const bool resumed = open(session), evaluates = !session.eval_set.items.empty();
  if (evaluates) evaluate_base(session, resumed);
  int64_t saved_at = session.optimizer.step;
  bool stop = false;
  while (session.progress.epoch < rounds && !stop) {
    take_round(session, round);
    stop = after_round(session, evaluates);
    if (config.checkpointing_steps > 0 &&
        session.optimizer.step - saved_at >= config.checkpointing_steps) {
      save(session);
      saved_at = session.optimizer.step;
    }
  }
  if (!session.evaluated && evaluates && session.result.stopped != "asked to")
    evaluate_now(session);
  save(session);
}

// "; saved after epoch 3 in <folder>: go on with ..."; "": there is nothing to save here. Moments
// that are shared out are not whole any more: the last checkpoint stands.
std::string save_what_is_done(TrainingRun& session) {
  const bool begun = session.progress.epoch > 0 && fs::exists(session.options.folder / "run.json");
  if (!begun || !session.optimizer.moments.owner.empty()) return "";
  const fs::path saved = save_checkpoint(session);
  return data::formatted("; saved after epoch %.0f in ",
                         static_cast<double>(session.progress.epoch)) +
         saved.string() + ": go on with --resume_from_checkpoint latest";
}

// What is left to do when a rank was lost: the rounds done are kept.
[[noreturn]] void end_without(TrainingRun& session, const RankFailed& lost) {
  if (!lost.deputy) throw lost;
  throw RankFailed(lost.what() + save_what_is_done(session), lost.exit_code, lost.deputy);
}

// The same when memory ran out.
[[noreturn]] void end_for_memory(TrainingRun& session, const std::exception& error) {
  const TrainingConfig& config = session.config;
  const std::string saved = writes(session) ? save_what_is_done(session) : "";
  throw data::BadInput(session.command + ": out of memory (" + data::memory_fault(error) +
                       "); lower " + session.memory_options + " or --resolution" +
                       (config.gradient_checkpointing ? "" : ", turn on --gradient_checkpointing") +
                       (config.train_full ? ", train adapters (--train lora)" : "") + saved);
}

}  // namespace

TrainingRun make_training_run(const Task& task,
                              const TrainingConfig& config,
                              const RunOptions& options,
                              const Reporter& reporter,
                              int64_t updates) {
  TrainingRun session{.task = task,
                      .config = config,
                      .options = options,
                      .reporter = reporter,
                      .command = {},
                      .unet = task.unet,
                      .optimizer = {}};
  session.optimizer =
      make_optimizer(config, trained_parameters(session.unet, config), updates, options.ranks);
  session.progress.started = data::now();
  session.eval_set = make_eval_set(task, config.eval_prompts, config.eval_images, config.eval_seed);
  return session;
}

void log_metrics(TrainingRun& session, const MetricValues& figures, bool evaluation) {
  if (!writes(session)) return;
  const data::Metrics metrics{session.optimizer.step, session.progress.epoch, data::now(),
                              evaluation, figures};
  data::append_metrics(session.options.folder / "metrics.jsonl", metrics);
  data::append_events(session.events, metrics);
}

void save_snapshot(TrainingRun& session) {
  session.good.reset();  // two at once would be a model's size too much
  session.good = take_snapshot(session.optimizer);
  session.kept_since_round = true;
}

void restore_snapshot(TrainingRun& session, const std::string& where) {
  if (!session.good)
    throw data::BadInput("model: expected finite images, found values that are not, in " + where +
                         "; check the checkpoint");
  session.reporter.say(
      data::formatted("epoch %.0f: ", static_cast<double>(session.progress.epoch)) + where +
      " is not finite: back to the last good parameters");
  restore(*session.good, session.optimizer);
  ++session.result.lost_epochs;
}

RunResult run_training(TrainingRun& session, int64_t rounds, const std::function<void()>& round) {
  RunResult& result = session.result;
  try {
    take_rounds(session, rounds, round);
  } catch (const RankFailed& lost) {
    end_without(session, lost);
  } catch (const std::exception& error) {
    if (!data::is_out_of_memory(error)) throw;
    end_for_memory(session, error);
  }
  if (writes(session)) export_model(session.options.folder, session);
  result.epochs = session.progress.epoch;
  result.steps = session.optimizer.step;
  if (!session.eval_set.items.empty()) {
    result.best_step = session.progress.watch.best_step;
    result.best = session.progress.watch.best;
  }
  return result;
}

}  // namespace finetune
