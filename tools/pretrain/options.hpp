#pragma once

// Options that the commands which train from nothing, or train a reward, have in common.

#include <string>
#include <vector>

#include "data/train/training_loop.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// `refinements`: of warm-up, weight decay, gradient clipping and the moving average.
void declare_schedule(Options& options,
                      train::LoopOptions& loop,
                      Rarity refinements = Rarity::kUsual);
void declare_progress(Options& options, train::LoopOptions& loop);
// Throws BadInput naming the key when `value` is empty.
void require_folder(const std::string& command, const std::string& key, const std::string& value);
// "48", "96" -> 48, 96. Throws BadInput naming `key` when a word is no whole number >= 1.
std::vector<int64_t> whole_numbers(const std::vector<std::string>& words, const std::string& key);

}  // namespace tools
