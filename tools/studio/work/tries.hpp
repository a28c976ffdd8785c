#pragma once

// The prompts that were tried with the model of a training.

#include <nlohmann/json_fwd.hpp>

#include "tools/studio/server/pictures.hpp"
#include "tools/studio/work/workshop.hpp"

namespace studio {

// Of all jobs, the newest first, the last of them:
//   [{"job", "state", "note", "prompt", "seed", "step", "base", "tuned"}]
// step: of the model that drew `tuned`. base, tuned: addresses of pictures; null until drawn
nlohmann::ordered_json tries_json(const std::vector<StoredJob>& all,
                                  int64_t training,
                                  const Workshop& workshop,
                                  Pictures& pictures);

}  // namespace studio
