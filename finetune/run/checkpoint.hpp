#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "finetune/guard/guard.hpp"
#include "rewards/combine/epoch_combiner.hpp"

namespace finetune {

// In the run's folder; every line has a step.
constexpr std::array<const char*, 2> kLineFiles{"metrics.jsonl", "guard.jsonl"};

// Figures since the last line of metrics.
struct MetricSums {
  std::vector<std::pair<std::string, double>> values{};  // in the order in which they first came
  int64_t steps = 0;
};

// Where a run stands, beside the optimizer.
struct RunProgress {
  int64_t epoch = 0;     // epochs done
  int64_t queries = 0;   // images rated for training
  double beta = 0;       // per nat; 0: not yet chosen
  double kl_factor = 1;  // of the KL coefficient, where the KL is bounded
  at::Tensor
      spreads;  // [M] fp64, of each trained reward within prompts at the start; undefined before
  rewards::CombineState combine;  // what the combination of rewards has learnt
  guard::GuardState watch;
  MetricSums sums;         // of runs whose rounds are steps
  bool evaluated = false;  // since the last update
  double started = 0;      // seconds since 1970
  // The lengths of the folder's files of lines (kLineFiles) when this was saved there; else empty.
  std::map<std::string, uint64_t> line_bytes;
};

struct TrainingRun;

// Writes <run folder>/checkpoint-<step> whole or not at all: state.safetensors, the exported
// model, and the digests of both. Returns its path.
std::filesystem::path save_checkpoint(TrainingRun& run);

// Puts a checkpoint into the run. Throws BadInput when it is damaged, or when the configuration
// has changed in anything but the keys that may change: how long to train, how often to evaluate
// and save, where.
void load_checkpoint(const std::filesystem::path& checkpoint, TrainingRun& run);

// The model for others, the moving average where there is one: pytorch_lora_weights.safetensors and
// <name>.safetensors (kohya), or unet/ when the whole network was trained.
void export_model(const std::filesystem::path& folder, TrainingRun& run);

}  // namespace finetune
