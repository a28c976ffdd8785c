#pragma once

// People's choices as a training reads them.

#include <string>
#include <vector>

#include "finetune/forward/choices.hpp"

namespace tools {

// The choices of a file or a folder (rewards::read_choices); what has no counterpart is named on
// stderr. With `single`, likes of one image are among them, and of two that are both bad each is
// disliked; else such answers are left out. margin_scale: logits a unit of a pair's margin. Throws
// BadInput when nothing is left.
std::vector<finetune::ImageChoice> read_image_choices(const std::string& path,
                                                      bool single,
                                                      double margin_scale);

// Their distinct prompts, in order of first appearance.
std::vector<std::string> prompts_of_choices(const std::vector<finetune::ImageChoice>& choices);

// Those whose prompt is not one of `held_out`. Throws BadInput when none is left.
std::vector<finetune::ImageChoice> without_prompts(
    const std::vector<finetune::ImageChoice>& choices,
    const std::vector<finetune::TrainingPrompt>& held_out);

}  // namespace tools
