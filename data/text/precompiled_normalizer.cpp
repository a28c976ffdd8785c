#include "data/text/precompiled_normalizer.hpp"

#include <utf8proc.h>

#include <cstring>
#include <optional>

#include "data/base/error.hpp"
#include "data/unicode/characters.hpp"

namespace data {
namespace {

constexpr size_t kLongestWhole = 5;  // bytes of a cluster that is looked up whole

// A unit of the double array, as in Darts.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

[[noreturn]] void refuse(const PrecompiledNormalizer& normalizer) {
  throw BadInput(normalizer.source +
                 ": precompiled_charsmap: it points outside of itself; the file is damaged");
}

uint32_t unit_at(const PrecompiledNormalizer& normalizer, size_t place) {
  if (place >= normalizer.trie.size()) refuse(normalizer);
  return normalizer.trie[place];
}

// What replaces the shortest known beginning of `text`.
std::optional<std::string_view> replacement(const PrecompiledNormalizer& normalizer,
                                            std::string_view text) {
  if (normalizer.trie.empty()) return std::nullopt;
  size_t place = offset(normalizer.trie[0]);
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) return std::nullopt;
    place ^= byte;
    const uint32_t unit = unit_at(normalizer, place);
    if (label(unit) != byte) return std::nullopt;
    place ^= offset(unit);
    if (!has_leaf(unit)) continue;
    const size_t from = value(unit_at(normalizer, place));
    if (from >= normalizer.replacements.size()) refuse(normalizer);
    return std::string_view(normalizer.replacements.c_str() + from);
  }
  return std::nullopt;
}

// One past the last character of the grapheme cluster that begins at `first`.
size_t cluster_end(const std::u32string& text, size_t first) {
  utf8proc_int32_t state = 0;
  size_t end = first + 1;
  while (end < text.size() &&
         !utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(text[end - 1]),
                                           static_cast<utf8proc_int32_t>(text[end]), &state))
    ++end;
  return end;
}

}  // namespace

PrecompiledNormalizer parse_precompiled(std::string_view charsmap, const std::string& source) {
  PrecompiledNormalizer normalizer{.trie = {}, .replacements = {}, .source = source};
  if (charsmap.empty()) return normalizer;
  const auto number = [&](size_t at) {
    uint32_t result = 0;
    for (size_t i = 0; i < 4; ++i)
      result |= static_cast<uint32_t>(static_cast<uint8_t>(charsmap[at + i])) << (8 * i);
    return result;
  };
  const size_t bytes = charsmap.size() < 4 ? 0 : number(0);
  if (bytes == 0 || bytes % 4 != 0 || bytes > charsmap.size() - 4 || charsmap.back() != '\0') {
    throw BadInput(source + ": precompiled_charsmap: expected a trie and replacements, found " +
                   std::to_string(charsmap.size()) + " bytes that hold none; the file is damaged");
  }
  for (size_t at = 0; at < bytes; at += 4) normalizer.trie.push_back(number(4 + at));
  normalizer.replacements = charsmap.substr(4 + bytes);
  return normalizer;
}

std::string normalize(const PrecompiledNormalizer& normalizer, const std::string& text) {
  const std::u32string points = decode_utf8(text);
  std::string result;
  for (size_t first = 0, end = 0; first < points.size(); first = end) {
    end = cluster_end(points, first);
    const std::string cluster = encode_utf8(std::u32string_view(points).substr(first, end - first));
    if (cluster.size() <= kLongestWhole) {
      if (const auto found = replacement(normalizer, cluster)) {
        result += *found;
        continue;
      }
    }
    for (size_t i = first; i < end; ++i) {
      const std::string one = encode_utf8(std::u32string_view(points).substr(i, 1));
      const auto found = replacement(normalizer, one);
      result += found ? *found : std::string_view(one);
    }
  }
  return result;
}

}  // namespace data
