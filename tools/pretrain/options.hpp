#pragma once

// Options shared by the commands that pretrain a model or train a reward.

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "data/train/training_loop.hpp"
#include "tools/cli/options.hpp"

namespace tools {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();  // of a whole-number option

// `refinements`: the rarity of warm-up, weight decay, gradient clipping and moving average.
void declare_schedule(Options& options,
                      train::LoopOptions& loop,
                      Rarity refinements = Rarity::kUsual);
void declare_progress(Options& options, train::LoopOptions& loop);
// Throws BadInput with the key when `value` is empty.
void require_folder(const std::string& command, const std::string& key, const std::string& value);
// "48", "96" -> 48, 96. Throws BadInput with `key` for a word that is not a whole number >= 1.
std::vector<int64_t> whole_numbers(const std::vector<std::string>& words, const std::string& key);

}  // namespace tools
