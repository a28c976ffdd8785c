#pragma once

// Checks the claims of a caption against the contents of a picture.

#include <vector>

#include "data/world/caption.hpp"

namespace world {

struct Match {
  double fraction = 0;  // of claims that are true, for the best assignment of the caption's objects
                        // to the picture's
  bool exact = false;   // all claims are true
};
Match match(const std::vector<Claim>& claims, const SceneReading& reading);

}  // namespace world
