#pragma once

#include <string>
#include <vector>

namespace tools {

// `laurel finetune edit`.
int finetune_edit(const std::vector<std::string>& arguments);

}  // namespace tools
