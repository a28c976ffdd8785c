#pragma once

// How each method of `laurel finetune` is trained from the studio: made from finetune's own rows.

#include <cstdint>
#include <string>
#include <vector>

namespace studio {

struct TrainingMethod {
  std::string name, summary;
  bool from_answers = false;  // learns from people's choices, else from a reward
  bool online = false;        // needs --online to learn from a reward
  bool aggregates = true;     // takes several rewards with --aggregate
  const char* rounds;         // "epochs" or "steps"
  const char* rounds_option;  // whose number it is
  int64_t usual;              // rounds
};
// Those that learn from a reward, then those that learn from answers.
const std::vector<TrainingMethod>& training_methods();
// Throws BadInput for a name that is none, or does not learn from that.
const TrainingMethod& training_method(const std::string& name, bool from_answers);

}  // namespace studio
