#pragma once

#include <string>
#include <vector>

#include "data/train/training_loop.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// `laurel pretrain <model>`: one function per model, each in pretrain_<model>.cpp.
int pretrain_clip(const std::vector<std::string>& arguments);
int pretrain_unet(const std::vector<std::string>& arguments);
int pretrain_vae(const std::vector<std::string>& arguments);

// What the three have in common.
void declare_schedule(Options& options, train::LoopOptions& loop);
void declare_progress(Options& options, train::LoopOptions& loop);
// Throws BadInput naming the key when `value` is empty.
void require_folder(const std::string& command, const std::string& key, const std::string& value);
// "48", "96" -> 48, 96. Throws BadInput naming `key` when a word is no whole number >= 1.
std::vector<int64_t> whole_numbers(const std::vector<std::string>& words, const std::string& key);

}  // namespace tools
