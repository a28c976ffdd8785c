#pragma once

// Time, operations and memory of a piece of work.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace bench {

struct Stage {
  std::string name;
  int64_t batch = 1;  // images or prompts a run works on
  std::function<void()> run;
  double weights_mb = 0;  // of the network that it runs; 0: not told
};

// A stage that is made when its turn comes, so that the memory of one does not count for another.
struct StagePlan {
  std::string name;
  std::function<Stage()> make;
};

struct Measurement {
  std::string name;
  int64_t batch = 1;
  double median = 0, least = 0, most = 0;  // seconds a run
  double cpu = 0;                          // processor seconds a run, of all threads together
  double flops = 0;                        // of one run
  // The most memory during the runs: CPU: the process's resident size; a GPU: its tensors.
  std::optional<double> peak_mb;
  double weights_mb = 0;  // of them the network's weights; 0: not told
};

struct MeasureOptions {
  int64_t repeats = 5;  // timed runs
  bool cold = false;    // none before them to warm up
  at::Device device = at::kCPU;
};
// Times runs of a stage, the device's work done before the clock is read. Operations are counted in
// the first run, which warms up.
Measurement measure(const Stage& stage, const MeasureOptions& options);

// The middle value; of an even number the mean of the two. values: not empty
double median(std::vector<double> values);

struct MachineInfo {
  std::string device;     // its name: the GPU's, or the processor's
  std::string precision;  // of matrix products, the ceiling's too
  int64_t threads = 1;    // of the CPU
  double load = 0;        // of the last minute, as the run began
  double ceiling = 0;     // operations a second
};
// As it is now, without its ceiling. `gpu`: its name; "": the CPU computes.
MachineInfo this_machine(const std::string& gpu, const std::string& precision);

std::string table(const MachineInfo& machine, const std::vector<Measurement>& results);
std::string json(const MachineInfo& machine, const std::vector<Measurement>& results);

}  // namespace bench
