#pragma once

// How rewards in different units are brought to one scale before they are weighted.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rewards/combine/running_moments.hpp"

namespace rewards {

struct RewardRange {
  double low = 0, high = 1;  // the values that a reward usually gives, in raw units
};

// The values, and what a normaliser may read beside them.
struct NormaliserInput {
  at::Tensor x;                       // [P, M]
  std::vector<int64_t> prompt_ids;    // P; equal for images of one prompt
  std::vector<RewardRange> ranges{};  // M
  at::Tensor spreads{};               // [M] of pooled_spreads
  RunningMoments running{};           // all that the run has seen; empty: nothing yet
  RunningMoments statistics{};        // measured before, kept in a file
};

// Scoring compares images with fixed scales, training those of one policy over time: each command
// offers its own normalisers.
enum class Stage { kScoring, kTraining };

struct Normaliser {
  const char* name;         // of --normalise (scoring) and --normalise_rewards (training)
  const char* description;  // one line
  bool scoring = false, training = false;  // the stages that offer it
  bool compares_prompt_images = false;     // reads prompt_ids, so it needs a prompt's whole group
  bool reads_statistics = false;
  bool reads_other_images = false;  // a value depends on what else is normalised with it
  at::Tensor (*apply)(const NormaliserInput& input) = nullptr;  // -> [P, M], dtype and device of x
};
extern const Normaliser kRawUnits;        // "none"
extern const Normaliser kByPooledSpread;  // "pooled"

// One row each; the names are unique within a stage.
const std::vector<const Normaliser*>& normalisers();
std::vector<std::string> normaliser_names(Stage stage);
// Throws BadInput that lists the names of the stage.
const Normaliser& normaliser_by_name(const std::string& name, Stage stage);

// The rank of each value among the n finite ones of its row's group, divided by n: (number of
// smaller + (number of equal + 1) / 2) / n, in (0, 1]; ties share their mean rank. A value that is
// not finite stays. x: [P, M], ids: P -> [P, M] fp64
at::Tensor rank_within(const at::Tensor& x, const std::vector<int64_t>& ids);

}  // namespace rewards
