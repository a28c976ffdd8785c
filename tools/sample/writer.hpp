#pragma once

// Writes generated images: scores the candidates and writes the best one.

#include <future>
#include <map>
#include <string>
#include <vector>

#include "data/images/generation_parameters.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "rewards/reward.hpp"
#include "tools/sample/comfy_workflow.hpp"
#include "tools/sample/jobs.hpp"

namespace tools {

struct WriterOptions {
  std::string output_dir;
  int64_t first_number = 0;  // number of the first job's file
  int64_t best_of = 1;
  bool joint = false;            // the candidates interact: the seed is the first one's
  bool mark = true;              // write data::generated_mark()
  std::vector<bool> finished{};  // jobs that have their image, of which none is written
  std::vector<rewards::WeightedReward> rewards{};  // may be empty when best_of is 1
  data::GenerationParameters base{};               // the parameters that all images share
  ComfySettings comfy{};                           // the same for ComfyUI
  // SHA-256 of the weights, computed by another thread; if not valid, base.model_hash is used.
  std::shared_future<std::string> model_digest{};
};

// Takes candidates in any order; writes an image once it has its last candidate.
class SampleWriter {
 public:
  SampleWriter(std::vector<SampleJob> jobs, WriterOptions options);

  struct Candidate {
    at::Tensor image;             // [3, H, W] in [0, 1]
    at::Tensor initial, latents;  // [C, h, w]
  };
  void take(size_t job, int64_t candidate, Candidate value);

  // Writes the latents of the written images, in the order of the jobs: initial noise and x0, both
  // [N, C, h, w]. Throws BadInput when they differ in size.
  void save_latents(const std::string& path) const;

  size_t written() const { return kept_.size(); }
  // One line with each reward's mean over the images; "" without rewards.
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
