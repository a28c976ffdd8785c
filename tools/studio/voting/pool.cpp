#include "tools/studio/voting/pool.hpp"

#include <algorithm>
#include <map>

#include "data/base/error.hpp"
#include "data/base/splitmix.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

constexpr size_t kDrawn = 200, kTries = 4000;
constexpr uint64_t kHeldOutPercent = 15;

std::vector<std::vector<size_t>> comparable(const std::vector<StoredImage>& images) {
  std::map<std::string, std::vector<size_t>> by_prompt;
  for (size_t i = 0; i < images.size(); ++i) by_prompt[images[i].prompt].push_back(i);
  std::vector<std::vector<size_t>> groups;
  std::vector<size_t> alone;
  for (auto& [prompt, places] : by_prompt) {
    if (places.size() > 1)
      groups.push_back(std::move(places));
    else
      alone.push_back(places.front());
  }
  if (alone.size() > 1 && 2 * alone.size() > images.size()) groups.push_back(std::move(alone));
  return groups;
}

size_t below(size_t count, std::mt19937_64& chance) {
  return std::uniform_int_distribution<size_t>(0, count - 1)(chance);
}

Pair drawn_from(const std::vector<size_t>& group, std::mt19937_64& chance) {
  const size_t first = below(group.size(), chance);
  const size_t second = (first + 1 + below(group.size() - 1, chance)) % group.size();
  return {group[first], group[second]};
}

// The first pair that serves, group by group: for pools of which nearly all was asked.
template <class Serves>
std::optional<Pair> searched(const Pool& pool, const Serves& serves, std::mt19937_64& chance) {
  const size_t start = below(pool.groups.size(), chance);
  size_t looked_at = 0;
  for (size_t g = 0; g < pool.groups.size(); ++g) {
    const auto& group = pool.groups[(start + g) % pool.groups.size()];
    for (size_t i = 0; i < group.size(); ++i) {
      for (size_t k = i + 1; k < group.size(); ++k) {
        if (serves({group[i], group[k]})) return Pair{group[i], group[k]};
        if (++looked_at > 2'000'000) return std::nullopt;  // some 20 ms
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Pool make_pool(std::vector<StoredImage> all, const std::vector<int64_t>& ids) {
  Pool pool;
  const std::unordered_set<int64_t> wanted(ids.begin(), ids.end());
  std::error_code error;
  for (auto& image : all) {
    if (ids.empty() ? fs::exists(image.path, error) : wanted.contains(image.id))
      pool.images.push_back(std::move(image));
  }
  for (size_t i = 0; i < pool.images.size(); ++i) pool.number_of.emplace(pool.images[i].id, i);
  pool.groups = comparable(pool.images);
  if (pool.groups.empty())
    throw data::BadInput(
        "expected at least two pictures of one prompt to compare, found none among " +
        std::to_string(pool.images.size()) + "; name a run or a folder");
  return pool;
}

uint64_t pair_key(size_t a, size_t b) {
  return static_cast<uint64_t>(std::min(a, b)) << 32 | static_cast<uint64_t>(std::max(a, b));
}

bool is_held_out(const StoredImage& a, const StoredImage& b) {
  const auto digest = [](const StoredImage& image) {
    return std::stoull(image.sha256.substr(0, 16), nullptr, 16);
  };
  return data::splitmix64(data::splitmix64(digest(a)) ^ data::splitmix64(digest(b))) % 100 <
         kHeldOutPercent;
}

std::optional<Pair> draw_pair(const Pool& pool,
                              const std::unordered_set<uint64_t>& asked,
                              bool held_out,
                              const Worth& worth,
                              std::mt19937_64& chance) {
  const auto serves = [&](const Pair& pair) {
    const StoredImage &a = pool.images[pair.first], &b = pool.images[pair.second];
    return a.sha256 != b.sha256 && is_held_out(a, b) == held_out &&
           !asked.contains(pair_key(pair.first, pair.second));
  };
  std::vector<Pair> drawn;
  for (size_t i = 0; i < kTries && drawn.size() < (worth ? kDrawn : 1); ++i) {
    const Pair pair = drawn_from(pool.groups[below(pool.groups.size(), chance)], chance);
    if (serves(pair)) drawn.push_back(pair);
  }
  if (drawn.empty()) {
    const auto found = searched(pool, serves, chance);
    if (!found) return std::nullopt;
    drawn.push_back(*found);
  }
  Pair best = drawn.front();
  if (worth && drawn.size() > 1) {
    const auto values = worth(drawn);
    best =
        drawn[static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin())];
  }
  if (below(2, chance)) std::swap(best.first, best.second);
  return best;
}

}  // namespace studio
