#pragma once

// Which model counts: the one that the studio was started with, or what a training kept at a step.
// Choices are only added; the last one holds.

#include <cstdint>
#include <optional>

#include "data/database/connection.hpp"

namespace studio {

struct ModelChoice {
  int64_t job = 0;  // the training; 0: the model that the studio was started with
  int64_t step = 0;
};
void choose_model(data::Database& store, const ModelChoice& choice);

// The last choice; job 0 where there is none.
ModelChoice chosen_model(data::Database& store);
// The step that was chosen last among those of this training; none: none was.
std::optional<int64_t> chosen_step(data::Database& store, int64_t job);

}  // namespace studio
