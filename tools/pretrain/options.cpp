#include "tools/pretrain/options.hpp"

#include <charconv>
#include <limits>

#include "data/base/error.hpp"

namespace tools {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

}  // namespace

void declare_schedule(Options& options, train::LoopOptions& loop, Rarity refinements) {
  options.integer("max_train_steps", loop.max_train_steps, "updates in all", 1, kMax);
  options.number("max_train_minutes", loop.max_train_minutes,
                 "> 0: minutes instead of updates; the schedule follows", 0, 1e6);
  options.integer("train_batch_size", loop.train_batch_size, "images of an update", 1, 65536);
  options.number("learning_rate", loop.learning_rate, "after the warm-up", 0, 10);
  options.rare(refinements)
      .integer("lr_warmup_steps", loop.lr_warmup_steps, "updates over which the rate rises", 0,
               kMax);
  options.rare(refinements)
      .number("weight_decay", loop.weight_decay,
              "towards zero, a learning rate's part of it an update", 0, 10);
  options.rare(refinements)
      .number("max_grad_norm", loop.max_grad_norm, "gradients are clipped to it", 1e-9, 1e9);
  options.rare(refinements)
      .number("ema_decay", loop.ema_decay, "of the weights' moving average, which is what is saved",
              0, 0.999999);
}

void declare_progress(Options& options, train::LoopOptions& loop) {
  options.group("progress");
  options.integer("logging_steps", loop.logging_steps, "updates between lines of progress", 1,
                  kMax);
  options.integer("validation_steps", loop.validation_steps,
                  "updates between measurements and snapshots", 1, kMax);
  options.integer("checkpointing_steps", loop.checkpointing_steps,
                  "updates between training states", 1, kMax);
  options.text("resume_from_checkpoint", loop.resume_from_checkpoint,
               "`latest` (when there is none: a new run), or a state.safetensors");
}

void require_folder(const std::string& command, const std::string& key, const std::string& value) {
  if (value.empty())
    throw data::BadInput(command + ": " + key + ": expected a folder, found none; give --" + key +
                         " FOLDER");
}

std::vector<int64_t> whole_numbers(const std::vector<std::string>& words, const std::string& key) {
  std::vector<int64_t> numbers;
  for (const auto& word : words) {
    int64_t value = 0;
    const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (fault != std::errc() || end != word.data() + word.size() || value < 1) {
      throw data::BadInput(key + ": expected whole numbers >= 1, found '" + word + "'");
    }
    numbers.push_back(value);
  }
  return numbers;
}

}  // namespace tools
