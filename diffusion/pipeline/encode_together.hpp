#pragma once

#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// encode_prompts of many texts in one batch, with which the bits of a row may change. Not kept.
TextCondition encode_together(const Pipeline& pipeline, const std::vector<std::string>& texts);

}  // namespace diffusion
