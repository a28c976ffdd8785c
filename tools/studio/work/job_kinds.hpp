#pragma once

// What the studio can start: laurel itself, with arguments that are made here.

#include <filesystem>
#include <string>
#include <vector>

#include "data/database/connection.hpp"
#include "tools/studio/work/request.hpp"

namespace studio {

// From the command line of `laurel studio`.
struct WorkSettings {
  std::filesystem::path folder;  // of all that jobs write
  std::string model{};           // "": the embedded one
  std::string prompts{};         // file, or "world"; "": the model's own
  std::string watch = "auto";    // rewards that are watched and not trained on
  // Further options of finetuning: a file for every method, or a folder with METHOD.toml; "": none
  std::string config{};
};

struct JobContext {
  const WorkSettings& settings;
  data::Database& store;
  std::filesystem::path folder;  // of this job
  bool resumed = false;
};

// The words after `laurel`.
using Command = std::vector<std::string>;

struct JobKind {
  const char* name;
  const char* title;  // on the page
  bool resumable;     // goes on where it stopped
  // Short: it may run beside another job, and waits where memory does not allow that.
  bool beside;
  // What is run, one after the other. Writes what the job reads. Throws BadInput when something is
  // missing.
  std::vector<Command> (*commands)(const JobRequest& request, const JobContext& context);
};
const std::vector<JobKind>& job_kinds();
// Throws BadInput for a name that is none.
const JobKind& job_kind(const std::string& name);

// Bytes of weights that a job of this context draws with, as files; 0: unknown.
double weights_on_disk(const WorkSettings& settings);

// Inside a job's folder.
inline constexpr const char *kRunFolder = "run", *kTasteFolder = "taste", *kDrawnFolder = "drawn",
                            *kBaseFolder = "base", *kTunedFolder = "tuned", *kStepFile = "step.txt";
// Names of kinds that the page asks about.
inline constexpr const char *kTraining = "finetune", *kTry = "try";

}  // namespace studio
