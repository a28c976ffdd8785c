#pragma once

// A training run around its rounds: the folder, checkpoints, metrics, evaluation against the base,
// the guard against a reward that is gamed, and the way back from values that are not finite.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/distributed/process_group.hpp"
#include "finetune/guard/guard.hpp"
#include "finetune/run/checkpoint.hpp"
#include "finetune/run/run_folder.hpp"
#include "finetune/task/evaluate.hpp"
#include "finetune/task/optimizer.hpp"
#include "finetune/task/training_config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

using MetricValues = std::vector<std::pair<std::string, double>>;

struct RunOptions {
  std::filesystem::path folder;
  std::string resume_from;  // "", "latest", "latest-good", a checkpoint
  RunRecord record;
  std::function<bool()> stop_requested = [] {
    return false;
  };                     // asked after each round: save and stop
  ProcessGroup ranks{};  // rank 0 alone writes; all read
};

struct RunResult {
  int64_t epochs = 0, steps = 0;
  int64_t skipped_steps = 0, lost_epochs = 0;  // for values that were not finite
  std::optional<double> trained{};  // how far the last evaluation stands above the base, deviations
  std::optional<guard::Verdict> verdict{};  // on the last evaluation, where the run is guarded
  bool guard_acts = false;                  // it brakes and stops
  std::string stopped;                      // why, when before the last round
};

struct TrainingRun;

// What a method says of its run.
struct RunHooks {
  std::string command;           // "laurel finetune prdp"
  std::string memory_options{};  // whose lower values take less memory, with their values now
  // What is trained, a network's parameters; empty: trained_parameters.
  std::function<train::Params(diffusion::Network& unet)> parameters{};
  // Images of the starting model and of the model as it is, and the words beside them. Empty only
  // where nothing is evaluated.
  std::function<Evaluation(const TrainingRun&run)> draw_base{}, draw_now{};
  SampleCaption base_caption{}, caption{};
  std::string base_name = "the start";  // in what is said
  // Rewards are compared with the base. Otherwise, as with a student's teacher, with the first
  // evaluation.
  bool base_is_start = true;
  double kl_budget = 0;       // of the guard, nats a trajectory; 0: its own
  bool shows_epochs = false;  // calls show_epoch: the guard may ask for evaluations
  // Where there is more to keep in a checkpoint than the optimizer; else empty.
  std::function<void(const std::filesystem::path&folder)> save_more{}, load_more{};
  // Writes the model in a form of its own; empty: the ordinary one.
  std::function<void(const TrainingRun& run, const std::filesystem::path& folder)> export_full{};
};

struct TrainingRun {
  const TrainingTask& task;
  const TrainingConfig& config;
  const RunOptions& options;
  const Reporter& reporter;
  const RunHooks hooks;
  diffusion::Network unet;  // in training
  Optimizer optimizer;
  RunProgress progress{};
  EvalSet eval_set{};
  Evaluation base{};               // without its images
  std::optional<Snapshot> good{};  // parameters that have drawn finite images
  std::filesystem::path events{};
  data::FolderLock lock{};        // of the folder, held by the rank that writes
  bool kept_since_round = false;  // `good` is of the round that is going on
  guard::GuardOptions guarded{};  // what the run is judged by
  bool asked_evaluation = false;  // by the guard, after this round
  RunResult result{};
};

// `updates`: optimiser steps of the whole run, for the learning rate's schedule. Throws BadInput as
// attach_lora, and where the guard has nothing to go by.
TrainingRun make_training_run(const TrainingTask& task,
                              const TrainingConfig& config,
                              const RunOptions& options,
                              const Reporter& reporter,
                              const RunHooks& hooks,
                              int64_t updates);

// To metrics.jsonl and the event file, at the optimizer's step.
void log_metrics(TrainingRun& run, MetricValues figures, bool evaluation);

// The parameters are good: kept to go back to.
void save_snapshot(TrainingRun& run);
// Back to them. Throws BadInput when there are none: the starting model itself is faulty in
// `where`.
void restore_snapshot(TrainingRun& run, const std::string& where);

// Opens the folder (throws BadInput as open_run and load_checkpoint, and when the ranks do not see
// the same checkpoint and weights), evaluates the base, then rounds until `rounds` are done, the
// guard stops the run or a stop is asked for; evaluates, saves. The run's folder gets the model as
// it is, or the one that was accepted last where the guard rejects the last evaluation. Where a
// rank is lost, the rounds done are saved by one that is left, and RankFailed says where; where
// memory runs out, they are saved and BadInput says where, and what to lower.
RunResult run_training(TrainingRun& run, int64_t rounds, const std::function<void()>& round);

}  // namespace finetune
