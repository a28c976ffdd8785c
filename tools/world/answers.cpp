#include "tools/world/answers.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "rewards/evaluation/wilson.hpp"

namespace tools {
namespace {

constexpr size_t kMostDifferences = 20000;

double half_if_even(double difference) { return difference > 0 ? 1 : difference < 0 ? 0 : 0.5; }

using PictureByName = std::map<std::string, const ShownPicture*>;

PictureByName by_name(const std::vector<ShownPicture>& pictures) {
  PictureByName found;
  for (const auto& picture : pictures) found[picture.file.filename().string()] = &picture;
  return found;
}

// Of the base and the tuned picture.
std::vector<std::pair<const ShownPicture*, const ShownPicture*>> matched(
    const std::vector<ShownPicture>& base, const std::vector<ShownPicture>& tuned) {
  const auto others = by_name(tuned);
  std::vector<std::pair<const ShownPicture*, const ShownPicture*>> pairs;
  for (const auto& [name, picture] : by_name(base)) {
    const auto other = others.find(name);
    if (other == others.end()) continue;
    if (picture->prompt != other->second->prompt)
      throw data::BadInput(other->second->file.string() + ": expected the prompt of " +
                           picture->file.string() +
                           ", found another; --base and --tuned need "
                           "pictures of the same prompts and seeds under the same names");
    pairs.emplace_back(picture, other->second);
  }
  if (pairs.empty())
    throw data::BadInput("--base, --tuned: expected pictures of the same names, found none");
  return pairs;
}

}  // namespace

std::optional<std::string> answer_about(double taste_a,
                                        double taste_b,
                                        const AnswerOptions& options,
                                        world::RandomStream& chance) {
  if (chance.chance(options.skip)) return std::nullopt;
  switch (answer_of(answer_odds(taste_a - taste_b, options.noise), chance)) {
    case Said::kA:
      return "a";
    case Said::kB:
      return "b";
    case Said::kTie:
      break;
  }
  return std::max(taste_a, taste_b) < options.bad_below ? "both_bad" : "tie";
}

std::vector<double> taste_differences(const std::vector<ShownPicture>& pictures,
                                      const PictureGroups& groups) {
  const auto pairs = pairs_inside(groups);
  const size_t stride = 1 + pairs.size() / kMostDifferences;
  std::vector<double> differences;
  for (size_t i = 0; i < pairs.size(); i += stride)
    differences.push_back(pictures[static_cast<size_t>(pairs[i].first)].taste -
                          pictures[static_cast<size_t>(pairs[i].second)].taste);
  return differences;
}

double lower_quartile(const std::vector<ShownPicture>& pictures) {
  std::vector<double> tastes;
  for (const auto& picture : pictures) tastes.push_back(picture.taste);
  const auto place = tastes.begin() + static_cast<int64_t>(tastes.size() / 4);
  std::nth_element(tastes.begin(), place, tastes.end());
  return *place;
}

BlindProof prove_blind(const std::vector<ShownPicture>& base,
                       const std::vector<ShownPicture>& tuned,
                       const AnswerOptions& options,
                       world::RandomStream& chance) {
  BlindProof proof;
  double better = 0;
  const auto pairs = matched(base, tuned);
  for (const auto& [before, after] : pairs) {
    better += half_if_even(after->taste - before->taste);
    proof.base_taste += before->taste / static_cast<double>(pairs.size());
    proof.tuned_taste += after->taste / static_cast<double>(pairs.size());
    const bool tuned_first = chance.chance(0.5);
    const ShownPicture &a = tuned_first ? *after : *before, &b = tuned_first ? *before : *after;
    const auto answer = answer_about(a.taste, b.taste, options, chance);
    if (!answer) continue;
    const bool decided = *answer == "a" || *answer == "b";
    proof.even += !decided;
    proof.tuned += decided && (*answer == "a") == tuned_first;
    proof.base += decided && (*answer == "a") != tuned_first;
    proof.lines.push_back({{"prompt", a.prompt},
                           {"a", a.file.string()},
                           {"b", b.file.string()},
                           {"winner", *answer},
                           {"tuned", tuned_first ? "a" : "b"}});
  }
  const auto answers = static_cast<double>(proof.tuned + proof.base + proof.even);
  proof.share = rewards::wilson(
      static_cast<double>(proof.tuned) + static_cast<double>(proof.even) / 2, answers);
  proof.without_noise = rewards::wilson(better, static_cast<double>(pairs.size()));
  return proof;
}

}  // namespace tools
