#pragma once

// What `laurel finetune edit` is told.

#include <string>
#include <vector>

#include "finetune/edit/config.hpp"
#include "tools/finetune/training_options.hpp"

namespace tools {

struct EditTrainingCommand : TrainingCommand {
  finetune::EditConfig config;
  std::string data, validation_data;  // folder or JSONL of edits
  std::string latents;                // file where the encoded edits are kept; empty: nowhere
  int64_t held_out = 64;              // edits kept back without validation data
  double min_score = -1;              // edits with a score below it, or none, are left out

  std::string reward_branch = "auto";  // auto | native | published | none
  std::vector<std::string> axes;       // empty: the branch's, or the three usual ones
  bool feedback = false;               // the native branch reads feedback too

  // A UNet with random weights in place of the model's.
  bool new_unet = false, pixel_space = false;
  std::vector<std::string> widths{"48", "96", "144"};
  int64_t layers_per_block = 1, attention_levels = 2, heads = 4, norm_num_groups = 16;
  std::string beta_schedule;  // "": the model's
};

void declare_edit_training(Options& options, EditTrainingCommand& command);
// Checks what single options cannot. Throws BadInput.
void resolve_edit_training(EditTrainingCommand& command);

}  // namespace tools
