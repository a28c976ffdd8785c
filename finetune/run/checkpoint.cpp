#include "finetune/run/checkpoint.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/numbers.hpp"
#include "data/storage/replace_folder.hpp"
#include "data/train/metrics.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/model_spec.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/write.hpp"
#include "finetune/guard/records.hpp"
#include "finetune/run/checkpoint_files.hpp"
#include "finetune/run/file_metadata.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// What may differ between a run and its continuation.
const std::vector<std::string> kFreeKeys = {"output_dir",
                                            "resume_from_checkpoint",
                                            "num_epochs",
                                            "max_train_steps",
                                            "eval_every",
                                            "guard",
                                            "guard_tolerance",
                                            "guard_kl",
                                            "guard_control",
                                            "checkpointing_steps",
                                            "checkpoints_total_limit",
                                            "save_trajectories",
                                            "dry_run",
                                            "max_memory",
                                            "gradient_checkpointing",
                                            "model",
                                            "pretrained_model_name_or_path",
                                            "latents",
                                            "rendezvous_timeout",
                                            "rank_timeout",
                                            "shard_optimizer",
                                            "report_to",
                                            "metadata_title",
                                            "metadata_author",
                                            "metadata_description",
                                            "metadata_license",
                                            "metadata_tags",
                                            "device"};

constexpr const char* kGuardFile = "guard.safetensors";

std::string exact(double value) {  // reads back to the same bits
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}
double number(const std::map<std::string, std::string>& notes, const std::string& key) {
  return data::noted_number<double>(notes, key, "checkpoint");
}
int64_t whole(const std::map<std::string, std::string>& notes, const std::string& key) {
  return data::noted_number<int64_t>(notes, key, "checkpoint");
}

rewards::CombineState restored_combination(const std::map<std::string, std::string>& notes,
                                           int64_t rewards) {
  const std::string prefix = "combine.";
  std::map<std::string, double> numbers;
  int64_t constraints = 0;
  for (const auto& [name, value] : notes) {
    if (!name.starts_with(prefix)) continue;
    numbers[name.substr(prefix.size())] = number(notes, name);
    constraints += name.starts_with(prefix + "multiplier.");
  }
  rewards::CombineState state;
  rewards::restore_numbers(state, numbers, rewards, constraints);
  return state;
}

// "sum.000.loss", numbered to keep their order.
void note_sums(std::map<std::string, std::string>& notes, const MetricSums& sums) {
  notes["sum_steps"] = std::to_string(sums.steps);
  for (size_t i = 0; i < sums.values.size(); ++i) {
    const auto& [name, value] = sums.values[i];
    notes[data::formatted("sum.%03zu.", i) + name] = exact(value);
  }
}

MetricSums restored_sums(const std::map<std::string, std::string>& notes) {
  constexpr size_t kPrefix = std::string_view("sum.000.").size();
  MetricSums sums;
  if (!notes.contains("sum_steps")) return sums;  // a checkpoint of 0.2
  sums.steps = whole(notes, "sum_steps");
  for (const auto& [name, value] : notes) {
    if (name.starts_with("sum.") && name.size() > kPrefix)
      sums.values.emplace_back(name.substr(kPrefix), number(notes, name));
  }
  return sums;
}

// What the last evaluation said, where nothing was trained since.
void note_evaluation(std::map<std::string, std::string>& notes, const TrainingRun& run) {
  const RunResult& result = run.result;
  if (!run.progress.evaluated) return;
  notes["evaluated"] = "1";
  if (result.trained) notes["evaluated.trained"] = exact(*result.trained);
  if (!result.verdict) return;
  notes["verdict.state"] = std::to_string(static_cast<int>(result.verdict->state));
  notes["verdict.step"] = std::to_string(result.verdict->step);
  notes["verdict.accepted_step"] = std::to_string(result.verdict->accepted_step);
  notes["verdict.kind"] = result.verdict->kind;
  notes["verdict.reason"] = result.verdict->reason;
}

