#pragma once

#include <nlohmann/json_fwd.hpp>

#include "tools/studio/voting/progress_report.hpp"

namespace studio {

// As the page reads it; a share that is not known is null.
nlohmann::ordered_json report_json(const Report& report);

}  // namespace studio
