#pragma once

#include <vector>

#include "tools/studio/app.hpp"
#include "tools/studio/route.hpp"

namespace studio {

// Jobs, runs and proofs: what `laurel studio` has beside the voting.
const std::vector<Route>& work_routes();

}  // namespace studio
