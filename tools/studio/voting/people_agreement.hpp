#pragma once

// How far people agree, by the pairs of pictures that more than one of them answered.
//
// Answers are nominal: the first picture, the second, or equal. Which of the two pictures is called
// the first means nothing, so each pair counts in both orders: a person's share of "first" is that
// of "second".

#include <map>
#include <utility>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "tools/studio/store/votes.hpp"

namespace studio {

// By the ids of the two pictures, the smaller first: 1: that one is preferred, -1: the other, 0:
// equal, or both bad.
using Preferences = std::map<std::pair<int64_t, int64_t>, int>;

// Of a person's answers that stand: the first to each pair, or with `again` the answer to its
// repetition. Skips are none.
Preferences preferences_of(const std::vector<StandingVote>& votes, int64_t person, bool again);

struct Concordance {
  rewards::Interval share{};  // of pairs that are answered alike, Wilson's 95 %; NaN without pairs
  double kappa = 0;           // NaN where it is not defined
  int64_t pairs = 0;
};
// Cohen, "A coefficient of agreement for nominal scales" (1960): (p_o - p_e) / (1 - p_e), p_e what
// the shares of each one's answers make by chance.
Concordance cohens_kappa(const Preferences& one, const Preferences& other);

// The same of a prediction that is right on `share` of decided pairs and knows no equal ones: p_e
// is 1/2.
double kappa_of_share(double share);

// Krippendorff, "Content analysis" (2004), chapter 11, nominal: 1 - D_o / D_e over the pairs that
// at least two people answered. NaN where it is not defined.
struct Alpha {
  double value = 0;
  int64_t pairs = 0;
};
Alpha krippendorffs_alpha(const std::vector<Preferences>& people);

}  // namespace studio
