#pragma once

#include <string>

namespace tools {

// The text as one word of a POSIX shell: between single quotes.
std::string shell_word(const std::string& text);

}  // namespace tools
