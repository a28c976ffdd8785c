#pragma once

// Edits drawn from an editing model in training.

#include "finetune/edit/edit.hpp"
#include "finetune/run/evaluate.hpp"

namespace finetune {

// The edits to evaluate on: prompt_id of an evaluation item is their row.
struct EditExam {
  EncodedEdits edits;
  EditTexts texts;
  diffusion::NoiseSchedule schedule;
};
// The first eval_prompts of each set.
EditExam make_edit_exam(const Task& task, const EditData& data, const EditConfig& config);

// Draws and rates `set`'s items. The last column of the rewards is "denoising".
Evaluation evaluate_edits(const Task& task,
                          const EditExam& exam,
                          const EvalSet& set,
                          const diffusion::Network& unet,
                          const EditConfig& config);

}  // namespace finetune
