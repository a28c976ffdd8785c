#pragma once

// How alike the methods' gradients are on the same images. At the starting model, with rewards that
// are centred within a prompt, each method's expected direction is a covariance of a rising
// function of the reward with the score of the policy, or the derivative of the reward itself. So
// the cosines between methods of one kind are positive, and a sign or a scale that is wrong in one
// shows; between kinds they are so in expectation, and few images hide it.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "finetune/draft/methods.hpp"
#include "finetune/forward/config.hpp"
#include "finetune/policy/config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

struct ComparedMethods {
  std::vector<PolicyMethod> policy{};
  std::vector<ForwardConfig> forward{};  // each with its method; of the rest what denoising reads
  std::vector<DraftMethod> draft{};      // left out where a trained reward is not differentiable
};

struct GradientCosines {
  std::vector<std::string> methods;  // M
  at::Tensor cosines;                // [M, M] fp64; nan beside a gradient that is 0
  at::Tensor norms;                  // [M] fp64, of d loss / d parameters
};

// Draws the images of the run's first epoch and computes each method's gradient of all of them, at
// the starting model: of the steps that drew them, of their denoising errors at draws of noise that
// the methods share, and of the reward through the chain that draws them. `config` tells everything
// but the methods. Throws BadInput as run_finetune does.
GradientCosines gradient_cosines(const TrainingTask& task,
                                 const FinetuneConfig& config,
                                 const ComparedMethods& methods);

// A line of names, then a line for each method.
std::string cosines_text(const GradientCosines& result);

}  // namespace finetune
