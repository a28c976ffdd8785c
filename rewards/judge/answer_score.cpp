// A score in words.

#include <cctype>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "rewards/judge/answer_candidates.hpp"
#include "rewards/judge/answer_scale.hpp"
#include "rewards/judge/answer_text.hpp"

using nlohmann::json;

namespace rewards {
namespace {

constexpr double kUnusable = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMostScoreQualifiers = 6;  // words between a label and its number
constexpr int kDeepestObject = 4;

// --- Numbers and what stands behind them.

std::optional<double> named_number(const AnswerWords& words, size_t at) {
  if (is_number(words, at)) return words[at].negative ? kUnusable : words[at].number;
  static const char* const names[] = {"zero", "one", "two", "three", "four", "five"};
  for (int i = 0; i < 6; ++i) {
    if (is_one_of(words, at, {names[i]})) return i;
  }
  return std::nullopt;
}

struct Found {
  double value = kUnusable;
  size_t end = 0;           // behind it and its "/5"
  bool of_highest = false;  // "/5" stands there
};

// The number at `at` as a score; nothing where none stands or it is only spoken about ("1 = bad",
// "1 would be").
std::optional<Found> score_at(const AnswerWords& words, size_t at, const Scale& scale) {
  const auto number = named_number(words, at);
  if (!number) return std::nullopt;
  Found found{.value = *number, .end = at + 1};
  if (!(found.value >= scale.lowest && found.value <= scale.highest)) found.value = kUnusable;
  const size_t of = is_sign(words, at + 1, "/") || is_one_of(words, at + 1, {"of"})         ? at + 2
                    : is_one_of(words, at + 1, {"out"}) && is_one_of(words, at + 2, {"of"}) ? at + 3
                                                                                            : at;
  if (of != at) {
    const auto divisor = named_number(words, of);
    if (divisor) found.end = of + 1;
    found.of_highest = divisor && *divisor == scale.highest;
    if (!found.of_highest) found.value = kUnusable;
  }
  const size_t next = found.end;
  if (is_sign(words, next, "=") ||
      is_one_of(words, next,
                {"is", "means", "meaning", "being", "would", "could", "might", "if", "indicates",
                 "represents", "corresponds", "requires", "was"}))
    return std::nullopt;
  const bool range = (is_sign(words, next, "-~/") || is_one_of(words, next, {"to", "or", "and"})) &&
                     named_number(words, next + 1);
  if (range || is_sign(words, next, "%") || is_one_of(words, next, {"percent"}))
    found.value = kUnusable;
  return found;
}

// Whether the sentence does not go on with what is counted, as in "4 circles".
bool score_ends_well(const AnswerWords& words, size_t at) {
  if (is_line_end(words, at) || words[at].kind == WordKind::kSign) return true;
  const bool beyond_ascii = static_cast<unsigned char>(words[at].text[0]) >= 0x80;
  return beyond_ascii ||
         is_one_of(words, at, {"because",   "since",         "as",        "for",         "with",
                               "and",       "but",           "due",       "based",       "point",
                               "points",    "star",          "stars",     "on",          "overall",
                               "here",      "given",         "though",    "although",    "while",
                               "final",     "reason",        "reasoning", "explanation", "flaw",
                               "rationale", "justification", "the"});
}

// --- Statements.

bool is_label(const AnswerWords& words, size_t at) {
  return is_one_of(
      words, at, {"score",    "scores", "rating", "answer",     "grade",      "points", "verdict",
                  "overall",  "result", "mark",   "assessment", "evaluation", "level",  "judgement",
                  "judgment", "评分",   "得分",   "分数",       "答案",       "总分"});
}

bool says_final(const AnswerWords& words, size_t at) {
  const auto final = [&](size_t i) {
    return is_one_of(words, i, {"final", "overall", "total", "总分"});
  };
  return final(at) || (at > 0 && final(at - 1)) || (at > 1 && final(at - 2));
}

// Where the number of the label at `at` should stand: behind "for the image:", "is", "=", "({".
struct Stated {
  size_t number = 0;
  bool of = false;  // "a score of"
};
std::optional<Stated> number_of_label(const AnswerWords& words, size_t at) {
  size_t next = at + 1;
  if (const size_t behind = group_end(words, next); behind != next) {
    const auto inside = named_number(words, next + 1);
    if (inside && is_sign(words, next + 2, ")]/")) return Stated{next + 1, false};  // "Score (4)"
    next = behind;  // a remark before the colon
  }
  if (is_sign(words, next, ",") && is_sign(words, next + 1, ":")) ++next;
  bool connected = named_number(words, next).has_value();
  const bool of = is_one_of(words, next, {"of"});
  if (of) return Stated{next + 1, true};
  for (size_t qualifiers = 0; !connected && qualifiers <= kMostScoreQualifiers; ++qualifiers) {
    if (is_line_end(words, next)) return std::nullopt;
    if (is_sign(words, next, ":=>-") || is_one_of(words, next, {"is"})) {
      connected = true;
    } else if (words[next].kind != WordKind::kWord && !is_sign(words, next, "()[]{")) {
      return std::nullopt;
    }
    if (is_one_of(words, next, {"not", "would", "could", "might", "if", "should", "than", "isnt"}))
      return std::nullopt;
    ++next;
  }
  if (!connected) return std::nullopt;
  while (is_sign(words, next, ":=>([{") || is_one_of(words, next, {"boxed", "text", "is"}) ||
         (next < words.size() && words[next].kind == WordKind::kLineEnd && next == at + 2))
    ++next;
  return Stated{next, false};
}

void add_labelled(const AnswerWords& words, const Scale& scale, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    if (!is_label(words, at)) continue;
    const auto stated = number_of_label(words, at);
    if (!stated) continue;
    const auto found = score_at(words, stated->number, scale);
    if (!found || !score_ends_well(words, found->end)) continue;
    const Strength strength = stated->of              ? Strength::kHint
                              : says_final(words, at) ? Strength::kFinal
                                                      : Strength::kStatement;
    all.push_back({found->value, strength, at});
  }
}

void add_boxed(const AnswerWords& words, const Scale& scale, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    if (!is_one_of(words, at, {"boxed", "fbox"}) || !is_sign(words, at + 1, "{")) continue;
    size_t next = at + 2;
    while (is_sign(words, next, "{(") || is_one_of(words, next, {"text", "textbf", "mathbf"}))
      ++next;
    const auto found = score_at(words, next, scale);
    const bool closed = found && is_sign(words, found->end, "})");
    all.push_back({closed ? found->value : kUnusable, Strength::kFinal, at});
  }
}

