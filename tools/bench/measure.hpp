#pragma once

// Measures time, operations and memory of a piece of work.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/profile/process_usage.hpp"

namespace bench {

struct BenchStage {
  std::string name;
  int64_t batch = 1;  // images or prompts per run
  std::function<void()> run;
  double weights_mb = 0;  // of the network that it runs; 0: unknown
};

// A stage that is created just before it runs, so that its memory does not count for others.
struct StagePlan {
  std::string name;
  std::function<BenchStage()> make;
};

struct Measurement {
  std::string name;
  int64_t batch = 1;
  double median = 0, least = 0, most = 0;  // seconds per run
  data::ProcessUsage usage;                // per run, of all threads
  double flops = 0;                        // of one run
  // Peak memory during the runs. CPU: resident memory of the process; GPU: its tensors.
  std::optional<double> peak_mb;
  double weights_mb = 0;  // the part of the network's weights; 0: unknown
};

struct MeasureOptions {
  int64_t repeats = 5;  // timed runs
  bool cold = false;    // no untimed run before
  at::Device device = at::kCPU;
};
// Times runs of a stage; the device is idle before each reading of the clock. The untimed first run
// counts the operations.
Measurement measure(const BenchStage& stage, const MeasureOptions& options);

// The median. values: not empty
double median(std::vector<double> values);

struct MachineInfo {
  std::string device;     // name of the GPU or the processor
  std::string precision;  // of matrix products, including the ceiling
  int64_t threads = 1;    // of the CPU
  double load = 0;        // average over the last minute at the start
  double ceiling = 0;     // operations a second of a plain matrix product
};
// The present state, without the ceiling. `gpu`: the name of the GPU; "" for the CPU.
MachineInfo this_machine(const std::string& gpu, const std::string& precision);

std::string table(const MachineInfo& machine, const std::vector<Measurement>& results);
std::string json(const MachineInfo& machine, const std::vector<Measurement>& results);

}  // namespace bench
