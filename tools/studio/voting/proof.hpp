#pragma once

// The blind proof: pictures of a run's base and of what was trained, of one prompt and seed each,
// between which people choose without knowing which is which.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "tools/studio/store/schema.hpp"
#include "tools/studio/voting/ballot.hpp"

namespace studio {

struct Proof {
  // run: a folder with samples/base and at least one samples/step-N, of which that of `wanted` is
  // compared, without one the last. Prompts that were not trained on alone, where there are any.
  // Throws BadInput when the two have no picture of one prompt and seed in common.
  Proof(Store& store,
        const std::filesystem::path& run,
        uint64_t seed,
        const std::optional<int64_t>& wanted = std::nullopt);
  Proof(const Proof&) = delete;
  Proof& operator=(const Proof&) = delete;

  Pool pool;
  std::vector<Pair> pairs{};  // the base first
  std::string step;           // "step-40"
  Ballot ballot;

  struct Compared;

 private:
  Proof(Store& store, const Compared& compared, uint64_t seed);
};

struct ProofResult {
  int64_t tuned = 0, base = 0, even = 0;  // answers
  rewards::Interval share;                // of the tuned one; even answers count half to each
  std::string verdict;
};
// person 0: all people's answers
ProofResult result_of(const Proof& proof, data::Database& store, int64_t person);

// What the answers so far say, with about how many more would decide.
std::string proof_verdict(int64_t tuned, int64_t base, int64_t even);

}  // namespace studio
