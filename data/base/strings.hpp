#pragma once

#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace data {

// Without white space at both ends.
std::string trimmed(std::string_view text);

// The parts between separators, each without white space at both ends. "a, b," -> "a", "b", ""; an
// empty text has none.
std::vector<std::string> split(std::string_view text, char separator);

// The words (strings or numbers) with `between` between them: "a, b".
template <class Words>
std::string joined(const Words& words, std::string_view between) {
  std::string text;
  for (const auto& word : words) {
    if (!text.empty()) text += between;
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(word)>>)
      text += std::to_string(word);
    else
      text += word;
  }
  return text;
}

// The lines "key = value" of a written configuration, by key; other lines are passed over, and of
// equal keys the last one counts.
std::map<std::string, std::string> values_by_key(std::string_view text);

}  // namespace data
