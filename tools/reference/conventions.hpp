#pragma once

// What every command has in common with other programs: exit codes, and what it reads of the
// environment. The help, the manual pages and a test of docs/install.md read these rows.

#include <string>
#include <vector>

namespace tools {

struct Convention {
  std::string name;     // "2", "LAUREL_MODELS"
  std::string meaning;  // one line
};

const std::vector<Convention>& exit_codes();
const std::vector<Convention>& environment_variables();

// A line for each, its meaning at `column` behind the indent.
std::string convention_lines(const std::vector<Convention>& rows, size_t column);

}  // namespace tools