// "4/5" and "I would give it a 4".
void add_hints(const AnswerWords& words, const Scale& scale, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    if (is_number(words, at)) {
      const auto found = score_at(words, at, scale);
      if (found && found->of_highest && score_ends_well(words, found->end))
        all.push_back({found->value, Strength::kHint, at});
    }
    if (!is_one_of(words, at, {"rate", "rated", "give", "say", "assign", "choose", "score"}))
      continue;
    size_t next = at + 1;
    while (next < words.size() && words[next].kind == WordKind::kWord && next - at <= 5 &&
           !is_one_of(words, next, {"not", "of", "out"}))
      ++next;
    const auto found = next > at + 1 || is_one_of(words, at, {"say"}) ? score_at(words, next, scale)
                                                                      : std::nullopt;
    const bool counted = found && is_number(words, next) && score_ends_well(words, found->end);
    if (counted) all.push_back({found->value, Strength::kHint, at});
  }
}

// Whether the words from `first` to `end` are a number and signs alone.
std::optional<Found> alone_in(const AnswerWords& words,
                              size_t first,
                              size_t end,
                              const Scale& scale) {
  while (first < end && is_sign(words, first, "([{<>-:=")) ++first;
  auto found = score_at(words, first, scale);
  if (!found || found->end > end) return std::nullopt;
  for (size_t at = found->end; at < end; ++at) {
    if (words[at].kind != WordKind::kSign &&
        !is_one_of(words, at, {"point", "points", "stars", "分"}))
      return std::nullopt;
  }
  return found;
}

// "4. The circle is there.", "4 - good"; not the first of a list.
std::optional<Found> leading_in(const AnswerWords& words, size_t first, const Scale& scale) {
  auto found = score_at(words, first, scale);
  if (!found || !is_number(words, first) || !is_sign(words, found->end, ".:;,-()!"))
    return std::nullopt;
  int64_t heads = 0;
  for_each_line_of(words, [&](size_t line, size_t) {
    heads += is_number(words, line) && is_sign(words, line + 1, ".):");
  });
  for (size_t at = found->end; at + 2 < words.size(); ++at)
    heads += is_sign(words, at, ".;") && is_number(words, at + 1) && is_sign(words, at + 2, ".)");
  return heads > 1 ? std::nullopt : found;
}

