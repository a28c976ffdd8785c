#pragma once

// One batch: images are sampled, the last steps with a graph, and the reward's gradient at the
// clean latent is led back through them into the network.

#include <ATen/core/Generator.h>

#include <vector>

#include "diffusion/sampling/gaussian_step.hpp"
#include "finetune/draft/config.hpp"
#include "finetune/task/guided_policy.hpp"
#include "finetune/task/sample_requests.hpp"

namespace finetune {

// The sampler of training and evaluation alike.
struct DraftChain {
  std::vector<diffusion::StepCoefficients> steps;  // T, [0] the noisiest
  diffusion::Prediction prediction = diffusion::Prediction::kEpsilon;
};
// Throws BadInput when `last_steps` is more than there are, and when a KL is weighed that no step
// has, since none has noise.
DraftChain make_draft_chain(const DraftConfig& config, const diffusion::SchedulerConfig& scheduler);

// Which steps have a graph: first .. last - 1. With `predicts`, the x0 that step last - 1 predicts
// stands for the chain's end.
struct Truncation {
  int64_t first = 0, last = 0;
  bool predicts = false;
};
// One draw of `generator` where the method is random.
Truncation draw_truncation(const DraftConfig& config, int64_t steps, at::Generator& generator);

struct DraftBatch {
  std::vector<TrainingPrompt> prompts;  // B, one an image
  SampleRequests draw;                  // rows of the policy's conditioning, seeds
  double share = 1;                     // of the whole batch, that these rows are
};

struct DraftTerms {
  double loss = 0;       // -reward + kl_coefficient kl: this rank's part of the batch's mean
  at::Tensor raw;        // [B, M] fp64 on the CPU
  double reward = 0;     // mean of the weighted rewards of these images
  double kl = 0;         // nats, of the steps with a graph
  double saturated = 0;  // share of the image's values outside [0, 1]
  std::string fault{};   // "the loss": it is not finite, and no gradient is left behind
};

// Adds the gradient of the batch's loss to the network's parameters.
// policy: in training; reference: the starting model, called only where kl_coefficient > 0
DraftTerms add_chain_gradient(const TrainingTask& task,
                              const DraftConfig& config,
                              const DraftChain& chain,
                              const Denoiser& policy,
                              const Denoiser& reference,
                              const DraftBatch& batch,
                              at::Generator& generator);

}  // namespace finetune
