#pragma once

// What `laurel finetune` is told.

#include <string>

#include "tools/finetune/training_options.hpp"

namespace tools {

struct FinetuneCommand : TrainingCommand {
  finetune::FinetuneConfig config;
  std::string units = "nat";
  std::string skip_steps = "auto";  // "none", "8,9"
  std::string max_memory;           // "12GB"; empty: no limit
};

void declare_finetune(Options& options, FinetuneCommand& command);

// Moves what was given as text into the config, and checks what single options cannot. Throws
// BadInput.
void resolve_finetune(FinetuneCommand& command, const std::string& method);

}  // namespace tools
