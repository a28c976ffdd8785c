#pragma once

// Fits an aesthetic head to mean ratings of images, on their CLIP embeddings.

#include <functional>

#include "rewards/scorers/aesthetic.hpp"

namespace rewards {

// The defaults are those of the original training (Adam, lr 1e-3, batches of 256, mean squared
// error, 5 % held out), plus a weight decay and with fewer epochs.
struct AestheticTraining {
  AestheticForm form = AestheticForm::kLinearMlp;
  int64_t epochs = 30;
  int64_t batch_size = 256;
  double learning_rate = 1e-3;
  double weight_decay = 1e-4;
  double validation_share = 0.05;  // held out to choose the best epoch
  bool bootstrap = false;          // trains on as many ratings, drawn with replacement
};

struct TrainedAesthetic {
  AestheticHead head;           // of the best epoch
  int64_t best_epoch = 0;       // from 1
  double validation_error = 0;  // mean squared, points^2
};

// Noise for studies: round(share N / 2) pairs of ratings, no rating in two pairs, change places.
// ratings: [N], share: 0 to 1 -> [N]
at::Tensor with_swapped_ratings(const at::Tensor& ratings, double share, at::Generator& generator);

// embeddings: [N, D] unit norm, ratings: [N] 1-10, N >= 20. `report` is called after each epoch.
using EpochReport =
    std::function<void(int64_t epoch, double training_error, double validation_error)>;
TrainedAesthetic train_aesthetic(const at::Tensor& embeddings,
                                 const at::Tensor& ratings,
                                 const AestheticTraining& options,
                                 at::Generator& generator,
                                 const EpochReport& report);

}  // namespace rewards
