#pragma once

// What the guard leaves in a run's folder.

#include <filesystem>
#include <string>

#include "finetune/guard/guard.hpp"

namespace guard {

// The state, in a checkpoint: one safetensors file. Loading gives the same bits; a file that is not
// there, as in checkpoints before 0.2.0, gives an empty state. Throws BadInput for one of another
// number of held-out rewards.
void save_guard(const std::filesystem::path& file, const GuardState& state);
GuardState load_guard(const std::filesystem::path& file, size_t held_out);

// A line of guard.jsonl: {"step":10,"state":"stop","kind":"gamed","reason":"...","accepted":5,
// "signals":{"KL":"fine",...},"worst":[{"image":"0003","change":-1.2},...]}. accepted is null where
// nothing was accepted yet; images are named as in samples/.
std::string verdict_line(const Verdict& verdict);

}  // namespace guard