void add_lines(const AnswerWords& words, const Scale& scale, std::vector<Candidate>& all) {
  size_t last = 0;
  for_each_line_of(words, [&](size_t first, size_t) { last = first; });
  bool is_first = true;
  for_each_line_of(words, [&](size_t first, size_t end) {
    if (const auto found = alone_in(words, first, end, scale)) {
      const Strength strength = first == last ? Strength::kStatement : Strength::kHint;
      all.push_back({found->value, strength, first, is_first && first != last});
    } else if (is_first) {
      if (const auto leading = leading_in(words, first, scale))
        all.push_back({leading->value, Strength::kHint, first});
    }
    is_first = false;
  });
}

// --- The answer as a whole.

std::optional<double> score_of_words(const std::string& text,
                                     const Scale& scale,
                                     Strength weakest = Strength::kHint) {
  const WithoutScales plain = without_scales(answer_words(text), scale);
  std::vector<Candidate> all;
  add_labelled(plain.words, scale, all);
  add_boxed(plain.words, scale, all);
  add_hints(plain.words, scale, all);
  add_lines(plain.words, scale, all);
  std::erase_if(all, [&](const Candidate& one) { return one.strength < weakest; });
  return plain.other_scale ? std::nullopt : chosen(std::move(all));
}

// "Overall_Score (1-5)" -> "overall score"
std::string plain_key(const std::string& key) {
  std::string plain;
  for (const char c : key.substr(0, key.find('(')))
    plain +=
        c == '_' || c == '-' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  while (plain.ends_with(' ')) plain.pop_back();
  return plain;
}

double value_of(const json& value, const Scale& scale) {
  if (value.is_array() && value.size() == 1 && !value[0].is_array())
    return value_of(value[0], scale);
  if (value.is_string()) return score_of_words(value.get<std::string>(), scale).value_or(kUnusable);
  if (!value.is_number()) return kUnusable;
  const double score = value.get<double>();
  return score >= scale.lowest && score <= scale.highest ? score : kUnusable;
}

// The score in an object; NaN: it has one that is unusable.
std::optional<double> score_of_object(const json& object, const Scale& scale, int depth = 0) {
  static const char* const keys[] = {
      "final score", "overall score", "total score", "score",   "final rating", "overall rating",
      "rating",      "final answer",  "answer",      "overall", "grade",        "result"};
  static const char* const ceilings[] = {"max", "max score", "maximum", "out of", "scale"};
  const auto find = [&](const char* wanted) -> const json* {
    for (const auto& [key, value] : object.items())
      if (plain_key(key) == wanted) return &value;
    return nullptr;
  };
  for (const char* key : ceilings) {
    const json* const highest = find(key);
    if (highest && highest->is_number() && highest->get<double>() != scale.highest)
      return kUnusable;
  }
  for (const char* key : keys) {
    if (const json* const value = find(key); value && !value->is_object())
      return value_of(*value, scale);
  }
  std::vector<double> inside;
  for (const auto& [key, value] : object.items()) {
    if (value.is_number()) inside.push_back(value_of(value, scale));
    if (!value.is_object() || depth == kDeepestObject) continue;
    if (const auto score = score_of_object(value, scale, depth + 1)) inside.push_back(*score);
  }
  if (inside.empty()) return std::nullopt;
  return inside.size() == 1 ? inside[0] : kUnusable;
}

}  // namespace

std::optional<double> score_in_words(const std::string& answer, double lowest, double highest) {
  if (answer.size() > kLongestAnswer) return std::nullopt;
  const Scale scale{lowest, highest};
  const std::string whole = without_thoughts(answer);
  const std::string text(marked_answer(whole));
  std::string rest;
  std::optional<double> score;
  for (const json& object : objects_in(text, &rest)) {
    if (const auto one = score_of_object(object, scale)) score = one;
  }
  if (!score) return score_of_words(text, scale);
  const auto later = score_of_words(rest, scale, Strength::kStatement);
  const bool contradicted = later && *later != *score;
  return std::isfinite(*score) && !contradicted ? score : std::nullopt;
}

}  // namespace rewards
