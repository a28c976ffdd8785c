#pragma once

// A reward from a handful of pictures: Gaussian naive Bayes on selected features of a pretrained
// network (Sermanet et al., "Unsupervised perceptual rewards for imitation learning", 2017), here
// on the axes of the CLIP image embedding, whitened by other pictures.

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "data/weights/tensor_map.hpp"
#include "rewards/evaluation/agreement.hpp"

namespace rewards {

// M axes of the embedding. Values on them: y = axes (e - centre).
struct Examples {
  at::Tensor axes;                        // [M, D]
  at::Tensor centre;                      // [D]
  at::Tensor like_mean, like_variance;    // [M]
  at::Tensor other_mean, other_variance;  // [M]
  at::Tensor
      fingerprint;  // [D] what the CLIP gives for clip_test_image() (rewards/pairs/files.hpp)
  double cap = 0;   // no picture scores more: nothing is gained beyond being as like the
                    // examples as they are like one another
  double low = 0;   // 1st percentile of the other pictures' scores
};

// The mean over the axes of log p(y | liked) - log p(y | other), without its constant, at most
// the cap:
//   r = mean_m [ (y - other_mean)^2 / (2 other_variance) - (y - like_mean)^2 / (2 like_variance) ]
// embeddings: [B, D] -> [B]; differentiable.
at::Tensor example_scores(const Examples& examples, const at::Tensor& embeddings);

struct ExampleOptions {
  int64_t axes = 32;     // kept, at most D
  double shrinkage = 8;  // examples' worth of the pictures' common variance in each variance
};

// likes: [Q, D], Q >= 3; dislikes: [N, D], N = 0 or >= 3; background: [Z, D], Z >= 16, pictures of
// all kinds; all fp64 unit norm. The axes are the principal ones of background and dislikes,
// divided by their deviations (the covariance is shrunk towards a multiple of the identity by
// D / (D + pictures)). "Other" are the dislikes, without any the background. Of the axes those
// with the largest |difference of means| - (sum of deviations) are kept. The cap is the 95th
// percentile of the scores of the likes, each by a fit without it.
Examples fit_examples(const at::Tensor& likes,
                      const at::Tensor& dislikes,
                      const at::Tensor& background,
                      const ExampleOptions& options);

// How often a like scores above another picture, neither of which was fitted to: against each
// dislike, or without any against every second background picture. The interval is a bootstrap over
// the likes. Arguments as of fit_examples.
Interval left_out_auc(const at::Tensor& likes,
                      const at::Tensor& dislikes,
                      const at::Tensor& background,
                      const ExampleOptions& options);

// The file in a folder, as save_taste and load_taste (rewards/pairs/files.hpp).
void save_examples(const std::filesystem::path& folder, const Examples& examples);
Examples load_examples(const std::filesystem::path& path);
Examples take_examples(const data::Weights& weights);

}  // namespace rewards
