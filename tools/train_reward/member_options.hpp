#pragma once

// The options of training several members of a reward.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/cli/options.hpp"

namespace tools {

struct MemberConfig {
  int64_t members = 1;
  std::string vary = "seed";  // how they differ: seed, data or clip
  std::string clips{};        // of clip: folders, with commas between them
  double label_noise = 0;     // share of the training labels that are made wrong
};

void declare_members(Options& options, MemberConfig& config);

// The CLIPs of --clips, one a member; empty: all members share one. Sets `members` to their number.
// Throws BadInput for a folder that is missing, for fewer than two, for --clips without --vary clip
// and the reverse, and for another number of --members.
std::vector<std::filesystem::path> clips_of_members(MemberConfig& config);

// Member 0 has the run's own seed, so that it is what a run without members gives.
uint64_t seed_of_member(int64_t seed, int64_t member);

}  // namespace tools
