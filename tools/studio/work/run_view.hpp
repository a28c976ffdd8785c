#pragma once

// A training run as the page watches it.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "tools/studio/server/pictures.hpp"

namespace studio {

// The run's curves, and the pictures of its evaluations: the same prompts and seeds each time.
//   {"series": [{"name", "steps", "values"}], "evaluations": [names], "rows": [{"prompt",
//    "pictures": [an address or null for each evaluation]}], "epochs", "seconds_per_epoch",
//    "guard": {"state", "reason"}, "kept": [{"step", "accepted", "shown"}]}
// `known`: the evaluations that the page has; where there are no more, "rows" is left out. A run
// that has written nothing yet is empty.
nlohmann::ordered_json run_view(const std::filesystem::path& run, size_t known, Pictures& pictures);

// "/picture/<random name>"
std::string address_of(const std::filesystem::path& file, Pictures& pictures);

}  // namespace studio
