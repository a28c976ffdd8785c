#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace data {

// Byte-pair encoding of one word (Sennrich et al. 2016, algorithm 1): joins the adjacent pair of
// the lowest rank, the leftmost first, until no pair has a rank. ranks: "left right" -> merge order
std::vector<std::string> merge_pairs(std::vector<std::string> symbols,
                                     const std::unordered_map<std::string, int64_t>& ranks);

}  // namespace data
