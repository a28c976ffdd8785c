#pragma once

// The statements that an answer makes, and which of them counts; shared by scores and preferences.

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "rewards/judge/answer_words.hpp"

namespace rewards {

using AnswerWords = std::vector<AnswerWord>;

inline bool is_one_of(const AnswerWords& words,
                      size_t at,
                      std::initializer_list<std::string_view> list) {
  return at < words.size() && std::find(list.begin(), list.end(), words[at].lower) != list.end();
}
inline bool is_sign(const AnswerWords& words, size_t at, std::string_view signs) {
  return at < words.size() && words[at].kind == WordKind::kSign &&
         signs.find(words[at].text) != std::string_view::npos;
}
inline bool is_line_end(const AnswerWords& words, size_t at) {
  return at >= words.size() || words[at].kind == WordKind::kLineEnd;
}

// How strong a statement is; of the strongest the last one counts, of hints all must agree.
enum class Strength { kHint, kStatement, kFinal };

struct Candidate {
  double value = 0;  // NaN: it says something, but nothing that is usable
  Strength strength = Strength::kHint;
  size_t place = 0;    // of its first word
  bool alone = false;  // a first line of its own: later statements may not contradict it
};

inline std::optional<double> chosen(std::vector<Candidate> all) {
  if (all.empty()) return std::nullopt;
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.strength != b.strength ? a.strength < b.strength : a.place < b.place;
  });
  const Candidate best = all.back();
  if (!std::isfinite(best.value)) return std::nullopt;
  for (const Candidate& other : all) {
    const bool must_agree =
        best.strength == Strength::kHint || (best.strength == Strength::kStatement && other.alone);
    if (must_agree && other.value != best.value) return std::nullopt;
  }
  return best.value;
}

// Calls take(first, end) for each line that is not blank, as a range of words.
template <class Take>
void for_each_line_of(const AnswerWords& words, const Take& take) {
  for (size_t first = 0; first < words.size();) {
    size_t end = first;
    while (!is_line_end(words, end)) ++end;
    if (end > first) take(first, end);
    first = end + 1;
  }
}

}  // namespace rewards
