#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rewards/combine/running_moments.hpp"

namespace rewards {

// Moments of named rewards, measured once and kept in a file.
struct RewardStatistics {
  std::vector<std::string> names;  // M
  RunningMoments moments;
  std::string digest;  // SHA-256 of the names and the measured rows: tells whether two files agree
};
// x: [P, M]. Throws BadInput for fewer than two finite rows.
RewardStatistics measure_statistics(const std::vector<std::string>& names, const at::Tensor& x);
std::string statistics_text(const RewardStatistics& statistics);  // JSON
// The moments of `names` in that order. Throws BadInput naming the file and the reward that it does
// not hold.
RewardStatistics read_statistics(const std::filesystem::path& path,
                                 const std::vector<std::string>& names);

}  // namespace rewards
