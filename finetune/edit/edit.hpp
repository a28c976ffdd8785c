#pragma once

// Trains an editing model: InstructPix2Pix (Brooks et al. 2023) that also reads the reward which
// its edit should earn (Gu et al. 2024, "Multi-Reward as condition"), on pairs of any quality with
// their scores.

#include <string>

#include "finetune/edit/dataset.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

struct EditData {
  EncodedEdits train, held_out;
  EditTexts texts;
  // Images of the evaluated edits: the first of the training set, then the first of the held-out
  // ones. sources, edited: [E, 3, R, R] in [0, 1]
  at::Tensor sources, edited;
};

// What is trained: the whole network, or adapters with the parts that an ordinary model lacks
// (conv_in and the reward branch).
train::Params edit_parameters(diffusion::Network& unet, const EditConfig& config);

// `task`: its UNet reads an image; rewards and prompts are not used. Evaluations draw edits that
// ask for the highest reward, rate them by the eval_rewards, with the instruction for a prompt,
// and by "denoising": minus the loss on the edit's own pair at its own scores. Writes as
// run_training; the model is exported whole, with adapters fused. Throws BadInput as run_training.
RunResult run_edit(TrainingTask task,
                   const EditData& data,
                   const EditConfig& config,
                   const RunOptions& options,
                   const Reporter& reporter);

struct EditForecast {
  double flop = 0, flop_per_step = 0;
  double seconds_train = 0, seconds_evaluate = 0;  // of the whole run
  double gflops = 0;                               // 1e9 operations a second, of a step
  double peak_bytes = 0;                           // resident memory at its most
  double disk_bytes = 0;
  int64_t trained_values = 0;
};
// From two real steps and one batch of an evaluation.
EditForecast forecast_edit(const TrainingTask& task,
                           const EditData& data,
                           const EditConfig& config);
std::string forecast_text(const EditForecast& forecast);

}  // namespace finetune
