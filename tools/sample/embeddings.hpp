#pragma once

// The --embedding option: textual inversions for the prompts of a run.

#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"

namespace tools {

// Each of `given` is FILE, NAME=FILE, or a folder like A1111's embeddings/, of which the files
// whose name occurs in one of `texts` are read. Throws BadInput as diffusion::read_embedding and
// add_embedding do, and for a missing path.
void add_embeddings(const std::vector<std::string>& given,
                    const std::vector<std::string>& texts,
                    diffusion::Pipeline& pipeline);

}  // namespace tools