// Back from the notes; without them, or where the guard has not judged it, nothing was evaluated.
void restore_evaluation(TrainingRun& run, const std::map<std::string, std::string>& notes) {
  const bool judged = notes.contains("verdict.state");
  const auto evaluated = notes.find("evaluated");
  run.progress.evaluated =
      evaluated != notes.end() && evaluated->second == "1" && (judged || run.config.guard == "off");
  if (!run.progress.evaluated) return;
  if (notes.contains("evaluated.trained")) run.result.trained = number(notes, "evaluated.trained");
  if (!judged || run.config.guard == "off") return;
  const int64_t state = std::clamp<int64_t>(whole(notes, "verdict.state"), 0,
                                            static_cast<int64_t>(guard::State::kStop));
  run.result.verdict = guard::Verdict{.step = whole(notes, "verdict.step"),
                                      .state = static_cast<guard::State>(state),
                                      .kind = notes.at("verdict.kind"),
                                      .reason = notes.at("verdict.reason"),
                                      .accepted_step = whole(notes, "verdict.accepted_step")};
}

std::map<std::string, std::string> notes_of(const TrainingTask& task,
                                            const Optimizer& optimizer,
                                            const RunProgress& progress) {
  std::map<std::string, std::string> notes{{"config", task.config_text},
                                           {"step", std::to_string(optimizer.step)},
                                           {"epoch", std::to_string(progress.epoch)},
                                           {"queries", std::to_string(progress.queries)},
                                           {"beta", exact(progress.beta)},
                                           {"started", exact(progress.started)}};
  for (size_t m = 0; m < task.rewards.size(); ++m) {
    notes["spread." + std::to_string(m)] =
        progress.spreads.defined() ? exact(progress.spreads[static_cast<int64_t>(m)].item<double>())
                                   : "1";
  }
  if (progress.kl_factor != 1) notes["kl_factor"] = exact(progress.kl_factor);
  for (const auto& [name, value] : rewards::numbers_of(progress.combine))
    notes["combine." + name] = exact(value);
  note_sums(notes, progress.sums);
  return notes;
}

}  // namespace

void export_model(const fs::path& folder, TrainingRun& run) {
  const TrainingConfig& config = run.config;
  const TrainingTask& task = run.task;
  const std::string name = fs::absolute(run.options.folder).filename().string();
  const bool last = folder == run.options.folder;  // not a checkpoint's
  train::swap_ema(run.optimizer.state.ema, run.optimizer.state.params);
  if (run.hooks.export_full) {
    run.hooks.export_full(run, folder);
  } else if (config.train_full && config.save_whole) {
    const bool file = fs::is_regular_file(task.model);
    const fs::path whole = folder / (file ? name + ".safetensors" : name);
    diffusion::save_in_source_format(
        task.model, whole, {{diffusion::kind_of(run.unet).part, diffusion::tensors_of(run.unet)}});
    if (file && last) diffusion::describe_file(whole, file_metadata(run));
  } else if (config.train_full) {
    diffusion::save_network(folder, run.unet, at::kHalf);
    if (last)
      diffusion::describe_file(
          folder / diffusion::kind_of(run.unet).part /
              (std::string(diffusion::weights_stem(diffusion::kind_of(run.unet).part)) +
               ".safetensors"),
          file_metadata(run));
  } else {
    const diffusion::LoraCard card{
        .title = name,
        .base_model = task.model,
        .comment = run.hooks.command + (task.synthetic ? ", synthetic world" : ""),
        .prediction_type = diffusion::prediction_name(task.pipeline->scheduler.prediction_type),
        .steps = run.optimizer.step,
        .epochs = run.progress.epoch,
        .resolution = vae_factor(task) * task.latent_shape[1],
        .seed = config.seed,
        .learning_rate = config.learning_rate,
        .started = run.progress.started,
        .finished = data::now(),
        .more = file_metadata(run)};
    const diffusion::LoraWeights lora = diffusion::adapters_of(run.unet);
    const auto metadata = diffusion::kohya_metadata(lora, card);
    diffusion::write_lora(folder / "pytorch_lora_weights.safetensors", lora,
                          diffusion::LoraFormat::kPeft, at::kFloat, card.more);
    diffusion::write_lora(folder / (name + ".safetensors"), lora, diffusion::LoraFormat::kKohya,
                          at::kFloat, metadata);
  }
  train::swap_ema(run.optimizer.state.ema, run.optimizer.state.params);
}

