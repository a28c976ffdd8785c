#pragma once

// A taste: a reward that is linear in the CLIP embedding of an image and in other rewards' scores,
// fitted to people's choices by Davidson's model (rewards/pairs/davidson.hpp).

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace rewards {

// Row 0 is what all people share; row p + 1 is person p's own. Scores are logarithms of strengths:
// a difference of 1 is odds of e. Their mean over the images of the choices is 0.
struct Taste {
  at::Tensor weight;                   // [1 + P, D] of the unit-norm embedding
  at::Tensor score_weight;             // [1 + P, K] of the other rewards' raw scores
  at::Tensor bias;                     // [1 + P]
  at::Tensor fingerprint;              // [D] what the CLIP gives for clip_test_image()
  std::vector<std::string> people{};   // P; none when the choices are one person's
  std::vector<std::string> rewards{};  // K names
  double tie = 0;                      // Davidson's nu
  double low = -1, high = 1;           // 1st and 99th percentile of the shared scores
  // Tastes fitted to resampled choices, whose mean this one is; only their weights and biases are
  // defined. None: it is a single fit.
  std::vector<Taste> members{};
};

// The row of Taste of this person; "": 0. Throws BadInput with the nearest name for an unknown one.
int64_t row_of_person(const Taste& taste, const std::string& person);

// embeddings: [B, D], scores: [B, K] -> [B]; differentiable in both.
at::Tensor taste_scores(const Taste& taste,
                        int64_t row,
                        const at::Tensor& embeddings,
                        const at::Tensor& scores);

// `taste` with the mean of these members' weights and biases: its score is the mean of theirs. At
// least one member.
Taste mean_of_members(Taste taste, std::vector<Taste> members);

// One answer about items, which are an image with its prompt.
struct TasteAnswer {
  int64_t a = 0, b = -1;  // items; b = -1: a single image is liked (kWonA) or disliked (kWonB)
  int64_t outcome = 0;    // kWonA, kWonB, kTied
  int64_t person = 0;
  double weight = 1;
  double p = 1;       // of a pair's outcome; 1 - p: of the opposite one
  double margin = 0;  // >= 0: by which the preferred item's score is to lead; not of ties
};

struct TasteData {
  at::Tensor embeddings;         // [I, D] fp64 unit norm
  at::Tensor scores;             // [I, K] fp64, finite
  std::vector<int64_t> images;   // I: number of each item's image
  std::vector<int64_t> prompts;  // I: number of its prompt; -1: none
  std::vector<TasteAnswer> answers;
  std::vector<std::string> people;   // P names, at least 1
  std::vector<std::string> rewards;  // K names
};

}  // namespace rewards
