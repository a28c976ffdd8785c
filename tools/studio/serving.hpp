#pragma once

// Serving the page.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/studio/look.hpp"
#include "tools/studio/work/job_kinds.hpp"

namespace studio {

struct ServingConfig {
  std::string store = "taste.laurel", listen;
  int64_t port = 7860, seed = 0;
  bool recursive = false, no_learning = false;
  LookConfig look;
};

// Serves until Ctrl-C or SIGTERM. places: runs and folders of pictures; empty: those that the store
// knows. work: what jobs are made of; none: voting alone. -> exit code
int serve(const ServingConfig& config,
          const std::vector<std::string>& places,
          const std::optional<WorkSettings>& work);

}  // namespace studio
