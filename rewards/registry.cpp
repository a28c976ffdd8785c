#include "rewards/registry.hpp"

#include <algorithm>
#include <memory>

#include "data/error.hpp"
#include "rewards/clip_score.hpp"
#include "rewards/image_stats.hpp"
#include "rewards/jpeg_size.hpp"
#include "rewards/lvlm.hpp"
#include "rewards/oracle_reward.hpp"
#include "rewards/social.hpp"
#include "rewards/weighted_sum.hpp"

using data::BadInput;

namespace rewards {
namespace {

// Loads what rewards share, at the first call that needs it.
class Loader {
 public:
  explicit Loader(const RewardSources& sources) : sources_(sources) {}
  const RewardSources& sources() const { return sources_; }

  const std::shared_ptr<ClipEmbedder>& clip() {
    if (sources_.clip.empty())
      throw BadInput("this reward needs a CLIP; name its folder (--clip FOLDER)");
    if (!clip_) clip_ = load_clip_embedder(sources_.clip, sources_.device);
    return clip_;
  }

 private:
  RewardSources sources_;
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
  return lvlm_reward(loader.clip(), sources.clip, sources.lvlm);
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

Reward make(const std::string& name, Loader& loader) {
  for (const auto& entry : entries()) {
    if (entry.info.name == name) return entry.make(loader);
  }
  const std::string near = data::nearest(name, reward_names());
  throw BadInput("reward '" + name + "': unknown" +
                 (near.empty() ? "" : "; did you mean " + near + "?") +
                 " (`laurel score --list` shows all)");
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
  std::vector<WeightedReward> rewards;
  for (const auto& [name, weight] : parse_reward_weights(specification))
    rewards.push_back({make(name, loader), weight});
  return rewards;
}

}  // namespace rewards
