#include "finetune/checkpoint.hpp"

#include <ATen/ATen.h>

#include <charconv>

#include "data/error.hpp"
#include "data/metrics.hpp"
#include "data/safetensors.hpp"
#include "diffusion/save_like.hpp"
#include "finetune/run_folder.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// What may differ between a run and its continuation.
const std::vector<std::string> kFreeKeys = {"output_dir",
                                            "resume_from_checkpoint",
                                            "num_epochs",
                                            "eval_every",
                                            "stop_after_hacking",
                                            "checkpointing_steps",
                                            "checkpoints_total_limit",
                                            "dry_run",
                                            "max_memory",
                                            "gradient_checkpointing",
                                            "model",
                                            "pretrained_model_name_or_path",
                                            "device"};

std::string exact(double value) {  // reads back to the same bits
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}
double number(const std::map<std::string, std::string>& notes, const std::string& key) {
  const auto found = notes.find(key);
  if (found == notes.end())
    throw data::BadInput("checkpoint: expected the entry " + key +
                         ", found none; use an older one");
  return std::stod(found->second);
}
int64_t whole(const std::map<std::string, std::string>& notes, const std::string& key) {
  return static_cast<int64_t>(number(notes, key));
}

std::map<std::string, std::string> notes_of(const Task& task,
                                            const Learner& learner,
                                            const RunProgress& progress) {
  std::map<std::string, std::string> notes{{"config", task.config_text},
                                           {"step", std::to_string(learner.step)},
                                           {"epoch", std::to_string(progress.epoch)},
                                           {"queries", std::to_string(progress.queries)},
                                           {"beta", exact(progress.beta)},
                                           {"best_step", std::to_string(progress.watch.best_step)},
                                           {"best_trained", exact(progress.watch.best.trained)},
                                           {"best_held_out", exact(progress.watch.best.held_out)},
                                           {"in_a_row", std::to_string(progress.watch.in_a_row)},
                                           {"started", exact(progress.started)}};
  for (size_t m = 0; m < task.rewards.size(); ++m) {
    notes["spread." + std::to_string(m)] =
        exact(progress.spreads[static_cast<int64_t>(m)].item<double>());
  }
  return notes;
}

}  // namespace

void export_model(const fs::path& folder,
                  const std::string& name,
                  const Task& task,
                  const FinetuneConfig& config,
                  diffusion::UNet& unet,
                  Learner& learner,
                  const RunProgress& progress) {
  train::swap_ema(learner.state.ema, learner.state.params);
  if (config.train_full && config.save_whole) {
    const bool file = fs::is_regular_file(task.model);
    diffusion::save_like(task.model, folder / (file ? name + ".safetensors" : name),
                         {{diffusion::kUnetPart, diffusion::tensors_of(unet)}});
  } else if (config.train_full) {
    diffusion::save_unet(folder / "unet", unet, at::kHalf);
  } else {
    std::string comment =
        config.method == Method::kPrdp ? "laurel finetune prdp" : "laurel finetune ddpo";
    if (task.synthetic) comment += ", synthetic world";
    const diffusion::LoraCard card{
        .title = name,
        .base_model = task.model,
        .comment = comment,
        .prediction_type = diffusion::prediction_name(task.scheduler.prediction_type),
        .steps = learner.step,
        .epochs = progress.epoch,
        .resolution = 8 * task.latent_shape[1],
        .seed = config.seed,
        .learning_rate = config.learning_rate,
        .started = progress.started,
        .finished = data::now()};
    const diffusion::LoraWeights lora = diffusion::adapters_of(unet);
    const auto metadata = diffusion::kohya_metadata(lora, card);
    diffusion::write_lora(folder / "pytorch_lora_weights.safetensors", lora,
                          diffusion::LoraFormat::kPeft, at::kFloat, {});
    diffusion::write_lora(folder / (name + ".safetensors"), lora, diffusion::LoraFormat::kKohya,
                          at::kFloat, metadata);
  }
  train::swap_ema(learner.state.ema, learner.state.params);
}

fs::path save_checkpoint(const fs::path& folder,
                         const Task& task,
                         const FinetuneConfig& config,
                         diffusion::UNet& unet,
                         Learner& learner,
                         const RunProgress& progress) {
  const fs::path path = folder / ("checkpoint-" + std::to_string(learner.step));
  const fs::path temporary = path.string() + ".tmp";
  fs::remove_all(temporary);
  learner.state.notes = notes_of(task, learner, progress);
  train::save_state(temporary / "state.safetensors", learner.state);
  export_model(temporary, fs::absolute(folder).filename().string(), task, config, unet, learner,
               progress);
  fs::remove_all(path);
  fs::rename(temporary, path);
  prune_checkpoints(folder, config.checkpoints_total_limit);
  return path;
}

RunProgress load_checkpoint(const fs::path& checkpoint, const Task& task, Learner& learner) {
  const fs::path file = checkpoint / "state.safetensors";
  const auto stored = data::read_safetensors(file).metadata;
  const auto config = stored.find("config");
  if (config == stored.end())
    throw data::BadInput(file.string() + ": expected a checkpoint of finetune, found another");
  check_same_config(task.config_text, config->second, kFreeKeys, checkpoint.string());
  train::load_state(file, learner.state);
  const auto& notes = learner.state.notes;
  learner.step = whole(notes, "step");
  RunProgress progress;
  progress.epoch = whole(notes, "epoch");
  progress.queries = whole(notes, "queries");
  progress.beta = number(notes, "beta");
  progress.started = number(notes, "started");
  progress.watch.best = {number(notes, "best_trained"), number(notes, "best_held_out")};
  progress.watch.best_step = whole(notes, "best_step");
  progress.watch.in_a_row = whole(notes, "in_a_row");
  progress.spreads = at::ones({static_cast<int64_t>(task.rewards.size())}, at::kDouble);
  for (size_t m = 0; m < task.rewards.size(); ++m) {
    progress.spreads[static_cast<int64_t>(m)] = number(notes, "spread." + std::to_string(m));
  }
  return progress;
}

}  // namespace finetune
