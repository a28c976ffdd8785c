#pragma once

// The ways to sample under a reward: `laurel sample --guide particles=4,gradient=0.1 --reward
// NAME`. Each is a row beside its code; guide_kinds() lists them.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "rewards/reward.hpp"
#include "rewards/value/network.hpp"
#include "tools/cli/options.hpp"
#include "tools/sample/guides/deltas.hpp"
#include "tools/sample/guides/skipped_layers.hpp"

namespace tools {

struct GuideConfig {
  std::string guide;      // "particles=4,gradient=0.1"; "": none
  double strength = 0;    // nats a unit of the weighted reward; 0: as each kind does without
  int64_t times = 3;      // that particles are rated on the way
  int64_t round = 4;      // samples of a search between two choices
  double radius = 0.5;    // of a search, 0..1; 1: every sample is fresh
  bool jacobian = false;  // the gradient goes through the network
  std::string value;      // folder of a value network that rates states; "": pictures are rated
};
// Declares --guide and the options of its kinds.
void declare_guide(Options& options, GuideConfig& config);

struct GuideKind;
// What --guide asks for: kinds with their values.
struct GuidePart {
  const GuideKind* kind = nullptr;
  double value = 0;
};
using Guide = std::vector<GuidePart>;

struct GuideSetting {
  Guide guide;
  GuideConfig config;
  std::vector<rewards::WeightedReward> rewards;
  std::string log;  // file: a line for each image, what its samples were worth and which went on
  std::vector<Delta> deltas{};
  SkippedLayers skipped{};
  std::shared_ptr<const rewards::ValueNetwork> value{};  // of config.value
};

// A micro-batch to lead. Its members outlive the guide.
struct BatchLead {
  const GuideSetting& setting;
  const diffusion::Pipeline& pipeline;
  const std::vector<diffusion::ImageRequest>& batch;
};

struct GuideKind {
  const char* name;      // "particles"
  const char* example;   // "particles=4"
  const char* expected;  // "a whole number from 2 to 256"
  double least = 0, most = 0;
  bool whole = false;
  // The value is how many samples are drawn of an image, of which the best is written. One kind of
  // a guide at most.
  bool has_candidates = false;
  bool side_by_side = false;  // these are rows of one micro-batch
  bool rates_states = false;  // on the way, so that a value network can
  // Throws BadInput for what does not fit; beside the range of the value. nullptr: nothing
  void (*check)(const GuideSetting& setting, const diffusion::SamplerOptions& sampler) = nullptr;
  // Adds what it does to `guide`. nullptr: nothing
  void (*lead)(const BatchLead& lead, double value, diffusion::BatchGuide& guide) = nullptr;
  // In place of diffusion::generate, of the requests of whole images side by side. `on_batch` gets
  // the best sample of each image alone, `first` being the image's first request. nullptr: no
  void (*search)(const GuideSetting& setting,
                 const diffusion::Pipeline& pipeline,
                 const std::vector<diffusion::ImageRequest>& requests,
                 const diffusion::GenerateOptions& options,
                 const diffusion::OnBatch& on_batch) = nullptr;
};
const std::vector<const GuideKind*>& guide_kinds();

// Throws BadInput with the place of what cannot be read, for a kind that is given twice, and for
// two kinds with candidates.
Guide parse_guide(const std::string& text);
// The value that a kind has; 0: it is not asked for.
double value_of(const Guide& guide, const GuideKind& kind);

// Samples of an image; 1: no kind has candidates.
int64_t candidates_of(const Guide& guide);
// Images computed together: a multiple of the candidates that are side by side.
int64_t guided_batch(const Guide& guide, int64_t batch_size);
// The kind that searches; nullptr: none.
const GuideKind* search_of(const Guide& guide);
// Samples of an image that a search draws between two choices: config.round, or all candidates
// where they are fewer. Of other guides: the candidates.
int64_t round_of(const Guide& guide, const GuideConfig& config);

// Sets best_of, the samples of an image, to the candidates of the guide, where it has some. Throws
// BadInput when best_of was given beside them.
void resolve_candidates(const Guide& guide, int64_t& best_of);

// Throws BadInput when there is no reward, and what the checks of the kinds throw.
void check_guide(const GuideSetting& setting, const diffusion::SamplerOptions& sampler);

}  // namespace tools
