#include "tools/pairs/clean.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr int64_t kMostVotes = int64_t{1} << 27;  // of all pairs: 1 GiB

using Pairs = std::vector<rewards::LabelledPair>;
using PictureKey = std::pair<int64_t, int64_t>;

// That the picture of the smaller number is preferred.
double p_of_smaller(const rewards::LabelledPair& pair) {
  return pair.a < pair.b ? pair.p : 1 - pair.p;
}
PictureKey key_of_pair(const rewards::LabelledPair& pair) {
  return {std::min(pair.a, pair.b), std::max(pair.a, pair.b)};
}

Labels second_source(const std::string& source,
                     const Labels& first,
                     const rewards::Judgements& judgements,
                     PictureTable& table) {
  if (source != "judgements") return labels_of_choices({source}, table);
  if (first.source == "judgements")
    throw BadInput(
        "--consensus judgements: expected another source than that of the labels; give --choices");
  Labels labels = labels_of_judgements(judgements, "--judgements", table);
  if (labels.pairs.empty())
    throw BadInput("--consensus judgements: expected pairs in --judgements, found none");
  return labels;
}

// Keeps the pairs that the other source places alike.
ConsensusCount keep_consensus(const std::string& name, const Labels& other, Pairs& pairs) {
  std::map<PictureKey, double> known;
  for (const auto& pair : other.pairs) known[key_of_pair(pair)] = p_of_smaller(pair);
  ConsensusCount count{.source = name};
  std::erase_if(pairs, [&](const rewards::LabelledPair& pair) {
    const auto found = known.find(key_of_pair(pair));
    if (found == known.end()) {
      ++count.unknown;
      return true;
    }
    ++count.compared;
    const bool alike = rewards::placed_alike(p_of_smaller(pair), found->second);
    count.alike += alike;
    return !alike;
  });
  return count;
}

std::vector<std::string> member_names(const CleaningConfig& config, const PictureTable& table) {
  if (!config.members.empty()) return data::split(config.members, ',');
  std::vector<std::string> names;
  for (const auto& column : table.columns()) {
    if (column != "total" && column != "judge" && column != config.by) names.push_back(column);
  }
  if (names.empty())
    throw BadInput("pairs: expected scores that vote, besides that of --by, found none");
  return names;
}

// -> [N, F] fp64, a minus b; NaN where either score is missing
at::Tensor score_differences(const Pairs& pairs,
                             const std::vector<std::string>& names,
                             PictureTable& table) {
  const auto count = static_cast<int64_t>(pairs.size());
  const auto features = static_cast<int64_t>(names.size());
  if (count > kMostVotes / features)
    throw BadInput("pairs: expected at most " + std::to_string(kMostVotes / features) +
                   " pairs for " + std::to_string(features) + " scores, found " +
                   std::to_string(count) + "; name fewer --members");
  at::Tensor differences = at::empty({features, count}, at::kDouble);
  auto* out = differences.mutable_data_ptr<double>();
  for (const auto& name : names) {
    const auto& values = table.values(name, "--members");
    for (const auto& pair : pairs) {
      const double gap = values[static_cast<size_t>(pair.a)] - values[static_cast<size_t>(pair.b)];
      *out++ = std::isfinite(gap) ? gap : std::numeric_limits<double>::quiet_NaN();
    }
  }
  return differences.t().contiguous();
}

