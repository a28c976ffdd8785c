#include "tools/pretrain/options.hpp"

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"

namespace tools {
namespace {}  // namespace

void declare_schedule(Options& options, train::LoopOptions& loop, Rarity refinements) {
  options.integer("max_train_steps", loop.max_train_steps, "updates in total", 1, kNoLimit);
  options.number("max_train_minutes", loop.max_train_minutes,
                 "> 0: minutes instead of updates; the schedule follows the clock", 0, 1e6);
  options.integer("train_batch_size", loop.train_batch_size, "images per update", 1, 65536);
  options.number("learning_rate", loop.learning_rate, "learning rate after the warm-up", 0, 10);
  options.rare(refinements)
      .integer("lr_warmup_steps", loop.lr_warmup_steps, "updates of linear warm-up", 0, kNoLimit);
  options.rare(refinements)
      .number("weight_decay", loop.weight_decay,
              "decoupled weight decay, times the learning rate per update", 0, 10);
  options.rare(refinements)
      .number("max_grad_norm", loop.max_grad_norm, "gradients are clipped to this norm", 1e-9, 1e9);
  options.rare(refinements)
      .number("ema_decay", loop.ema_decay,
              "decay of the moving average of the weights, which is saved", 0, 0.999999);
}

void declare_progress(Options& options, train::LoopOptions& loop) {
  options.group("progress");
  options.integer("logging_steps", loop.logging_steps, "updates between progress lines", 1,
                  kNoLimit);
  options.integer("validation_steps", loop.validation_steps, "updates between evaluations", 1,
                  kNoLimit);
  options.integer("checkpointing_steps", loop.checkpointing_steps, "updates between checkpoints", 1,
                  kNoLimit);
  options.text("resume_from_checkpoint", loop.resume_from_checkpoint,
               "`latest` (a new run when there is none), or a state.safetensors");
}

void require_folder(const std::string& command, const std::string& key, const std::string& value) {
  if (value.empty())
    throw data::BadInput(command + ": " + key + ": expected a folder, found none; give --" + key +
                         " FOLDER");
}

std::vector<int64_t> whole_numbers(const std::vector<std::string>& words, const std::string& key) {
  std::vector<int64_t> numbers;
  for (const auto& word : words) {
    const auto value = data::number_of<int64_t>(word);
    if (!value || *value < 1)
      throw data::BadInput(key + ": expected whole numbers >= 1, found '" + word + "'");
    numbers.push_back(*value);
  }
  return numbers;
}

}  // namespace tools
