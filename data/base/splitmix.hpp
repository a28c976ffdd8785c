#pragma once

#include <cstdint>

namespace data {

constexpr uint64_t kSplitmixStep = 0x9e3779b97f4a7c15u;

// Steele, Lea and Flood's splitmix64 (2014): neighbouring inputs give unrelated numbers. The
// stream of a seed is splitmix64(seed + i * kSplitmixStep), i = 0, 1, ..
constexpr uint64_t splitmix64(uint64_t x) {
  x += kSplitmixStep;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace data
