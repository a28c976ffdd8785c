#pragma once

// The pictures of a session, and which of them may be compared.

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tools/studio/store/images.hpp"

namespace studio {

struct Pool {
  std::vector<StoredImage> images;
  std::unordered_map<int64_t, size_t> number_of{};  // id in the store -> place in images
  // Places of pictures that may be compared, at least two in each: of one prompt. Where most
  // pictures are alone with their prompt, those are compared with one another.
  std::vector<std::vector<size_t>> groups{};
};
// The pictures of these ids; of all whose file is there for empty ids. Throws BadInput when no two
// can be compared.
Pool make_pool(std::vector<StoredImage> all, const std::vector<int64_t>& ids);

// Two places in a pool, the smaller first, as one number.
uint64_t pair_key(size_t a, size_t b);

// Whether answers about this pair only measure, for ever: 15 % of all pairs, chosen by the content
// of the pictures, the same for everybody and in every store.
bool is_held_out(const StoredImage& a, const StoredImage& b);

using Pair = std::pair<size_t, size_t>;
// How much the answers about pairs would tell; as many numbers as pairs.
using Worth = std::function<std::vector<double>(const std::vector<Pair>& pairs)>;

// A pair that is not in `asked` and is held out or not: of up to 200 that are drawn at random the
// one that is worth most; without `worth` the first. The sides are drawn. None: all were asked.
std::optional<Pair> draw_pair(const Pool& pool,
                              const std::unordered_set<uint64_t>& asked,
                              bool held_out,
                              const Worth& worth,
                              std::mt19937_64& chance);

}  // namespace studio
