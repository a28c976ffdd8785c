#include "rewards/loader/loader.hpp"

#include <utility>

#include "data/base/error.hpp"

using data::BadInput;

namespace rewards {

RewardLoader::RewardLoader(RewardSources sources,
                           const std::vector<RewardSpec>& specs,
                           MakeByName make)
    : sources_(std::move(sources)), make_(make) {
  for (const auto& spec : specs) {
    if (!specs_.emplace(spec.name, spec).second)
      throw BadInput("define: '" + spec.name + "' is given twice; give it once");
  }
}

const std::shared_ptr<ClipEmbedder>& RewardLoader::clip() {
  if (sources_.clip.empty())
    throw BadInput("this reward needs a CLIP; name its folder (--clip FOLDER)");
  return clip_in(sources_.clip);
}

const std::shared_ptr<ClipEmbedder>& RewardLoader::clip_in(const std::filesystem::path& folder) {
  auto& clip = clips_[std::filesystem::weakly_canonical(folder)];
  if (!clip) clip = load_clip_embedder(folder, sources_.device);
  return clip;
}

const std::filesystem::path& RewardLoader::weights(const WeightsOption& option) const {
  const auto found = sources_.weights.find(option.flag);
  if (found == sources_.weights.end() || found->second.empty())
    throw BadInput(std::string(option.flag) + ": needs " + option.missing);
  return found->second;
}

const RewardSpec* RewardLoader::spec(const std::string& name) const {
  const auto found = specs_.find(name);
  return found == specs_.end() ? nullptr : &found->second;
}

std::vector<Reward> RewardLoader::make_parts(const std::string& of,
                                             const std::vector<std::string>& names) {
  if (!open_.insert(of).second)
    throw BadInput("reward " + of + ": its formula leads back to itself");
  std::vector<Reward> parts;
  for (const auto& name : names) parts.push_back(make_(name, *this));
  open_.erase(of);
  return parts;
}

}  // namespace rewards
