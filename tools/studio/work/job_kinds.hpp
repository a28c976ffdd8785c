#pragma once

// What the studio can start: laurel itself, with arguments that are made here. What the page sends
// chooses among them and sets numbers; it never becomes a path or a word of a command.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/database/connection.hpp"

namespace studio {

// From the command line of `laurel studio`.
struct WorkSettings {
  std::filesystem::path folder;  // of all that jobs write
  std::string model{};           // "": the embedded one
  std::string prompts{};         // file, or "world"; "": the model's own
  std::string watch = "auto";    // rewards that are watched and not trained on
  std::string config{};          // file with further options of finetuning; "": none
};

struct JobRequest {
  std::string method;   // of finetuning
  int64_t epochs = 10;  // of finetuning
  int64_t count = 4;    // pictures of each prompt, of drawing
  int64_t taste = 0;    // the job that learnt the reward
  int64_t person = 0;   // whose taste; 0: what all share
};
// Throws BadInput for a number out of range and a method that is none.
JobRequest job_request(const nlohmann::json& body);
nlohmann::json to_json(const JobRequest& request);

struct JobContext {
  const WorkSettings& settings;
  data::Database& store;
  std::filesystem::path folder;  // of this job
  bool resumed = false;
};

struct JobKind {
  const char* name;
  const char* title;  // on the page
  bool resumable;     // goes on where it stopped
  // The arguments of laurel. Writes what the job reads. Throws BadInput when something is missing.
  std::vector<std::string> (*arguments)(const JobRequest& request, const JobContext& context);
};
const std::vector<JobKind>& job_kinds();
// Throws BadInput for a name that is none.
const JobKind& job_kind(const std::string& name);

// Inside a job's folder.
inline constexpr const char *kRunFolder = "run", *kTasteFolder = "taste", *kDrawnFolder = "drawn";

}  // namespace studio
