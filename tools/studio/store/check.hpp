#pragma once

#include <string>
#include <vector>

#include "data/database/connection.hpp"

namespace studio {

struct StoreCheck {
  std::string summary;              // "2 people, 40 pictures, 123 answers that stand"
  std::vector<std::string> faults;  // a line each
};
// Damage of the file, pictures that are missing, and answers that cannot be.
StoreCheck check_store(data::Database& store);

}  // namespace studio
