#pragma once

// Which samples of a group of jobs are drawn, and how many of them together.

#include <cstdint>
#include <vector>

#include "tools/sample/guides/kinds.hpp"
#include "tools/sample/options.hpp"

namespace tools {

// A sample to draw: a job's candidate.
struct Wanted {
  size_t job = 0;
  int64_t candidate = 0;
};

// The candidates of a group, in order, with the number of them that are computed together. Of
// batches whose jobs are all finished there are none; the others stay whole, so that their bits do.
// A search has several rounds; its batches are of unfinished jobs alone.
struct GroupPlan {
  std::vector<Wanted> wanted;
  int64_t micro_batch = 1, rounds = 1;
  int64_t batches() const;
};
// group: jobs; finished: of all jobs
GroupPlan plan_group(const SampleConfig& config,
                     const Guide& guide,
                     const std::vector<size_t>& group,
                     const std::vector<bool>& finished);

}  // namespace tools
