#pragma once

// Loads what rewards share, each at the first call that needs it.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/loader/sources.hpp"

namespace rewards {

class RewardLoader {
 public:
  // `make` makes a reward by its name. Throws BadInput when two specs have one name.
  using MakeByName = Reward (*)(const std::string& name, RewardLoader& loader);
  RewardLoader(RewardSources sources, const std::vector<RewardSpec>& specs, MakeByName make);

  const RewardSources& sources() const { return sources_; }
  // The shared CLIP. Throws BadInput when sources().clip is empty.
  const std::shared_ptr<ClipEmbedder>& clip();
  // The CLIP of this folder, in Hugging Face's layout.
  const std::shared_ptr<ClipEmbedder>& clip_in(const std::filesystem::path& folder);
  // Throws BadInput that says what is missing.
  const std::filesystem::path& weights(const WeightsOption& option) const;
  // The spec of --define with this name; null: none.
  const RewardSpec* spec(const std::string& name) const;
  const std::map<std::string, RewardSpec>& specs() const { return specs_; }
  // Makes a reward that another one consists of. Throws BadInput when `of`, which is being made,
  // consists of itself.
  std::vector<Reward> make_parts(const std::string& of, const std::vector<std::string>& names);

 private:
  RewardSources sources_;
  std::map<std::string, RewardSpec> specs_;
  MakeByName make_;
  std::map<std::filesystem::path, std::shared_ptr<ClipEmbedder>> clips_;  // by folder
  std::set<std::string> open_;  // rewards that are being made
};

}  // namespace rewards
