#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace data {

// A fault that the user can correct: in a file, a setting or an option. main() prints the message,
// one line, and exits with 2. The line says what is wrong and where, what was expected, what was
// found, and what to do.
class BadInput : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The candidate nearest to `word`: "sampelr" among {"sampler", "seed"} -> "sampler". Empty when
// none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace data
