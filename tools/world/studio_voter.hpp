#pragma once

// Votes of a simulated person at a running studio, over HTTP as its page asks.

#include <cstdint>
#include <string>

#include "tools/world/answers.hpp"

namespace tools {

struct StudioVisit {
  std::string address;  // http://127.0.0.1:7860/#t=TOKEN, as laurel studio prints it
  int64_t votes = 80;   // at most; fewer where the studio has no more pairs
};

// Enters as "simulated-N", and answers what it is shown. Returns the number of answers. Throws
// BadInput for an address of another form, when nobody answers, and when the studio refuses.
int64_t vote_at_studio(const StudioVisit& visit,
                       const SimulatedPerson& person,
                       const AnswerOptions& options,
                       world::RandomStream& chance);

}  // namespace tools
