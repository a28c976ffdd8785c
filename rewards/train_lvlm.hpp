#pragma once

// Trains the student (rewards/lvlm.hpp) on a judge's judgements; the CLIP stays as it is, so each
// image and prompt is embedded once.

#include <functional>

#include "rewards/lvlm.hpp"

namespace rewards {

// Judgements by the rows of embeddings.
struct LvlmData {
  at::Tensor images;  // [I, P] unit norm
  at::Tensor texts;   // [T, P] unit norm, of each distinct prompt
  struct Points {
    at::Tensor image, text;  // [N] int64
    at::Tensor bins;         // [N, K, 5] soft labels
    at::Tensor known;        // [N, K] 1 where the judge scored that axis
  } points;
  struct Pairs {
    at::Tensor a, b, text;  // [Q] int64
    at::Tensor preference;  // [Q, K] probability that a is better
    at::Tensor known;       // [Q, K]
  } pairs;
};
// The rows whose prompt `keep` ([T] bool) holds.
LvlmData rows_of_prompts(const LvlmData& data, const at::Tensor& keep);

struct LvlmTraining {
  int64_t epochs = 20;
  int64_t batch_size = 256;     // point rows; and half as many pairs
  double learning_rate = 1e-3;  // falls to 0 as a cosine
  double weight_decay = 1e-2;
  double label_smoothing = 0.02;
  int64_t seed = 0;
};

// The terms of the loss, each a mean over rows, axes that are known, and members; `weight`: [M, N].
// KL(bins || q) and a tenth of Huber's loss of the mean.
at::Tensor point_loss(const at::Tensor& logits,  // [M, N, K, 5]
                      const at::Tensor& bins,    // [N, K, 5]
                      const at::Tensor& known,   // [N, K]
                      const at::Tensor& weight);
// Binary cross entropy of sigmoid(gain (mean_a - mean_b)); means [M, Q, K].
at::Tensor pair_loss(const at::Tensor& mean_a,
                     const at::Tensor& mean_b,
                     const at::Tensor& gain,
                     const at::Tensor& preference,
                     const at::Tensor& known,
                     const at::Tensor& weight);
// 1 - sqrt(p p') - sqrt((1 - p)(1 - p')): fidelity loss of two preferences (DeQA-Score).
// Elementwise.
at::Tensor fidelity_loss(const at::Tensor& p, const at::Tensor& other);

using LvlmReport = std::function<void(int64_t epoch, double loss)>;
LvlmStudent train_lvlm(const LvlmConfig& config,
                       const LvlmData& data,
                       const LvlmTraining& options,
                       const LvlmReport& report);

// Fits each axis' temperature, and its gain where there are pairs, on judgements that the training
// did not see: the best of a grid by the negative logarithm of the likelihood.
void calibrate(LvlmStudent& student, const LvlmData& held_out);

}  // namespace rewards
