#include "data/text/byte_pairs.hpp"

#include <functional>
#include <queue>
#include <utility>

namespace data {
namespace {

// A word's symbols while pairs are merged: a list in which a merged symbol takes in its right one.
struct SymbolList {
  std::vector<std::string> symbol;  // empty: taken in
  std::vector<size_t> previous, next;

  explicit SymbolList(std::vector<std::string> symbols) : symbol(std::move(symbols)) {
    for (size_t i = 0; i < symbol.size(); ++i) {
      previous.push_back(i - 1);  // of the first: none, as for the last `next`
      next.push_back(i + 1);
    }
  }
  bool holds(size_t i) const { return i < symbol.size(); }
  void merge(size_t left) {
    const size_t right = next[left];
    symbol[left] += symbol[right];
    symbol[right].clear();
    next[left] = next[right];
    if (holds(next[left])) previous[next[left]] = left;
  }
};

}  // namespace

// A queue holds the known pairs, so that long words cost n log n; a pair that changed meanwhile is
// passed over.
std::vector<std::string> merge_pairs(std::vector<std::string> symbols,
                                     const std::unordered_map<std::string, int64_t>& ranks) {
  SymbolList list(std::move(symbols));
  const auto rank_at = [&](size_t left) -> int64_t {
    if (!list.holds(left) || list.symbol[left].empty() || !list.holds(list.next[left])) return -1;
    const auto found = ranks.find(list.symbol[left] + " " + list.symbol[list.next[left]]);
    return found == ranks.end() ? -1 : found->second;
  };
  using MergeCandidate = std::pair<int64_t, size_t>;  // rank, left symbol
  std::priority_queue<MergeCandidate, std::vector<MergeCandidate>, std::greater<>> queue;
  const auto offer = [&](size_t left) {
    if (const int64_t rank = rank_at(left); rank >= 0) queue.emplace(rank, left);
  };
  for (size_t i = 0; i + 1 < list.symbol.size(); ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, left] = queue.top();
    queue.pop();
    if (rank_at(left) != rank) continue;
    list.merge(left);
    offer(list.previous[left]);
    offer(left);
  }
  std::erase(list.symbol, "");
  return list.symbol;
}

}  // namespace data
