#include "tools/cli/shell_word.hpp"

namespace tools {

std::string shell_word(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return "'" + safe + "'";
}

}  // namespace tools
