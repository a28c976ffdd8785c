#include "rewards/registry/registry.hpp"

#include <map>
#include <memory>
#include <set>

#include "data/base/error.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/custom/reward_spec.hpp"
#include "rewards/judge_student/student.hpp"
#include "rewards/scorers/aesthetic.hpp"
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

// Loads what rewards share, at the first call that needs it.
class Loader {
 public:
  explicit Loader(const RewardSources& sources) : sources_(sources) {
    for (const auto& text : sources.definitions) {
      const RewardSpec definition = parse_definition(text);
      if (!definitions_.emplace(definition.name, definition).second)
        throw BadInput("define: '" + definition.name + "' is given twice; give it once");
    }
  }
  const RewardSources& sources() const { return sources_; }

  const std::shared_ptr<ClipEmbedder>& clip() {
    if (sources_.clip.empty())
      throw BadInput("this reward needs a CLIP; name its folder (--clip FOLDER)");
    if (!clip_) clip_ = load_clip_embedder(sources_.clip, sources_.device);
    return clip_;
  }
  const RewardSpec* definition(const std::string& name) const {
    const auto found = definitions_.find(name);
    return found == definitions_.end() ? nullptr : &found->second;
  }
  std::vector<std::string> defined() const {
    std::vector<std::string> names;
    for (const auto& [name, definition] : definitions_) names.push_back(name);
    return names;
  }
  FamilyOptions family_options() const {
    return {.tokenizer = sources_.tokenizer, .device = sources_.device, .trace = sources_.trace};
  }
  std::set<std::string> open;  // expressions that are being made: a name among them is a circle

 private:
  RewardSources sources_;
  std::map<std::string, RewardSpec> definitions_;
  std::shared_ptr<ClipEmbedder> clip_;
};

struct Entry {
  RewardInfo info;
  Reward (*make)(Loader& loader);
};

Reward make_aesthetic_reward(Loader& loader) {
  if (loader.sources().aesthetic.empty()) {
    throw BadInput(
        "aesthetic: needs a head trained by `laurel train-reward aesthetic`; name its file "
        "(--aesthetic FILE)");
  }
  return aesthetic_reward(loader.clip(), loader.sources().aesthetic);
}

Reward make_social_reward(Loader& loader) {
  const auto& sources = loader.sources();
  if (sources.social.empty()) {
    throw BadInput(
        "social: needs a CLIP trained by `laurel train-reward social`; name its folder (--social "
        "FOLDER)");
  }
  return social_reward(load_clip_embedder(sources.social, sources.device));
}

Reward make_lvlm_reward(Loader& loader) {
  const auto& sources = loader.sources();
  if (sources.lvlm.empty()) {
    throw BadInput(
        "lvlm: needs a student trained by `laurel train-reward lvlm`; name its folder (--lvlm "
        "FOLDER)");
  }
  const auto own = lvlm_clip_folder(sources.lvlm);
  if (!std::filesystem::exists(own)) return lvlm_reward(loader.clip(), sources.clip, sources.lvlm);
  return lvlm_reward(load_clip_embedder(own, sources.device), own, sources.lvlm);
}

int quality_of(const Loader& loader) { return static_cast<int>(loader.sources().jpeg_quality); }

const std::vector<Entry>& entries() {
  static const std::vector<Entry> table = {
      {aesthetic_info(), make_aesthetic_reward},
      {clip_score_info(), [](Loader& loader) { return clip_score_reward(loader.clip()); }},
      {social_info(), make_social_reward},
      {lvlm_info(), make_lvlm_reward},
      {oracle_reward().info, [](Loader&) { return oracle_reward(); }},
      {oracle_part_reward(OraclePart::kObjects).info,
       [](Loader&) { return oracle_part_reward(OraclePart::kObjects); }},
      {oracle_part_reward(OraclePart::kLayout).info,
       [](Loader&) { return oracle_part_reward(OraclePart::kLayout); }},
      {brightness_reward().info, [](Loader&) { return brightness_reward(); }},
      {colourfulness_reward().info, [](Loader&) { return colourfulness_reward(); }},
      {jpeg_compressibility_reward(95).info,
       [](Loader& loader) { return jpeg_compressibility_reward(quality_of(loader)); }},
      {jpeg_incompressibility_reward(95).info,
       [](Loader& loader) { return jpeg_incompressibility_reward(quality_of(loader)); }},
  };
  return table;
}

Reward make(const std::string& name, Loader& loader);

