#pragma once

// The models that a training kept on its way: its checkpoints, and the one that the guard accepted
// last.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace studio {

struct KeptModel {
  int64_t step = 0;
  std::filesystem::path folder{};  // with a LoRA, or the trained network
  bool accepted = false;           // the guard's last accepted one
  bool shown = false;              // there are pictures of this step's evaluation
};
// By step. None where the run has kept none yet.
std::vector<KeptModel> kept_models(const std::filesystem::path& run);
// The kept model of a step. Throws BadInput when there is none.
KeptModel kept_model(const std::filesystem::path& run, int64_t step);

// The model that a run started from, as --model takes it. Throws BadInput when the run does not
// say.
std::string start_of(const std::filesystem::path& run);

// The LoRA of a kept model; "": the whole network was trained.
std::filesystem::path lora_of(const KeptModel& model);
// Options of laurel sample that draw with it: its model with --lora or --unet. `copies`: a folder
// for a copy of the LoRA, which a run that goes on may remove; "": none. Throws BadInput when the
// folder holds neither.
std::vector<std::string> drawing_options(const std::filesystem::path& run,
                                         const KeptModel& model,
                                         const std::filesystem::path& copies);

}  // namespace studio
