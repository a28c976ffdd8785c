#include "data/world/random_stream.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <mutex>

namespace world {
namespace {

uint64_t draw(at::Generator& generator) {
  auto* cpu = at::check_generator<at::CPUGeneratorImpl>(generator);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return cpu->random64();
}

}  // namespace

RandomStream::RandomStream(at::Generator& generator) : engine_(draw(generator)) {}

double RandomStream::uniform(double low, double high) {
  return low + (high - low) * (static_cast<double>(engine_() >> 11) * 0x1p-53);
}

int64_t RandomStream::below(int64_t count) {
  return static_cast<int64_t>(uniform(0, static_cast<double>(count)));
}

bool RandomStream::chance(double probability) { return uniform(0, 1) < probability; }

}  // namespace world
