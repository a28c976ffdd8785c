#pragma once

// What tells one policy-gradient method from another. Rollouts, rewards, optimiser steps,
// checkpoints and forecasts are the same for all methods and read only this struct. Everything is
// in nats.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace finetune {

// The differentiable scalars of a step of a trajectory, all relative to the starting model.
struct StepTerms {
  at::Tensor log_ratio;  // log pi / pi_ref of what was drawn; undefined: the step has none
  at::Tensor kl;         // of the step's Gaussian from the reference's; undefined: not needed
  at::Tensor error{};    // of the network's output from the guided one; undefined: not needed
};
// d loss / d StepTerms. Undefined: zero.
struct StepWeights {
  at::Tensor log_ratio, kl, error{};
};

struct ChainSize {
  int64_t steps = 1;       // in the objective
  int64_t dimensions = 1;  // C H W of a latent
};

// R trajectories, S of their steps, on one device. Prompts and the mask are told to methods that
// couple trajectories.
struct MethodInput {
  StepTerms now;                    // [R, S] fp64, detached
  at::Tensor log_ratio_old;         // [R, S] fp64, as drawn
  at::Tensor labels;                // [R] fp64, of PolicyMethod::labels
  std::vector<int64_t> prompt_ids;  // R, equal for trajectories of one prompt
  at::Tensor step_mask;             // [S] of 0 and 1, 1 where the step is in the objective
  double beta = 1;                  // > 0: reward a nat of KL costs
  double clip_range = 1;            // > 0: nats a step
  ChainSize chain{};
  double kl_factor = 1;  // >= 1: of the method's KL coefficient, by a bound on the KL
};
struct MethodGradient {
  StepWeights weights;  // [R, S] fp64
  at::Tensor figures;   // [F] fp64, of PolicyMethod::figures
};

struct CalibrationInput {
  double spread = 0;      // of the combined reward within prompts
  double beta = 0;        // as configured; 0: from target_kl
  double target_kl = 10;  // nats of a trajectory at the optimum
  double clip_range = 1;  // nats a step
  ChainSize chain;
};
struct MethodCalibration {
  double beta = 0;                   // per nat
  std::vector<std::string> remarks;  // lines for the user
};

struct PolicyMethod {
  std::string name;     // of `laurel finetune NAME` and run.json
  std::string summary;  // one line

  // True: the loss couples an update's trajectories. Their log-ratios are computed before each
  // update but the first, one call of `objective` sees all of them (S = T, on the CPU), and figures
  // are those of the update.
  // False: the loss is the mean of independent entries. `objective` sees a micro-batch of one step
  // (S = 1), on the network's device; weights and figures are those of the sum over its entries.
  bool couples_trajectories = false;
  bool weighs_kl = false;  // `now.kl` is computed; only of methods that do not couple trajectories
  // True: the starting model scores every step that is drawn, and log-ratios are relative to it.
  // False: only their changes count. They are relative to the policy that drew, which costs no
  // further pass of a network; the KL from the start is then known at evaluations alone.
  bool compares_with_start = true;
  // > 0: the starting model, guided at this scale, says its output at all that is drawn, and
  // `now.error` is the squared distance from it, summed over C H W. Every step is visited; those
  // outside the objective have no log-ratio. Only of methods that do not couple trajectories.
  double imitated_guidance = 0;
  std::vector<std::string> figures;  // names in the metrics

  // The configured clip range in nats.
  std::function<double(double clip_range, const ChainSize& chain)> clip_range_in_nats;
  std::function<MethodCalibration(const CalibrationInput& input)> calibrate;
  // What the objective learns from: of an epoch's combined rewards, where one that is not finite
  // leaves its trajectory out.  [P] fp64 -> [P] fp64
  std::function<at::Tensor(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids)>
      labels;
  std::function<MethodGradient(const MethodInput& input)> objective;
  // The same method with a KL coefficient above 0, which `kl_factor` multiplies, for a bound of so
  // many nats on the KL. Empty: it has no such coefficient.
  std::function<PolicyMethod(double bound)> with_kl_coefficient{};
};

// The beta whose optimum lies about `target_kl` nats from the reference. The optimum pi_ref exp(r /
// beta) / Z has KL = Var(r) / (2 beta^2) to second order in 1 / beta (exactly, where r is
// Gaussian): beta = spread / sqrt(2 KL).
double beta_for_kl(double spread, double target_kl);
double kl_for_beta(double spread, double beta);  // its inverse: the KL of that optimum
// The configured beta, or that of target_kl.
double beta_of(const CalibrationInput& input);

}  // namespace finetune
