#pragma once

// How well a person's answers are predicted, by the taste and by every other reward: on the answers
// that only measure.

#include <string>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "tools/studio/voting/head.hpp"
#include "tools/studio/voting/people_agreement.hpp"

namespace studio {

struct Share {
  std::string name{};
  rewards::Interval share{};  // Wilson's 95 %
  int64_t pairs = 0;
};

struct CurvePoint {
  int64_t answers = 0;  // that were learnt from
  rewards::Interval share;
};

struct PersonReport {
  int64_t person = 0;               // 0: all people together
  std::vector<Share> predictors{};  // "your taste", then each reward
  Share consistency{};  // the same answer to the same pair again: no reward can do better
  Share left{};         // of decided answers; far from a half: a bias to a side
  std::vector<CurvePoint> curve{};   // of the taste, after 10, 20, 40, .. answers and after all
  std::vector<Share> by_taste_of{};  // each person's taste on this person's answers
  std::vector<Concordance> with{};   // each person; with oneself: the answers given again
  Alpha alpha{};                     // of all people together alone
  std::string verdict{};             // what it means, a sentence or two
};
using Report = std::vector<PersonReport>;  // all people together, then each

Report report_of(const std::vector<StandingVote>& votes,
                 const std::vector<Person>& people,
                 const std::vector<rewards::TasteAnswer>& learnt,
                 const Head& head,
                 const Pool& pool,
                 const Features& features);

// Whether the taste predicts better than the best other reward, by the pairs that only one of them
// predicts (McNemar's comparison, Wilson's interval).
struct Contest {
  std::string reward;            // the best other one
  int64_t taste = 0, other = 0;  // pairs that only this one predicts
  int64_t pairs = 0;             // in all
  double taste_share = 0, other_share = 0;
};
std::string verdict_on(const Contest& contest, int64_t answers);

}  // namespace studio
