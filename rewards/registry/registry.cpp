#include "rewards/registry/registry.hpp"

#include "data/base/error.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/custom/http_reward.hpp"
#include "rewards/custom/program_reward.hpp"
#include "rewards/judge_student/reward.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/pairs/examples_reward.hpp"
#include "rewards/pairs/reward.hpp"
#include "rewards/scorers/aesthetic.hpp"
#include "rewards/scorers/clip_family.hpp"
#include "rewards/scorers/clip_score.hpp"
#include "rewards/scorers/image_reward.hpp"
#include "rewards/scorers/image_stats.hpp"
#include "rewards/scorers/jpeg_size.hpp"
#include "rewards/scorers/mps.hpp"
#include "rewards/social/reward.hpp"
#include "rewards/world/oracle_reward.hpp"

using data::BadInput;

namespace rewards {
namespace {

const RewardEntry* entry_named(const std::string& name) {
  for (const auto* entry : reward_entries()) {
    if (entry->info.name == name) return entry;
  }
  return nullptr;
}

[[noreturn]] void refuse(const std::string& name, const RewardLoader& loader) {
  for (const auto* family : reward_families()) {
    if (family->name == name && !family->settings.empty())
      throw BadInput("reward '" + name + "': name its weights: --define " + name + "=" + name +
                     ":PATH (" + family->description + ")");
  }
  std::vector<std::string> known;
  for (const auto* entry : reward_entries()) known.push_back(entry->info.name);
  for (const auto& [spec, value] : loader.specs()) known.push_back(spec);
  for (const auto& [given, reward] : loader.sources().given) known.push_back(given);
  const std::string near = data::nearest(name, known);
  throw BadInput("reward '" + name + "': unknown" +
                 (near.empty() ? "" : "; did you mean " + near + "?") +
                 " (`laurel score --list` shows all)");
}

Reward make(const std::string& name, RewardLoader& loader) {
  const auto given = loader.sources().given.find(name);
  if (given != loader.sources().given.end()) return given->second;
  if (const RewardSpec* spec = loader.spec(name)) return spec->family->make(*spec, loader);
  if (const RewardEntry* entry = entry_named(name)) return entry->make(loader);
  refuse(name, loader);
}

// A reward that a formula names, also by its shorter name.
Reward make_part(const std::string& name, RewardLoader& loader) {
  for (const auto* entry : reward_entries()) {
    if (entry->name_in_formulas == name && !loader.spec(name)) return entry->make(loader);
  }
  return make(name, loader);
}

RewardLoader loader_of(const RewardSources& sources) {
  std::vector<RewardSpec> specs;
  for (const auto& text : sources.definitions)
    specs.push_back(parse_reward_spec(text, reward_families()));
  return {sources, specs, make_part};
}

std::vector<WeightedReward> make_all(const std::vector<RewardWeight>& names, RewardLoader& loader) {
  std::vector<WeightedReward> rewards;
  for (const auto& [name, weight] : names) rewards.push_back({make(name, loader), weight});
  return rewards;
}

}  // namespace

const std::vector<const RewardEntry*>& reward_entries() {
  static const std::vector<const RewardEntry*> rows = {
      &kAestheticEntry,
      &kClipScoreEntry,
      &kSocialEntry,
      &kJudgeStudentEntry,
      &kOracleEntry,
      &kOracleObjectsEntry,
      &kOracleLayoutEntry,
      &kBrightnessEntry,
      &kColourfulnessEntry,
      &kJpegCompressibilityEntry,
      &kJpegIncompressibilityEntry,
  };
  return rows;
}

const std::vector<const FamilyEntry*>& reward_families() {
  static const std::vector<const FamilyEntry*> rows = {
      &kClipFamily,  &kSocialFamily,    &kHpsv2Family,       &kPickscoreFamily,
      &kMpsFamily,   &kAestheticFamily, &kImageRewardFamily, &kProgramFamily,
      &kPairsFamily, &kExamplesFamily,  &kHttpFamily,        &kExpressionFamily,
  };
  return rows;
}

Reward make_reward(const std::string& name, const RewardSources& sources) {
  RewardLoader loader = loader_of(sources);
  return make(name, loader);
}

std::vector<WeightedReward> make_rewards(const std::string& specification,
                                         const RewardSources& sources) {
  RewardLoader loader = loader_of(sources);
  return make_all(parse_reward_weights(specification), loader);
}

RewardSets make_reward_sets(const std::vector<RewardWeight>& trained,
                            const std::vector<RewardWeight>& evaluated,
                            const RewardSources& sources) {
  for (const auto& one : evaluated) {
    for (const auto& other : trained) {
      if (one.name == other.name)
        throw BadInput("reward '" + one.name + "': is given twice, to train on and to evaluate; " +
                       "give it once");
    }
  }
  RewardLoader loader = loader_of(sources);
  return {make_all(trained, loader), make_all(evaluated, loader)};
}

}  // namespace rewards
