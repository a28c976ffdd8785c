#include "rewards/registry/registry.hpp"

#include <algorithm>

#include "data/base/error.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/custom/http_reward.hpp"
#include "rewards/custom/program_reward.hpp"
#include "rewards/facts/image_facts.hpp"
#include "rewards/judge_student/reward.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/pairs/examples_reward.hpp"
#include "rewards/pairs/reward.hpp"
#include "rewards/scorers/aesthetic.hpp"
#include "rewards/scorers/clip_family.hpp"
#include "rewards/scorers/clip_score.hpp"
#include "rewards/scorers/diversity.hpp"
#include "rewards/scorers/image_reward.hpp"
#include "rewards/scorers/image_stats.hpp"
#include "rewards/scorers/jpeg_size.hpp"
#include "rewards/scorers/mps.hpp"
#include "rewards/social/reward.hpp"
#include "rewards/world/oracle_reward.hpp"
#include "rewards/world/rater_preference.hpp"

using data::BadInput;

namespace rewards {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepestFormula = 64;

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

const RewardEntry* entry_in_formulas(const std::string& name) {
  for (const auto* entry : reward_entries()) {
    if (entry->name_in_formulas == name) return entry;
  }
  return nullptr;
}

// A reward that a formula names, also by its shorter name.
Reward make_part(const std::string& name, RewardLoader& loader) {
  const FormulaPart part = formula_part(name);
  if (part.words) return with_words(make_part(part.reward, loader), *part.words);
  const RewardEntry* entry = entry_in_formulas(name);
  return entry && !loader.spec(name) ? entry->make(loader) : make(name, loader);
}

RewardLoader loader_of(const RewardSources& sources) {
  std::vector<RewardSpec> specs;
  for (const auto& text : sources.definitions)
    specs.push_back(parse_reward_spec(text, reward_families()));
  return {sources, specs, make_part};
}

std::vector<WeightedReward> make_all(const std::vector<RewardWeight>& names, RewardLoader& loader) {
  std::vector<WeightedReward> rewards;
  for (const auto& [name, weight] : names) {
    const auto whole = reward_of_members(name);
    const auto made = whole ? member_rewards(make(*whole, loader), weight)
                            : std::vector<WeightedReward>{{make(name, loader), weight}};
    rewards.insert(rewards.end(), made.begin(), made.end());
  }
  return rewards;
}

void add_part(const std::string& name, RewardLoader& loader, int depth, RewardOrigin& origin);

// A file or folder, and what the members in it read.
void add_weights(const fs::path& path, RewardOrigin& origin) {
  origin.weights.push_back(path);
  for (const auto& [weights, clip] : listed_members(path)) {
    origin.weights.push_back(weights);
    if (!clip.empty()) origin.weights.push_back(clip);
  }
}

void add_entry(const RewardEntry& entry, const RewardSources& sources, RewardOrigin& origin) {
  origin.is_gold = origin.is_gold || entry.is_gold;
  origin.compares_images = origin.compares_images || entry.info.compares_images;
  if (entry.reads_clip) origin.weights.push_back(sources.clip);
  if (!entry.weights) return;
  const auto found = sources.weights.find(entry.weights->flag);
  if (found != sources.weights.end()) add_weights(found->second, origin);
}

void add_spec(const RewardSpec& spec, RewardLoader& loader, int depth, RewardOrigin& origin) {
  const FamilyEntry& family = *spec.family;
  origin.compares_images = origin.compares_images || family.compares_images;
  if (family.settings.empty()) {
    origin.is_known = origin.is_known && family.parts;
  } else {
    add_weights(spec.argument, origin);
  }
  const auto clip = spec.settings.find("clip");
  if (clip != spec.settings.end())
    origin.weights.emplace_back(clip->second);
  else if (family.reads_clip)
    origin.weights.push_back(loader.sources().clip);
  if (!family.parts) return;
  for (const auto& part : family.parts(spec)) add_part(part, loader, depth + 1, origin);
}

void add_part(const std::string& name, RewardLoader& loader, int depth, RewardOrigin& origin) {
  if (depth > kDeepestFormula)
    throw BadInput("reward " + name + ": its formula leads back to itself");
  if (const auto whole = reward_of_members(name); whole && depth == 0)
    return add_part(*whole, loader, depth, origin);
  const FormulaPart part = formula_part(name);
  if (part.words) return add_part(part.reward, loader, depth + 1, origin);
  if (loader.sources().given.count(name) > 0)
    origin.is_known = false;
  else if (const RewardSpec* spec = loader.spec(name))
    add_spec(*spec, loader, depth, origin);
  else if (const RewardEntry* entry = entry_named(name))
    add_entry(*entry, loader.sources(), origin);
  else if (const RewardEntry* by_short_name = depth > 0 ? entry_in_formulas(name) : nullptr)
    add_entry(*by_short_name, loader.sources(), origin);
  else
    refuse(name, loader);
}

}  // namespace

const std::vector<const RewardEntry*>& reward_entries() {
  static const std::vector<const RewardEntry*> rows = [] {
    std::vector<const RewardEntry*> all = {
        &kAestheticEntry,
        &kClipScoreEntry,
        &kJudgeClipScoreEntry,
        &kSocialEntry,
        &kJudgeStudentEntry,
        &kOracleEntry,
        &kOracleObjectsEntry,
        &kOracleLayoutEntry,
        &kRaterPreferenceEntry,
        &kBrightnessEntry,
        &kColourfulnessEntry,
        &kJpegCompressibilityEntry,
        &kJpegIncompressibilityEntry,
        &kDiversityEntry,
    };
    for (const auto& fact : image_fact_entries()) all.push_back(&fact);
    return all;
  }();
  return rows;
}

const std::vector<const FamilyEntry*>& reward_families() {
  static const std::vector<const FamilyEntry*> rows = {
      &kClipFamily,      &kSocialFamily,    &kHpsv2Family,       &kPickscoreFamily,
      &kMpsFamily,       &kAestheticFamily, &kImageRewardFamily, &kProgramFamily,
      &kPairsFamily,     &kExamplesFamily,  &kHttpFamily,        &kExpressionFamily,
      &kDiversityFamily,
  };
  return rows;
}

Reward make_reward(const std::string& name, const RewardSources& sources) {
  RewardLoader loader = loader_of(sources);
  return make(name, loader);
}

std::vector<Reward> make_formula_parts(const std::vector<std::string>& names,
                                       const RewardSources& sources) {
  RewardLoader loader = loader_of(sources);
  std::vector<Reward> parts;
  for (const auto& name : names) parts.push_back(make_part(name, loader));
  return parts;
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

RewardOrigin origin_of(const std::string& name, const RewardSources& sources) {
  RewardLoader loader = loader_of(sources);
  RewardOrigin origin;
  add_part(name, loader, 0, origin);
  return origin;
}

bool share_weights(const RewardOrigin& a, const RewardOrigin& b) {
  const auto same = [](const fs::path& one, const fs::path& other) {
    return fs::weakly_canonical(one) == fs::weakly_canonical(other);
  };
  return std::any_of(a.weights.begin(), a.weights.end(), [&](const fs::path& one) {
    return std::any_of(b.weights.begin(), b.weights.end(),
                       [&](const fs::path& other) { return same(one, other); });
  });
}

}  // namespace rewards
