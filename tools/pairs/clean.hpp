#pragma once

// Labels, their votes, and what the rules make of them.

#include <cstdint>
#include <string>
#include <vector>

#include "rewards/labels/rules.hpp"
#include "rewards/labels/strength.hpp"
#include "tools/pairs/config.hpp"
#include "tools/pairs/labels.hpp"

namespace tools {

struct CleanPair {
  rewards::LabelledPair label;   // as it was given
  rewards::Strength strength{};  // of a over b; votes 0: nobody voted
  rewards::Fate fate = rewards::Fate::kKept;
  double p = 1;  // that a is preferred, now
};

struct ConsensusCount {
  std::string source;
  int64_t compared = 0, alike = 0, unknown = 0;  // unknown: labels of which it says nothing
};
struct MemberCount {
  std::string name;
  double agreed = 0;  // decided labels that it votes for; a half where it has no preference
  int64_t votes = 0;
};

struct Cleaned {
  std::vector<CleanPair> pairs;  // with those that are dropped
  std::vector<ConsensusCount> consensus{};
  std::vector<MemberCount> members{};
  const char* folds_of = "";  // of --cross_fit: what stayed together
  int64_t labels = 0;         // before any rule
  int64_t without_votes = 0;  // left out
  int64_t without_duel = 0;   // labels that duel then point passes over
  bool voted = false;
};

// The rules in this order: consensus with judgements and files, duel then point, votes, consensus
// with the vote, flip, drop and soften. Throws BadInput for unknown scores, a source of consensus
// that is the labels' own, and when no label is left.
Cleaned clean_labels(const Labels& labels,
                     const rewards::Judgements& judgements,
                     const CleaningConfig& config,
                     PictureTable& table);

// The mean vote for the label's winner; that for a where the label is a tie.
double strength_of_label(const CleanPair& pair);

}  // namespace tools
