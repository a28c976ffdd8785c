#include "data/train/epoch_order.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "data/base/splitmix.hpp"

namespace train {

at::Tensor epoch_order(int64_t seed, int64_t epoch, int64_t count) {
  std::vector<std::pair<uint64_t, int64_t>> keys;
  const uint64_t first = static_cast<uint64_t>(seed) * 1000003 + static_cast<uint64_t>(epoch);
  for (int64_t i = 0; i < count; ++i)
    keys.emplace_back(data::splitmix64(first + static_cast<uint64_t>(i) * data::kSplitmixStep), i);
  std::sort(keys.begin(), keys.end());
  at::Tensor order = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i)
    order.data_ptr<int64_t>()[i] = keys[static_cast<size_t>(i)].second;
  return order;
}

}  // namespace train