// Votes of members that are learnt from the pairs whose scores are all known. -> [N, M]
at::Tensor learnt_votes(const Pairs& pairs,
                        const at::Tensor& differences,
                        int64_t images,
                        const rewards::CrossFitting& fitting,
                        const char*& folds_of) {
  const at::Tensor rows =
      at::nonzero(differences.isnan().any(1).logical_not()).flatten();  // [K] int64
  Pairs known;
  for (int64_t k = 0; k < rows.size(0); ++k)
    known.push_back(pairs[static_cast<size_t>(rows[k].item<int64_t>())]);
  if (static_cast<int64_t>(pairs.size()) > kMostVotes / fitting.members)
    throw BadInput("--cross_fit: expected fewer members for " + std::to_string(pairs.size()) +
                   " pairs");
  at::Tensor votes = at::full({differences.size(0), fitting.members},
                              std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  if (known.empty()) return votes;
  const auto fit =
      rewards::cross_fitted_votes(differences.index_select(0, rows), known, images, fitting);
  folds_of = fit.unit;
  return votes.index_copy(0, rows, fit.votes);
}

std::vector<MemberCount> member_counts(const std::vector<CleanPair>& pairs,
                                       const at::Tensor& votes,
                                       const std::vector<std::string>& names) {
  std::vector<MemberCount> counts;
  const at::Tensor by_member = votes.t().contiguous();
  const auto* vote = by_member.const_data_ptr<double>();
  for (int64_t m = 0; m < votes.size(1); ++m) {
    const bool named = static_cast<int64_t>(names.size()) == votes.size(1);
    MemberCount count{.name = named ? names[static_cast<size_t>(m)]
                                    : "member " + std::to_string(m + 1)};
    for (const auto& pair : pairs) {
      const double d = *vote++;
      if (std::isnan(d) || pair.label.p == 0.5) continue;
      ++count.votes;
      count.agreed += d == 0 ? 0.5 : (d > 0) == (pair.label.p > 0.5) ? 1 : 0;
    }
    counts.push_back(count);
  }
  return counts;
}

void add_votes(const CleaningConfig& config, PictureTable& table, Cleaned& cleaned) {
  Pairs pairs;
  for (const auto& pair : cleaned.pairs) pairs.push_back(pair.label);
  const auto names = member_names(config, table);
  const at::Tensor differences = score_differences(pairs, names, table);
  const at::Tensor votes = config.cross_fit > 0
                               ? learnt_votes(pairs, differences, table.size(),
                                              cross_fitting_of(config), cleaned.folds_of)
                               : rewards::in_equal_units(differences);
  const auto strengths = rewards::strengths_of(votes);
  for (size_t i = 0; i < strengths.size(); ++i) cleaned.pairs[i].strength = strengths[i];
  cleaned.members = member_counts(cleaned.pairs, votes,
                                  config.cross_fit > 0 ? std::vector<std::string>{} : names);
  cleaned.voted = true;
  cleaned.without_votes = static_cast<int64_t>(
      std::erase_if(cleaned.pairs, [](const CleanPair& pair) { return pair.strength.votes == 0; }));
  if (cleaned.pairs.empty())
    throw BadInput("pairs: expected scores of the pictures in the labels, found none of " +
                   data::joined(names, ", ") + " for both pictures of any pair");
}

ConsensusCount keep_voted(std::vector<CleanPair>& pairs) {
  ConsensusCount count{.source = "vote"};
  std::erase_if(pairs, [&](const CleanPair& pair) {
    ++count.compared;
    const double mean = pair.strength.mean;
    const bool alike = rewards::placed_alike(pair.label.p, mean > 0 ? 1 : mean < 0 ? 0 : 0.5);
    count.alike += alike;
    return !alike;
  });
  return count;
}

void apply_rules(const CleaningConfig& config, Cleaned& cleaned) {
  std::vector<double> strengths;  // of decided labels
  for (const auto& pair : cleaned.pairs) {
    if (pair.label.p != 0.5) strengths.push_back(strength_of_label(pair));
  }
  const auto fates = rewards::fates_of(strengths, rules_of(config));
  size_t decided = 0;
  for (auto& pair : cleaned.pairs) {
    if (pair.label.p != 0.5) pair.fate = fates[decided++];
    pair.p = rewards::relabelled(pair.label.p, pair.fate, config.soft_label);
    if (config.probability == "normal") pair.p = rewards::normal_preference(pair.strength);
    if (config.probability == "share") pair.p = pair.strength.share;
  }
}

void check_left(bool any, const std::string& rule) {
  if (!any)
    throw BadInput("pairs: expected choices that remain after " + rule +
                   ", found none; give more choices or a milder rule");
}

}  // namespace

double strength_of_label(const CleanPair& pair) {
  return pair.label.p < 0.5 ? -pair.strength.mean : pair.strength.mean;
}

Cleaned clean_labels(const Labels& labels,
                     const rewards::Judgements& judgements,
                     const CleaningConfig& config,
                     PictureTable& table) {
  Cleaned cleaned;
  cleaned.labels = static_cast<int64_t>(labels.pairs.size());
  Pairs pairs = labels.pairs;
  check_left(!pairs.empty(), "contradictions are left out");
  for (const auto& source : config.consensus) {
    if (source == "vote") continue;
    cleaned.consensus.push_back(
        keep_consensus(source, second_source(source, labels, judgements, table), pairs));
    check_left(!pairs.empty(), "--consensus " + source);
  }
  if (!config.points.empty()) {
    const auto before = static_cast<int64_t>(pairs.size());
    pairs =
        rewards::duel_then_point(pairs, table.values(config.points, "--points"), config.least_gap);
    cleaned.without_duel = before - static_cast<int64_t>(pairs.size());
    check_left(!pairs.empty(), "--points");
  }
  for (const auto& pair : pairs) cleaned.pairs.push_back({.label = pair, .p = pair.p});
  if (!needs_votes(config)) return cleaned;
  add_votes(config, table, cleaned);
  if (std::find(config.consensus.begin(), config.consensus.end(), "vote") != config.consensus.end())
    cleaned.consensus.push_back(keep_voted(cleaned.pairs));
  check_left(!cleaned.pairs.empty(), "--consensus vote");
  apply_rules(config, cleaned);
  check_left(std::any_of(cleaned.pairs.begin(), cleaned.pairs.end(),
                         [](const auto& one) { return one.fate != rewards::Fate::kDropped; }),
             "--drop");
  return cleaned;
}

}  // namespace tools
