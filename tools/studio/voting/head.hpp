#pragma once

// What the answers so far say about all pictures of the session: the taste of
// rewards/pairs/davidson.hpp on the pool's embeddings and scores, with how sure it is.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rewards/pairs/taste.hpp"
#include "rewards/pairs/train_taste.hpp"
#include "tools/studio/store/votes.hpp"
#include "tools/studio/voting/pool.hpp"

namespace studio {

// The pool's pictures as the taste sees them: N pictures, K rewards.
struct Features {
  at::Tensor embeddings;             // [N, D] fp64
  at::Tensor scores;                 // [N, K] fp64
  std::vector<std::string> rewards;  // K names
  std::vector<bool> read;            // N
};

// One after the other. At least one batch; all of the same rewards.
Features joined(const std::vector<Features>& batches);

// Answers about pictures of the pool that were read, as rewards/pairs has them; skips are none,
// "both bad" is a tie and a dislike of either. people: numbers are places in it
std::vector<rewards::TasteAnswer> taste_answers(const std::vector<StandingVote>& votes,
                                                const std::string& purpose,
                                                const std::vector<Person>& people,
                                                const Pool& pool,
                                                const Features& features);

struct Head {
  std::vector<Person> people;  // P
  at::Tensor utility;          // [1 + P, N] fp64: of all people, then of each
  at::Tensor directions;       // [N, F] fp32, standardised
  // [F, F] fp32: covariance of the shared weights by Laplace's approximation
  at::Tensor covariance;
  int64_t answers = 0;  // that it learnt from
};
// answers: at least one decided pair. Ridges are chosen by cross-validation in 5 folds, of at most
// 2,000 answers.
Head fit_head(const std::vector<rewards::TasteAnswer>& answers,
              const std::vector<Person>& people,
              const Pool& pool,
              const Features& features);

// The row of `utility` of this person.
int64_t row_of(const Head& head, int64_t person);

// p (1 - p) x'Vx with x the difference of the two pictures: how uncertain the answer is, times how
// much of that uncertainty is the head's (Houlsby et al. 2011's two parts). About 0 for pictures
// that are alike, and for pairs of which the answer is known.
std::vector<double> worth_of(const Head& head, int64_t row, const std::vector<Pair>& pairs);

// z of a over b for each answer, by a [N] of utilities. -> [answers] fp64
at::Tensor margins_by(const at::Tensor& utility, const std::vector<rewards::TasteAnswer>& answers);

}  // namespace studio
