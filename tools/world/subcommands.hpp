#pragma once

// The parts of `laurel world` beside drawing.

#include <string>
#include <vector>

namespace tools {

int world_social_log(const std::vector<std::string>& arguments);
int world_judge_server(const std::vector<std::string>& arguments);
int world_edits(const std::vector<std::string>& arguments);
int world_edit_scores(const std::vector<std::string>& arguments);

}  // namespace tools
