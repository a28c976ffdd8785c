#pragma once

#include <vector>

#include "tools/studio/app.hpp"
#include "tools/studio/server/route.hpp"

namespace studio {

// Jobs, runs and proofs: what `laurel studio` has beside the voting.
const std::vector<Route>& work_routes();

}  // namespace studio
