#pragma once

// What a distilled model says of itself, beside it: distillation.json.

#include <filesystem>
#include <string>

#include "finetune/distill/config.hpp"

namespace tools {

void write_distilled_range(const std::filesystem::path& model,
                           const finetune::DistillConfig& config,
                           const std::string& teacher);

// A warning when the model was distilled for other guidance scales; empty where they fit, and where
// the model says nothing.
std::string guidance_warning(const std::filesystem::path& model, double cfg_scale);

}  // namespace tools
