#include "tools/train_reward/member_options.hpp"

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "rewards/loader/members.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {

void declare_members(Options& options, MemberConfig& config) {
  options.group("members of an ensemble");
  options.integer("members", config.members, "how many to train", 1, rewards::kMostMembers);
  options.choice("vary", config.vary, {"seed", "data", "clip"},
                 "what differs: the seed; the data too (a bootstrap); the CLIP");
  options.text("clips", config.clips, "of --vary clip: CLIP folders A,B,C, one a member");
  options.rare().number("label_noise", config.label_noise,
                        "for studies: share of the training labels made wrong", 0, 1);
}

std::vector<fs::path> clips_of_members(MemberConfig& config) {
  if (config.vary != "clip") {
    if (!config.clips.empty())
      throw BadInput("--clips: goes with --vary clip, found --vary " + config.vary);
    return {};
  }
  std::vector<fs::path> clips;
  for (const fs::path clip : data::split(config.clips, ',')) {
    if (clip.empty()) continue;
    if (!fs::is_directory(clip))
      throw BadInput("--clips: " + clip.string() + ": expected a CLIP folder, found none");
    clips.push_back(clip);
  }
  const auto count = static_cast<int64_t>(clips.size());
  if (count < 2 || count > rewards::kMostMembers)
    throw BadInput("--vary clip: expected --clips with 2 to " +
                   std::to_string(rewards::kMostMembers) + " CLIP folders, found " +
                   std::to_string(count));
  if (config.members != 1 && config.members != count)
    throw BadInput("--members: expected one for each of the " + std::to_string(count) +
                   " folders of --clips, found " + std::to_string(config.members));
  config.members = count;
  return clips;
}

uint64_t seed_of_member(int64_t seed, int64_t member) {
  constexpr uint64_t kStride = 1'000'003;
  return static_cast<uint64_t>(seed) + kStride * static_cast<uint64_t>(member);
}

}  // namespace tools
