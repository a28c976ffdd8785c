#include "finetune/session.hpp"

#include <ATen/ATen.h>

#include "data/error.hpp"
#include "data/metrics.hpp"
#include "finetune/epoch.hpp"
#include "finetune/scale.hpp"
#include "finetune/trainable.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

void write_set(Session& session,
               const std::string& name,
               const Evaluation& evaluation,
               const SampleText& words) {
  write_samples(session.options.folder / "samples" / name, session.task, session.eval_set,
                evaluation, words);
}

Figures figures_of(const Session& session, const Evaluation& evaluation) {
  return evaluation_figures(session.task, session.eval_set, evaluation, session.base,
                            combine_options(session.config));
}

// True when the run should stop.
bool judge(Session& session, const Evaluation& now) {
  const Standing here = standing(session.task, session.eval_set, now, session.base);
  const Verdict verdict = observe(session.progress.watch, here, session.learner.step);
  session.result.last = here;
  session.result.evaluated = true;
  std::string told =
      line("evaluation: trained rewards %+.3f, held-out %+.3f standard deviations from ",
           here.trained, here.held_out) +
      session.base_name;
  if (now.mask.size(0) > 0)
    told += line(", KL %.2f nats", now.kl.mv(now.mask).mean().item<double>());
  session.reporter.say(told);
  if (verdict.best) export_model(session.options.folder / "best", session);
  if (!verdict.hacking) return false;
  session.reporter.say(
      "warning: the trained reward rises while the held-out rewards fall: it is being gamed; best/ "
      "keeps step " +
      std::to_string(session.progress.watch.best_step));
  return session.config.stop_after_hacking > 0 &&
         session.progress.watch.in_a_row >= session.config.stop_after_hacking;
}

bool evaluate_now(Session& session) {
  train::TrainState& state = session.learner.state;
  train::swap_ema(state.ema, state.params);
  const Evaluation now = session.draw_now();
  train::swap_ema(state.ema, state.params);
  const bool finite =
      now.features.isfinite().all().item<bool>() && now.kl.isfinite().all().item<bool>();
  if (!finite && session.good) {
    session.reporter.say("evaluation: the images are not finite: back to the last good parameters");
    restore(*session.good, session.learner);
    session.good.reset();
    ++session.result.lost_epochs;
    return evaluate_now(session);
  }
  session.evaluated = true;
  log_figures(session, figures_of(session, now), true);
  write_set(session, "step-" + std::to_string(session.learner.step), now, session.words);
  return judge(session, now);
}

void evaluate_base(Session& session, bool resumed) {
  session.base = session.draw_base();
  if (!resumed) {
    log_figures(session, figures_of(session, session.base), true);
    write_set(session, "base", session.base, session.base_words);
  }
  session.base.images = at::Tensor();
}

// Opens the folder, and a checkpoint where one is asked for. True when one was loaded.
bool open(Session& session) {
  const auto& options = session.options;
  std::optional<fs::path> checkpoint;
  if (!options.resume_from.empty())
    checkpoint = find_checkpoint(options.folder, options.resume_from);
  if (checkpoint) load_checkpoint(*checkpoint, session);
  open_run(options.folder, options.record, session.task.config_text, !options.resume_from.empty());
  data::truncate_metrics(options.folder / "metrics.jsonl", checkpoint ? session.learner.step : -1);
  session.events = data::start_events(options.folder, data::now());
  if (checkpoint) {
    session.reporter.say("resumed from " + checkpoint->string() +
                         line(": epoch %.0f, step %.0f",
                              static_cast<double>(session.progress.epoch),
                              static_cast<double>(session.learner.step)));
  }
  return checkpoint.has_value();
}

}  // namespace

Session make_session(const Task& task,
                     const TrainingConfig& config,
                     const RunOptions& options,
                     const Reporter& reporter,
                     int64_t updates) {
  Session session{.task = task,
                  .config = config,
                  .options = options,
                  .reporter = reporter,
                  .command = {},
                  .unet = task.unet,
                  .learner = {}};
  session.learner = make_learner(config, trained_parameters(session.unet, config), updates);
  session.progress.started = data::now();
  session.eval_set = make_eval_set(task, config.eval_prompts, config.eval_images, config.eval_seed);
  return session;
}

void log_figures(Session& session, const Figures& figures, bool evaluation) {
  const data::Metrics metrics{session.learner.step, session.progress.epoch, data::now(), evaluation,
                              figures};
  data::append_metrics(session.options.folder / "metrics.jsonl", metrics);
  data::append_events(session.events, metrics);
}

void keep_good(Session& session) {
  session.good.reset();  // two at once would be a model's size too much
  session.good = take_snapshot(session.learner);
}

void back_to_good(Session& session, const std::string& where) {
  if (!session.good)
    throw data::BadInput("model: expected finite images, found values that are not, in " + where +
                         "; check the checkpoint");
  session.reporter.say(line("epoch %.0f: ", static_cast<double>(session.progress.epoch)) + where +
                       " is not finite: back to the last good parameters");
  restore(*session.good, session.learner);
  ++session.result.lost_epochs;
}

RunResult run_session(Session& session, int64_t rounds, const std::function<void()>& round) {
  const TrainingConfig& config = session.config;
  RunResult& result = session.result;
  const bool resumed = open(session), evaluates = !session.eval_set.items.empty();
  if (evaluates) evaluate_base(session, resumed);
  int64_t saved_at = session.learner.step;
  while (session.progress.epoch < rounds && result.stopped.empty()) {
    round();
    session.evaluated = false;
    const bool due = config.eval_every > 0 && session.progress.epoch % config.eval_every == 0;
    if (due && evaluates && evaluate_now(session)) result.stopped = "the reward is being gamed";
    if (session.options.stop_requested()) result.stopped = "asked to";
    if (config.checkpointing_steps > 0 &&
        session.learner.step - saved_at >= config.checkpointing_steps) {
      save_checkpoint(session);
      saved_at = session.learner.step;
    }
  }
  if (!session.evaluated && evaluates && result.stopped != "asked to") evaluate_now(session);
  save_checkpoint(session);
  export_model(session.options.folder, session);
  result.epochs = session.progress.epoch;
  result.steps = session.learner.step;
  if (evaluates) {
    result.best_step = session.progress.watch.best_step;
    result.best = session.progress.watch.best;
  }
  return result;
}

}  // namespace finetune
