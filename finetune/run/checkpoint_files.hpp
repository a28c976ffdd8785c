#pragma once

// A checkpoint as a folder of files: checked by digests, removed whole.

#include <filesystem>
#include <string>

namespace finetune {

// Writes <folder>/SHA256SUMS, a line for each file in the folder; `sha256sum -c` reads it.
void write_digests(const std::filesystem::path& folder);

// What is wrong with the checkpoint: "state.safetensors: its SHA-256 is not the one in SHA256SUMS".
// "": nothing, or it was written without digests (before 0.2.0). Reads every file.
std::string damage_of(const std::filesystem::path& checkpoint);

// A kill on the way leaves no part of it under its name (open_run removes the rest).
void remove_checkpoint(const std::filesystem::path& checkpoint);

}  // namespace finetune
