#include "finetune/run/guarding.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/strings.hpp"
#include "data/storage/replace_folder.hpp"
#include "data/weights/safetensors.hpp"
#include "finetune/guard/image_statistics.hpp"
#include "finetune/guard/records.hpp"
#include "finetune/run/guard_control.hpp"
#include "rewards/combine/diversity.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAccepted = "accepted";
constexpr const char* kParameters = "parameters.safetensors";
constexpr const char* kStep = "step";
constexpr double kBrakedRate = 0.5;  // of the learning rate

std::vector<int64_t> prompts_of(const EvalSet& set) {
  std::vector<int64_t> ids;
  for (const auto& item : set.items) ids.push_back(item.prompt_id);
  return ids;
}

// The columns of these names. -> [I, names]
at::Tensor columns(const Evaluation& evaluation, const std::vector<std::string>& names) {
  std::vector<int64_t> places;
  for (const auto& name : names) {
    const auto found = std::find(evaluation.names.begin(), evaluation.names.end(), name);
    TORCH_CHECK(found != evaluation.names.end(), "guard: ", name, " is not evaluated");
    places.push_back(found - evaluation.names.begin());
  }
  return evaluation.rewards.index_select(1, at::tensor(places, at::kLong));
}

guard::Measures measures_of(const TrainingRun& run, const Evaluation& evaluation) {
  const auto ids = prompts_of(run.eval_set);
  guard::Measures measures{.trained = columns(evaluation, run.guarded.trained),
                           .held_out = columns(evaluation, run.guarded.held_out),
                           .statistics = guard::measure_statistics(evaluation.images),
                           .nearest = guard::nearest_elsewhere(evaluation.features, ids)};
  const double apart = rewards::mean_diversity(evaluation.features, ids);
  if (apart > 0) measures.diversity = apart;
  if (evaluation.mask.size(0) > 0)
    measures.kl_nats = evaluation.kl.mv(evaluation.mask).mean().item<double>();
  if (evaluation.disagreement.defined())
    measures.disagreement = evaluation.disagreement.mean().item<double>();
  return measures;
}

fs::path accepted_folder(const TrainingRun& run) { return run.options.folder / kAccepted; }

// The parameters as they were evaluated, exactly: export_model rounds, and writes what others read.
void write_parameters(const fs::path& file, TrainingRun& run, int64_t step) {
  train::TrainState& state = run.optimizer.state;
  data::Weights weights;
  train::swap_ema(state.ema, state.params);
  for (const auto& param : state.params) weights.tensors[param.name] = param.value.detach();
  weights.metadata[kStep] = std::to_string(step);
  data::write_safetensors(file, weights);
  train::swap_ema(state.ema, state.params);
}

// accepted/: the model for others, and where the guard may go back to it, its exact parameters. Of
// the start only the latter.
void write_accepted(TrainingRun& run, int64_t step, bool is_start) {
  if (run.options.ranks.rank != 0 || (is_start && !guard_acts(run))) return;
  const fs::path folder = accepted_folder(run), temporary = folder.string() + ".tmp";
  fs::remove_all(temporary);
  if (!is_start) export_model(temporary, run);
  if (guard_acts(run)) write_parameters(temporary / kParameters, run, step);
  data::replace_folder(temporary, folder);
}

void brake(TrainingRun& run) {
  const bool back = restore_accepted(run);
  run.progress.watch.braked = true;
  run.progress.watch.epochs.clear();  // of the parameters that were left
  set_braked_rate(run);
  run.good.reset();
  run.reporter.say("guard: brake: " +
                   (back ? "back to the parameters of step " +
                               std::to_string(run.progress.watch.accepted_step) + ", and on"
                         : std::string("the accepted parameters are not kept: on from here")) +
                   " at half the learning rate; a run brakes once");
}

}  // namespace

bool is_guarded(const TrainingRun& run) {
  return run.config.guard != "off" && !run.eval_set.items.empty();
}

bool guard_acts(const TrainingRun& run) {
  const std::string& mode = run.config.guard;
  return is_guarded(run) && (mode == "on" || (mode == "auto" && !run.guarded.held_out.empty()));
}

void check_guard(const TrainingTask& task, const TrainingConfig& config) {
  if (config.guard != "on") return;
  if (config.eval_prompts == 0 || (task.seen.empty() && task.unseen.empty()))
    throw data::BadInput(
        "guard: expected evaluations to judge, found eval_prompts = 0; raise it, or leave the "
        "guard out");
  if (task.guard_rewards.empty())
    throw data::BadInput(
        "guard: expected a held-out reward that shares no weights with the trained ones, found "
        "none; name one with --guard_rewards, or take --guard warn, which judges KL, diversity and "
        "the images alone");
}

