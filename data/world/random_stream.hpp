#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <random>

namespace world {

// A fast stream of random numbers, seeded by exactly one draw from `generator`: equal generator
// states give equal streams.
class RandomStream {
 public:
  explicit RandomStream(at::Generator& generator);
  double uniform(double low, double high);  // [low, high)
  int64_t below(int64_t count);             // 0 .. count - 1
  bool chance(double probability);

 private:
  std::mt19937_64 engine_;
};

}  // namespace world