fs::path save_checkpoint(TrainingRun& run) {
  Optimizer& optimizer = run.optimizer;
  const fs::path path = run.options.folder / ("checkpoint-" + std::to_string(optimizer.step));
  const fs::path temporary = path.string() + ".tmp";
  fs::remove_all(temporary);
  optimizer.state.metadata = notes_of(run.task, optimizer, run.progress);
  note_evaluation(optimizer.state.metadata, run);
  for (const std::string lines : kLineFiles)
    optimizer.state.metadata["bytes." + lines] =
        std::to_string(data::metrics_bytes(run.options.folder / lines));
  train::save_state(temporary / "state.safetensors", optimizer.state);
  guard::save_guard(temporary / kGuardFile, run.progress.watch);
  if (run.hooks.save_more) run.hooks.save_more(temporary);
  export_model(temporary, run);
  write_digests(temporary);
  data::replace_folder(temporary, path);
  prune_checkpoints(run.options.folder, run.config.checkpoints_total_limit);
  return path;
}

void load_checkpoint(const fs::path& checkpoint, TrainingRun& run) {
  const fs::path file = checkpoint / "state.safetensors";
  const TrainingTask& task = run.task;
  Optimizer& optimizer = run.optimizer;
  const auto stored = data::read_safetensors(file).metadata;
  const auto config = stored.find("config");
  if (config == stored.end())
    throw data::BadInput(file.string() + ": expected a checkpoint of " + run.hooks.command +
                         ", found another");
  check_same_config(task.config_text, config->second, kFreeKeys, checkpoint.string());
  allocate_all_moments(optimizer.moments, optimizer.state.params, optimizer.state.adamw);
  train::load_state(file, optimizer.state);
  drop_unowned_moments(optimizer.moments, optimizer.state.adamw);
  const auto& notes = optimizer.state.metadata;
  optimizer.step = whole(notes, "step");
  RunProgress& progress = run.progress;
  progress = {};
  progress.epoch = whole(notes, "epoch");
  progress.queries = whole(notes, "queries");
  progress.beta = number(notes, "beta");
  if (notes.contains("kl_factor")) progress.kl_factor = number(notes, "kl_factor");
  progress.started = number(notes, "started");
  if (run.config.guard != "off")
    progress.watch = guard::load_guard(checkpoint / kGuardFile, task.guard_rewards.size());
  progress.spreads = at::ones({static_cast<int64_t>(task.rewards.size())}, at::kDouble);
  for (size_t m = 0; m < task.rewards.size(); ++m) {
    progress.spreads[static_cast<int64_t>(m)] = number(notes, "spread." + std::to_string(m));
  }
  for (const std::string lines : kLineFiles) {
    const std::string key = "bytes." + lines;
    if (notes.contains(key) && fs::equivalent(checkpoint / "..", run.options.folder))
      progress.line_bytes[lines] = data::noted_number<uint64_t>(notes, key, file.string());
  }
  progress.sums = restored_sums(notes);
  restore_evaluation(run, notes);
  progress.combine = restored_combination(notes, static_cast<int64_t>(task.rewards.size()));
  if (run.hooks.load_more) run.hooks.load_more(checkpoint);
}

}  // namespace finetune