// What an expression calls by a shorter name.
Reward make_fact(const std::string& name, Loader& loader) {
  if (name == "clip" && !loader.definition(name)) return make("clip_score", loader);
  if (name == "jpeg_kb" && !loader.definition(name)) return make("jpeg_incompressibility", loader);
  return make(name, loader);
}

Reward make_expression(const RewardSpec& definition, Loader& loader) {
  const std::string where = "reward " + definition.name;
  if (!loader.open.insert(definition.name).second)
    throw BadInput(where + ": its formula leads back to itself");
  const Expression expression = parse_expression(definition.what, where);
  std::vector<Reward> facts;
  for (const auto& name : expression.names) facts.push_back(make_fact(name, loader));
  loader.open.erase(definition.name);
  return expression_reward(definition.name, expression, facts);
}

Reward make_defined_aesthetic(const RewardSpec& definition, Loader& loader) {
  const auto clip = definition.settings.find("clip");
  Reward reward;
  if (clip == definition.settings.end()) {
    reward = aesthetic_reward(loader.clip(), definition.what);
  } else {
    const FamilyClip opened =
        open_family_clip("aesthetic", clip->second, definition.settings, loader.family_options());
    reward = aesthetic_reward(opened.clip, definition.what);
    reward.info.model = opened.description;
  }
  reward.info.name = definition.name;
  return reward;
}

Reward make_defined(const RewardSpec& definition, Loader& loader) {
  const std::string& kind = definition.kind;
  if (kind == "expression") return make_expression(definition, loader);
  if (kind == "program")
    return program_reward(definition.name, definition.what, loader.sources().outside);
  if (kind == "http")
    return http_reward(definition.name,
                       data::parse_url(definition.what, "reward " + definition.name),
                       loader.sources().outside);
  if (kind == "aesthetic") return make_defined_aesthetic(definition, loader);
  if (kind == "imagereward") return image_reward(definition, loader.sources().device);
  if (kind == "mps") return mps_reward(definition, loader.family_options());
  return clip_family_reward(definition, loader.family_options());
}

Reward make(const std::string& name, Loader& loader) {
  const auto given = loader.sources().given.find(name);
  if (given != loader.sources().given.end()) return given->second;
  if (const RewardSpec* definition = loader.definition(name))
    return make_defined(*definition, loader);
  for (const auto& entry : entries()) {
    if (entry.info.name == name) return entry.make(loader);
  }
  for (const auto& family : families()) {
    if (family.name == name)
      throw BadInput("reward '" + name + "': name its weights: --define " + name + "=" + name +
                     ":PATH (" + family.description + ")");
  }
  std::vector<std::string> known = reward_names();
  for (const auto& defined : loader.defined()) known.push_back(defined);
  const std::string near = data::nearest(name, known);
  throw BadInput("reward '" + name + "': unknown" +
                 (near.empty() ? "" : "; did you mean " + near + "?") +
                 " (`laurel score --list` shows all)");
}

std::vector<WeightedReward> make_all(const std::vector<RewardWeight>& names, Loader& loader) {
  std::vector<WeightedReward> rewards;
  for (const auto& [name, weight] : names) rewards.push_back({make(name, loader), weight});
  return rewards;
}

std::vector<RewardWeight> parsed(const std::string& specification) {
  return specification.empty() ? std::vector<RewardWeight>() : parse_reward_weights(specification);
}

}  // namespace

std::vector<std::string> reward_names() {
  std::vector<std::string> names;
  for (const auto& entry : entries()) names.push_back(entry.info.name);
  return names;
}

std::vector<RewardInfo> reward_infos() {
  std::vector<RewardInfo> infos;
  for (const auto& entry : entries()) infos.push_back(entry.info);
  return infos;
}

Reward make_reward(const std::string& name, const RewardSources& sources) {
  Loader loader(sources);
  return make(name, loader);
}

std::vector<WeightedReward> make_rewards(const std::string& specification,
                                         const RewardSources& sources) {
  Loader loader(sources);
  return make_all(parse_reward_weights(specification), loader);
}

RewardSets make_reward_sets(const std::string& trained,
                            const std::string& evaluated,
                            const RewardSources& sources) {
  const auto to_train = parsed(trained), to_evaluate = parsed(evaluated);
  for (const auto& one : to_evaluate) {
    for (const auto& other : to_train) {
      if (one.name == other.name)
        throw BadInput("reward '" + one.name + "': is given twice, to train on and to evaluate; " +
                       "give it once");
    }
  }
  Loader loader(sources);
  return {make_all(to_train, loader), make_all(to_evaluate, loader)};
}

}  // namespace rewards
