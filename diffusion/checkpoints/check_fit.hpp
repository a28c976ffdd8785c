#pragma once

#include <string>

#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// Throws BadInput, naming `source`, when the parts are of different families or their sizes differ.
void check_fit(const Pipeline& pipeline, const std::string& source);

}  // namespace diffusion
