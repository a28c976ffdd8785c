#pragma once

// `laurel sample --resume`: what a run that was ended has left in its folder.

#include <string>
#include <vector>

#include "tools/sample/jobs.hpp"

namespace tools {

// Whether each job has its image in the folder: "<number of the job>-<seed>.png", of one of the
// seeds of its `best_of` candidates, with its prompt in the PNG's text. Throws BadInput for an
// image of another prompt.
std::vector<bool> finished_jobs(const std::string& folder,
                                const std::vector<SampleJob>& jobs,
                                int64_t best_of);

// Throws BadInput naming the first key of `settings` (as in config.toml) that the folder's
// config.toml has with another value, but for those that change no image.
void check_same_settings(const std::string& folder, const std::string& settings);

}  // namespace tools
