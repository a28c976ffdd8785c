#pragma once

// Time, operations and memory of a piece of work.

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
  std::optional<double> peak_mb;           // the process's largest resident size during the runs
  double weights_mb = 0;                   // of them the network's weights; 0: not told
};

// `repeats` timed runs, after one to warm up unless `cold`. Operations are counted in the first
// run.
Measurement measure(const Stage& stage, int64_t repeats, bool cold = false);

// The fastest matrix product of this machine at the present number of threads, in operations a
// second: fp32, square, the best of sizes 512, 1024 and 2048.
double matmul_ceiling(int64_t repeats);

// The middle value; of an even number the mean of the two. values: not empty
double median(std::vector<double> values);

struct Machine {
  std::string processor;
  int64_t threads = 1;
  double load = 0;     // of the last minute, as the run began
  double ceiling = 0;  // operations a second
};
Machine this_machine(double ceiling);

std::string table(const Machine& machine, const std::vector<Measurement>& results);
std::string json(const Machine& machine, const std::vector<Measurement>& results);

}  // namespace bench
