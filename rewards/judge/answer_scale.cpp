#include "rewards/judge/answer_scale.hpp"

namespace rewards {
namespace {

constexpr size_t kLongestGroup = 24;  // words in brackets

struct ScalePhrase {
  size_t end = 0;  // behind it
  double highest = 0;
};

// "1-5", "0..5", "1 to 5", "1 (bad) through 5 (good)", "between 1 and 5".
std::optional<ScalePhrase> range_at(const AnswerWords& words, size_t at) {
  if (!is_number(words, at) || (words[at].number != 0 && words[at].number != 1)) return {};
  size_t next = group_end(words, at + 1);
  if (is_sign(words, next, ".") && is_sign(words, next + 1, ".")) {
    next += is_sign(words, next + 2, ".") ? 3 : 2;
  } else if (is_sign(words, next, "-~") || is_one_of(words, next, {"to", "through", "till"}) ||
             (is_one_of(words, next, {"and"}) && at > 0 && is_one_of(words, at - 1, {"between"}))) {
    ++next;
  } else {
    return {};
  }
  if (!is_number(words, next) || words[next].number < 3) return {};
  return ScalePhrase{group_end(words, next + 1), words[next].number};
}

// "out of 5", "/5", "max 5" without a number before it.
std::optional<ScalePhrase> ceiling_at(const AnswerWords& words, size_t at) {
  if (at > 0 && is_number(words, at - 1)) return {};
  const size_t next = is_one_of(words, at, {"out"}) && is_one_of(words, at + 1, {"of"})     ? at + 2
                      : is_sign(words, at, "/") || is_one_of(words, at, {"max", "maximum"}) ? at + 1
                                                                                            : at;
  if (next == at || !is_number(words, next)) return {};
  return ScalePhrase{next + 1, words[next].number};
}

// "5-point scale".
std::optional<ScalePhrase> steps_at(const AnswerWords& words, size_t at) {
  if (!is_number(words, at) || !is_sign(words, at + 1, "-")) return {};
  if (!is_one_of(words, at + 2, {"point", "points", "level", "star"})) return {};
  return ScalePhrase{at + 3, words[at].number};
}

}  // namespace

size_t group_end(const AnswerWords& words, size_t at) {
  if (!is_sign(words, at, "([")) return at;
  const char* const close = words[at].text == "(" ? ")" : "]";
  for (size_t end = at + 1; !is_line_end(words, end) && end - at <= kLongestGroup; ++end) {
    if (words[end].text == close) return end + 1;
  }
  return at;
}

WithoutScales without_scales(const AnswerWords& words, const Scale& scale) {
  WithoutScales result;
  AnswerWords& rest = result.words;
  for (size_t at = 0; at < words.size();) {
    const auto range = range_at(words, at), steps = steps_at(words, at);
    const auto phrase = range ? range : steps ? steps : ceiling_at(words, at);
    if (!phrase) {
      const bool empty_group = is_sign(words, at, ")]") && !rest.empty() &&
                               (rest.back().text == "(" || rest.back().text == "[");
      if (empty_group)
        rest.pop_back();
      else
        rest.push_back(words[at]);
      ++at;
      continue;
    }
    const size_t before = rest.size();
    while (!rest.empty() && is_one_of(rest, rest.size() - 1,
                                      {"on", "a", "an", "the", "scale", "of", "from", "in",
                                       "within", "range", "between", "using", "scored", "rated"}))
      rest.pop_back();
    const bool told = before > rest.size() || (!rest.empty() && is_sign(rest, before - 1, "([:"));
    if (phrase->highest == scale.highest) {
      at = phrase->end + (is_one_of(words, phrase->end, {"scale", "range"}) ? 1 : 0);
    } else if (range && !told) {  // some other numbers
      rest.push_back(words[at++]);
    } else {
      result.other_scale = true;
      at = phrase->end;
    }
  }
  return result;
}

}  // namespace rewards
