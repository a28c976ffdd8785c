#pragma once

// Noise levels, and what a network's output means at one of them.

#include <ATen/core/Tensor.h>

namespace diffusion {

// x = signal x0 + noise epsilon, with epsilon standard normal.
struct NoiseLevel {
  double signal = 1, noise = 0;
};

// sqrt(abar), sqrt(1 - abar): Ho et al. 2020, eq. 4. alpha_bar: 0..1
NoiseLevel level_of_alpha_bar(double alpha_bar);
// The variance-preserving level whose noise is sigma times its signal (Karras et al. 2022). sigma:
// 0..
NoiseLevel level_of_sigma(double sigma);
// 1 - t, t: the straight path of flow matching (Lipman et al. 2023; Liu et al. 2023). t: 0..1
NoiseLevel flow_level(double t);

// A level for each latent of a batch. signal, noise: [B, 1, 1, 1], or [1, 1, 1, 1] for all
struct NoiseLevels {
  at::Tensor signal, noise;
};

// signal x0 + noise epsilon, in the dtype of x0. x0, epsilon: [B, C, H, W] -> [B, C, H, W]
at::Tensor add_noise(const NoiseLevel& level, const at::Tensor& x0, const at::Tensor& epsilon);
at::Tensor add_noise(const NoiseLevels& levels, const at::Tensor& x0, const at::Tensor& epsilon);

// What the network's output is, diffusers' prediction_type: epsilon; v = signal epsilon - noise x0
// (Salimans and Ho 2022, appendix D); x0; or flow matching's velocity epsilon - x0, which holds at
// flow levels alone.
enum class Prediction { kEpsilon, kV, kSample, kFlow };

// A network's output as both of its meanings.
struct Predicted {
  at::Tensor x0, epsilon;  // [B, C, H, W]
};
// output, x: [B, C, H, W]
Predicted predict(Prediction prediction,
                  const NoiseLevel& level,
                  const at::Tensor& output,
                  const at::Tensor& x);
Predicted predict(Prediction prediction,
                  const NoiseLevels& levels,
                  const at::Tensor& output,
                  const at::Tensor& x);

// x0 or epsilon as from_x x + from_output output: the same formulas, for tables of coefficients.
struct OutputTransform {
  double from_x = 0, from_output = 1;
};
OutputTransform x0_from(Prediction prediction, const NoiseLevel& level);
OutputTransform epsilon_from(Prediction prediction, const NoiseLevel& level);

// The inverse of `predict`: the output that leads from x to x0. x, x0: [B, C, H, W]
at::Tensor output_for(Prediction prediction,
                      const NoiseLevel& level,
                      const at::Tensor& x,
                      const at::Tensor& x0);

// What the network should say of x0 and epsilon at these levels. x0, epsilon: [B, C, H, W]
at::Tensor training_target(Prediction prediction,
                           const NoiseLevels& levels,
                           const at::Tensor& x0,
                           const at::Tensor& epsilon);

}  // namespace diffusion
