#pragma once

// What is told of an edited image: in its file, and in the line of kEditResults.

#include <string>

#include "data/images/generation_parameters.hpp"
#include "tools/edit/run.hpp"
#include "tools/sample/best_of.hpp"

namespace tools {

// What rewards rate the picture by: its caption, or its instruction where there is none.
std::string caption_of(const EditJob& job);

// For the image file. `best`: of the edit's candidates
data::GenerationParameters edit_parameters(const EditRun& run,
                                           const LoadedEdit& edit,
                                           const BestCandidate& best);

// Adds the edit's line to the folder's kEditResults, where a folder is written. `p`:
// edit_parameters
void write_result(const EditRun& run,
                  const EditJob& job,
                  const data::GenerationParameters& p,
                  const BestCandidate& best,
                  double seconds);

}  // namespace tools
