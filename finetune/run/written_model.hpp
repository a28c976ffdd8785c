#pragma once

// What a run leaves behind, looked at once more before the run ends.

#include "finetune/run/training_run.hpp"

namespace finetune {

// Reads the LoRA that the run wrote, draws the first evaluation image of the starting model with
// and without it, and says how far apart the two are. Throws BadInput when they are equal though
// the run trained: the file holds no change. Does nothing for a whole network, where nothing is
// evaluated, in several processes, and where the guard put the start back.
void check_written_lora(TrainingRun& run);

// Says where ComfyUI and web UIs look for the file that the run wrote.
void say_where_it_goes(const TrainingRun& run);

// README.md (finetune/run/model_card.hpp).
void write_model_card(const TrainingRun& run);

}  // namespace finetune
