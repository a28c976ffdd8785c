#pragma once

// distillation.json in a distilled model's folder: the guidance scales it was distilled for.

#include <filesystem>
#include <string>

#include "finetune/distill/config.hpp"

namespace finetune {

void write_distilled_range(const std::filesystem::path& model,
                           const DistillConfig& config,
                           const std::string& teacher);

// A warning when the model was distilled for other guidance scales; empty when they fit, and for a
// model without distillation.json.
std::string guidance_warning(const std::filesystem::path& model, double cfg_scale);

}  // namespace finetune
