#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace data {

// Something that the user can put right: a file, a setting, an option. main() prints its one line
// and exits with 2. The line says what is wrong, where, what was expected, what was found, and what
// to do.
class BadInput : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// "sampelr" among {"sampler", "seed"} -> "sampler"; empty when nothing is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace data
