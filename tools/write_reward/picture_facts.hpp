#pragma once

// What is measured on a user's pictures, for the formulas over them.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "rewards/loader/sources.hpp"
#include "rewards/reward.hpp"
#include "tools/score/images.hpp"

namespace tools {

class PictureFacts {
 public:
  // Measures the facts that a formula may name: the registry's that need no weights and no prompt
  // and are not gold, and those of sources.definitions. Pictures that cannot be read are reported
  // and left out. Throws BadInput when fewer than two are left.
  PictureFacts(const std::vector<std::filesystem::path>& files,
               rewards::RewardSources sources,
               const ScoringOptions& options);

  const std::vector<std::filesystem::path>& files() const { return files_; }
  const std::vector<rewards::RewardInfo>& facts() const { return facts_; }
  // One [P] fp64 for each of Expression::names; NaN where a value is missing. clip:"words" is
  // measured at its first call. Throws BadInput for another name that is no fact, and for more than
  // eight clip:"words" that were not measured before.
  std::vector<at::Tensor> of(const std::vector<std::string>& names);

 private:
  void measure(const std::vector<rewards::WeightedReward>& rewards, bool may_leave_out);
  void check_name(const std::string& name) const;

  std::vector<std::filesystem::path> files_;
  rewards::RewardSources sources_;
  ScoringOptions options_;
  std::vector<rewards::RewardInfo> facts_;
  std::map<std::string, at::Tensor> values_;  // by name, [P] fp64
};

}  // namespace tools
