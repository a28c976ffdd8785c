#pragma once

// The folder of a run: what it is, its checkpoints, its evaluation images.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/storage/folder_lock.hpp"
#include "finetune/task/evaluate.hpp"

namespace finetune {

struct RunRecord {     // run.json
  std::string kind;    // "prdp", "distill"
  std::string model;   // path of the starting model
  std::string reward;  // the specification of the trained rewards
  std::string device;
  int64_t seed = 0;
  bool synthetic = false;
};

// Prepares a folder: makes it, refuses one that holds another run (BadInput; `resume` allows a run
// of the same kind), and writes config.toml and run.json for a new run. Half-written checkpoints
// are removed. The folder is the process's own while the lock lives; BadInput when it is another's.
data::FolderLock open_run(const std::filesystem::path& folder,
                          const RunRecord& record,
                          const std::string& config_text,
                          bool resume);

// checkpoint-<step> folders, oldest first.
std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& folder);
// "latest": the newest; "latest-good": the newest that is undamaged; absent when there is none yet.
// Else this folder, as it is or inside `folder`. Throws BadInput when it is not a checkpoint, and
// when it is damaged (it names the one before that is not). Reads all of the checkpoint.
std::optional<std::filesystem::path> find_checkpoint(const std::filesystem::path& folder,
                                                     const std::string& name);
// Removes the oldest until `limit` are left; 0: keeps all.
void prune_checkpoints(const std::filesystem::path& folder, int64_t limit);

// `key = value` a line. Throws BadInput that names the first key whose value differs, unless it is
// among `free`.
void check_same_config(const std::string& now,
                       const std::string& then,
                       const std::vector<std::string>& free,
                       const std::string& where);

// Evaluation images: <folder>/0000.png ..., with the web UIs' `parameters` text, and scores.jsonl.
struct SampleCaption {
  std::string model, sampler;
  int64_t steps = 0;
  double guidance_scale = 1;
};
void write_samples(const std::filesystem::path& folder,
                   const EvalSet& set,
                   const Evaluation& evaluation,
                   const SampleCaption& text);

}  // namespace finetune
