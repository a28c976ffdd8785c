#include "rewards/evaluation/herding.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {
namespace {

constexpr int64_t kFewestOfTop = 10;

TopImages on_top_of(const at::Tensor& z, int64_t member, int64_t top) {
  const at::Tensor rows = std::get<1>(z.select(1, member).topk(top));
  const at::Tensor there = z.index_select(0, rows), own = there.select(1, member);
  const int64_t members = z.size(1);
  TopImages result{.own = own.mean().item<double>()};
  for (int64_t other = 0; other < members; ++other) {
    if (other == member) continue;
    result.correlation += spearman(own, there.select(1, other));
    result.others += there.select(1, other).mean().item<double>();
  }
  result.correlation /= static_cast<double>(members - 1);
  result.others /= static_cast<double>(members - 1);
  return result;
}

}  // namespace

Herding herding(const at::Tensor& z, double top_share) {
  const int64_t images = z.size(0), members = z.size(1);
  TORCH_CHECK(members >= 2 && images >= 20, "herding: expected at least 2 members and 20 images");
  TORCH_CHECK(top_share > 0 && top_share <= 1, "herding: top_share must be in (0, 1]");
  Herding result;
  for (int64_t a = 0; a < members; ++a) {
    for (int64_t b = a + 1; b < members; ++b)
      result.correlation += spearman(z.select(1, a), z.select(1, b));
  }
  result.correlation /= static_cast<double>(members * (members - 1) / 2);
  result.top =
      std::max<int64_t>(kFewestOfTop, std::llround(top_share * static_cast<double>(images)));
  for (int64_t m = 0; m < members; ++m) result.of.push_back(on_top_of(z, m, result.top));
  return result;
}

}  // namespace rewards
