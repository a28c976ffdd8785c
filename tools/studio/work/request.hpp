#pragma once

// What the page asks of a job: a choice among names that are known here, numbers within bounds, and
// a prompt, which is data: it goes into a file and is never a path or a word of a command.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace studio {

struct JobRequest {
  std::string method{};       // of training
  bool from_answers = false;  // it learns from the answers themselves, else from a reward
  int64_t rounds = 0;         // of training: epochs or steps; 0: as many as usual
  int64_t taste = 0;          // the job that learnt the reward
  int64_t person = 0;         // whose taste or answers; 0: of all
  std::string aggregate{};    // of each person's taste (laurel's --aggregate); "": none
  int64_t count = 4;          // pictures of each prompt, of drawing
  int64_t of = 0;             // the training whose model draws a prompt that is tried
  std::string prompt{};       // that is tried
  int64_t seed = 0;           // of its picture
};
// Throws BadInput for a number out of range, a name that is none, and a prompt that is too long or
// holds control characters.
JobRequest job_request(const nlohmann::json& body);
nlohmann::json to_json(const JobRequest& request);

}  // namespace studio