void prepare_guard(TrainingRun& run, int64_t rounds) {
  const TrainingConfig& config = run.config;
  guard::GuardOptions& options = run.guarded;
  for (const auto& [reward, weight] : run.task.rewards) options.trained.push_back(reward.info.name);
  options.held_out = run.task.guard_rewards;
  const auto judges = guard_rewards_of(run.task);
  for (size_t h = 0; h < judges.size(); ++h) {
    if (judges[h].reward.info.needs_prompt) options.read_prompts.push_back(static_cast<int64_t>(h));
  }
  options.tolerance = config.guard_tolerance;
  if (config.guard_kl > 0)
    options.kl_budget = config.guard_kl;
  else if (run.hooks.kl_budget > 0)
    options.kl_budget = run.hooks.kl_budget;
  options.epochs = rounds;
  options.evaluations =
      config.eval_every > 0 ? (rounds + config.eval_every - 1) / config.eval_every : 1;
  if (run.hooks.shows_epochs) options.evaluations += guard::kEarlyEvaluations;
  if (is_guarded(run) && !config.guard_control.empty()) check_control(run, rounds);
}

void say_guard(const TrainingRun& run) {
  if (!is_guarded(run)) return;
  const auto& held_out = run.guarded.held_out;
  run.reporter.say("guard: " +
                   (held_out.empty()
                        ? "no held-out reward: it judges KL, diversity and the images alone, and "
                          "only warns; name one with --guard_rewards"
                        : "judges by " + data::joined(held_out, ", ")));
}

void begin_guard(TrainingRun& run, const Evaluation& base, bool resumed) {
  guard::GuardState& state = run.progress.watch;
  if (!is_guarded(run) || !run.hooks.base_is_start) return;
  if (resumed && state.start) return;
  guard::judge(state, run.guarded, measures_of(run, base), prompts_of(run.eval_set), 0);
  if (resumed)
    state.accepted_step = -1;  // of a checkpoint without a guard: its start is not kept
  else
    write_accepted(run, 0, /*is_start=*/true);
}

void show_epoch(TrainingRun& run,
                const at::Tensor& combined,
                const at::Tensor& held_out,
                const std::vector<int64_t>& prompt_ids) {
  if (!is_guarded(run)) return;
  run.asked_evaluation =
      guard::observe_epoch(run.progress.watch, run.guarded, combined, held_out, prompt_ids);
  if (run.asked_evaluation)
    run.reporter.say(
        "guard: on the training images the held-out rewards fall where the trained one rises: "
        "evaluating now");
}

void set_braked_rate(TrainingRun& run) {
  if (run.progress.watch.braked)
    run.optimizer.learning_rate = run.config.learning_rate * kBrakedRate;
}

std::optional<guard::Verdict> judged(TrainingRun& run, const Evaluation& now) {
  if (!is_guarded(run)) return std::nullopt;
  const int64_t step = run.optimizer.step;
  const guard::Measures measures = measures_of(run, now);
  std::optional<guard::Reference> control;
  if (!run.config.guard_control.empty()) control = control_at(run, run.progress.epoch);
  return guard::judge(run.progress.watch, run.guarded, measures, prompts_of(run.eval_set), step,
                      control ? &*control : nullptr);
}

bool follow(TrainingRun& run, const guard::Verdict& verdict) {
  run.result.verdict = verdict;
  run.result.guard_acts = guard_acts(run);
  run.reporter.say(guard::verdict_text(verdict));
  if (run.options.ranks.rank == 0)
    data::append_line(run.options.folder / "guard.jsonl", guard::verdict_line(verdict));
  if (verdict.state == guard::State::kFine) write_accepted(run, verdict.step, /*is_start=*/false);
  if (!guard_acts(run)) return false;
  if (verdict.state == guard::State::kBrake) brake(run);
  return verdict.state == guard::State::kStop;
}

bool is_rejected(const RunResult& result) {
  if (!result.guard_acts || !result.verdict) return false;
  const guard::Verdict& last = *result.verdict;
  return last.state == guard::State::kStop ||
         (last.state == guard::State::kBrake && last.step == result.steps);
}

bool restore_accepted(TrainingRun& run) {
  const fs::path file = accepted_folder(run) / kParameters;
  if (!fs::exists(file)) return false;
  const data::Weights kept = data::read_safetensors(file);
  const auto step = kept.metadata.find(kStep);
  if (step == kept.metadata.end() ||
      step->second != std::to_string(run.progress.watch.accepted_step))
    return false;
  const at::NoGradGuard no_gradient;
  train::TrainState& state = run.optimizer.state;
  for (size_t i = 0; i < state.params.size(); ++i) {
    const auto found = kept.tensors.find(state.params[i].name);
    TORCH_CHECK(found != kept.tensors.end(), file.string(), ": no ", state.params[i].name);
    at::Tensor value = state.params[i].value.detach();
    value.copy_(found->second);
    if (!state.ema.shadow.empty()) state.ema.shadow[i].copy_(found->second);
  }
  for (auto* moments : {&state.adamw.exp_avg, &state.adamw.exp_avg_sq}) {
    for (auto& tensor : *moments) {
      if (tensor.defined()) tensor.zero_();
    }
  }
  state.adamw.step.zero_();
  return true;
}

}  // namespace finetune
