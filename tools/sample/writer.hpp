#pragma once

// From generated candidates to files: scores, picks the best, writes.

#include <future>
#include <map>
#include <string>
#include <vector>

#include "data/images/generation_parameters.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "rewards/reward.hpp"
#include "tools/sample/jobs.hpp"

namespace tools {

struct WriterOptions {
  std::string output_dir;
  int64_t first_number = 0;  // of the first job's file
  int64_t best_of = 1;
  std::vector<rewards::WeightedReward> rewards{};  // may be empty when best_of is 1
  data::ImageParameters base{};                    // what all images have in common
  // The SHA-256 of the weights, from a thread of its own; not valid: base.model_hash stands.
  std::shared_future<std::string> model_digest{};
};

// Takes candidates in any order; an image is written when its last candidate has come.
class SampleWriter {
 public:
  SampleWriter(std::vector<SampleJob> jobs, WriterOptions options);

  struct Candidate {
    at::Tensor image;             // [3, H, W] in [0, 1]
    at::Tensor initial, latents;  // [C, h, w]
  };
  void take(size_t job, int64_t candidate, Candidate value);

  // The latents of the images that were kept, in the order of the jobs: initial [N, C, h, w] and x0
  // alike. Throws BadInput when they differ in size.
  void save_latents(const std::string& path) const;

  size_t written() const { return kept_.size(); }
  // A line of each reward's mean over the images, "" without rewards.
  std::string score_summary() const;

 private:
  struct KeptImage {
    Candidate value;
    uint64_t seed = 0;
    at::Tensor scores;  // [M] raw
  };
  void write(size_t job);

  std::vector<SampleJob> jobs_;
  WriterOptions options_;
  std::map<size_t, std::map<int64_t, Candidate>> waiting_;  // by job, by candidate
  std::map<size_t, KeptImage> kept_;                        // by job; images dropped
};

}  // namespace tools
