// Which of two images is better, in words.

#include <limits>
#include <nlohmann/json.hpp>

#include "rewards/judge/answer_candidates.hpp"
#include "rewards/judge/answer_text.hpp"

using nlohmann::json;

namespace rewards {
namespace {

constexpr double kFirst = 1, kSecond = 0, kTie = 0.5;  // probability that A is better
constexpr size_t kMostQualifiers = 4;

struct NamedSide {
  double value = kTie;
  size_t end = 0;  // behind its words
};

bool is_picture(const AnswerWords& words, size_t at) {
  return is_one_of(words, at,
                   {"image", "picture", "option", "photo", "response", "candidate", "output", "one",
                    "图", "图片", "图像"});
}

// "A", "image B", "the second one", "picture 1".
std::optional<NamedSide> side_at(const AnswerWords& words, size_t at) {
  if (is_one_of(words, at, {"the"})) ++at;
  const bool picture = is_picture(words, at) && !is_one_of(words, at, {"one"});
  if (picture) ++at;
  if (at >= words.size()) return std::nullopt;
  if (words[at].text == "A" || (picture && is_one_of(words, at, {"1", "one", "a"})))
    return NamedSide{kFirst, at + 1};
  if (words[at].text == "B" || (picture && is_one_of(words, at, {"2", "two", "b"})))
    return NamedSide{kSecond, at + 1};
  if (picture || !is_one_of(words, at, {"first", "second"})) return std::nullopt;
  return NamedSide{words[at].lower == "first" ? kFirst : kSecond,
                   is_picture(words, at + 1) ? at + 2 : at + 1};
}

// A side, C, "tie"; a small letter too where `small`.
std::optional<NamedSide> verdict_at(const AnswerWords& words, size_t at, bool small) {
  if (const auto side = side_at(words, at)) return side;
  if (at >= words.size()) return std::nullopt;
  if (small && is_one_of(words, at, {"a", "b"}))
    return NamedSide{words[at].lower == "a" ? kFirst : kSecond, at + 1};
  if (words[at].text == "C" || (small && words[at].lower == "c")) return NamedSide{kTie, at + 1};
  if (is_one_of(words, at, {"a"})) ++at;
  if (is_one_of(words, at, {"tie", "tied", "draw", "equal", "equally", "both", "neither", "none"}))
    return NamedSide{kTie, at + 1};
  return std::nullopt;
}

// Whether a verdict may end here: not "A or B", "A circle", "A is worse".
bool ends_well(const AnswerWords& words, size_t at) {
  if (is_line_end(words, at)) return true;
  const bool or_another = is_sign(words, at, ",/|") && verdict_at(words, at + 1, true) &&
                          !is_one_of(words, at + 1, {"both", "neither"});
  if (words[at].kind == WordKind::kSign) return !or_another;
  return is_one_of(words, at,
                   {"because", "since", "as", "due", "for", "given", "with", "though", "although",
                    "over", "good", "explanation", "reason", "wins", "winner"});
}

bool is_negated(const AnswerWords& words, size_t at) {
  for (size_t back = 1; back <= 4 && back <= at; ++back) {
    if (words[at - back].kind == WordKind::kLineEnd || is_sign(words, at - back, ".!?;,"))
      return false;
    if (is_one_of(words, at - back,
                  {"not", "never", "if", "whether", "unless", "isnt", "dont", "doesnt", "cannot",
                   "cant", "wouldnt", "arent", "nor", "hardly", "than"}))
      return true;
  }
  return false;
}

// --- "Answer: B", "the worse image is A"

struct Label {
  bool known = false, reversed = false, direct = false;  // direct: needs no colon
};
Label label_at(const AnswerWords& words, size_t at) {
  if (is_one_of(words, at, {"answer", "winner", "choice", "verdict", "decision", "答案"}))
    return {.known = true, .direct = true};
  if (is_one_of(words, at,
                {"better", "best", "preferred", "preference", "prefer", "result", "judgement",
                 "judgment", "conclusion", "superior"}))
    return {.known = true};
  return {.known = is_one_of(words, at, {"worse", "worst", "loser", "inferior"}), .reversed = true};
}

std::optional<NamedSide> labelled_verdict(const AnswerWords& words, size_t at, const Label& label) {
  size_t next = at + 1;
  for (size_t qualifiers = 0; qualifiers <= kMostQualifiers; ++qualifiers, ++next) {
    const bool colon = is_sign(words, next, ":=>-");
    if (colon || is_one_of(words, next, {"is"})) {
      ++next;
      while (is_sign(words, next, ":=>([{-") || is_one_of(words, next, {"boxed", "text", "is"}) ||
             (colon && next < words.size() && words[next].kind == WordKind::kLineEnd))
        ++next;
      return verdict_at(words, next, colon);
    }
    if (label.direct && qualifiers == 0) {
      if (const auto side = side_at(words, next)) return side;
    }
    const bool plain = next < words.size() && words[next].kind == WordKind::kWord &&
                       !is_one_of(words, next, {"than", "not", "would", "if", "isnt"});
    if (!plain) return std::nullopt;
  }
  return std::nullopt;
}

void add_labelled(const AnswerWords& words, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    const Label label = label_at(words, at);
    if (!label.known || is_negated(words, at)) continue;
    const auto side = labelled_verdict(words, at, label);
    if (!side || !ends_well(words, side->end)) continue;
    const bool final = is_one_of(words, at - std::min<size_t>(at, 1), {"final", "overall"});
    all.push_back({label.reversed ? 1 - side->value : side->value,
                   final ? Strength::kFinal : Strength::kStatement, at});
  }
}

// --- \boxed{B}, [[B]], [[A>B]]

// "A > B", "B < A", "A = B".
std::optional<NamedSide> comparison_at(const AnswerWords& words, size_t at) {
  const auto left = side_at(words, at);
  if (!left || !is_sign(words, left->end, "<>=")) return std::nullopt;
  size_t next = left->end;
  const std::string sign = words[next].text;
  while (is_sign(words, next, sign)) ++next;
  const auto right = side_at(words, next);
  if (!right || right->value == left->value) return std::nullopt;
  return NamedSide{sign == "=" ? kTie : sign == ">" ? left->value : right->value, right->end};
}

void add_boxed(const AnswerWords& words, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    const bool box = is_one_of(words, at, {"boxed", "fbox"}) && is_sign(words, at + 1, "{");
    const bool brackets = is_sign(words, at, "[") && is_sign(words, at + 1, "[");
    if (!box && !brackets) continue;
    size_t next = at + 2;
    while (is_sign(words, next, "{(") || is_one_of(words, next, {"text", "textbf", "mathbf"}))
      ++next;
    const auto compared = comparison_at(words, next);
    const auto side = compared ? compared : verdict_at(words, next, true);
    if (side && is_sign(words, side->end, "})]"))
      all.push_back({side->value, Strength::kFinal, at});
  }
}

// --- "A is worse than B", "I prefer the second one", "A > B"

// +1: what stands there is better; -1: worse; 0: it says neither.
int comparative_at(const AnswerWords& words, size_t at) {
  while (is_one_of(
      words, at, {"clearly",      "slightly",  "much", "far",           "a",          "an",
                  "bit",          "little",    "lot",  "significantly", "marginally", "somewhat",
                  "definitely",   "obviously", "the",  "overall",       "generally",  "noticeably",
                  "considerably", "also",      "thus", "therefore",     "still",      "even"}))
    ++at;
  if (is_one_of(words, at,
                {"better", "best", "winner", "superior", "preferable", "preferred", "favored",
                 "favoured"}))
    return 1;
  return is_one_of(words, at, {"worse", "worst", "inferior", "loser"}) ? -1 : 0;
}

void add_relation(const AnswerWords& words,
                  size_t at,
                  const NamedSide& side,
                  std::vector<Candidate>& all) {
  if (is_negated(words, at) || (at > 0 && is_one_of(words, at - 1, {"than"}))) return;
  int better = 0;
  if (is_one_of(words, side.end, {"is", "looks", "appears", "seems", "was"}))
    better = comparative_at(words, side.end + 1);
  else if (is_one_of(words, side.end, {"wins", "beats", "defeats", "outperforms", "surpasses"}))
    better = 1;
  else if (is_one_of(words, side.end, {"loses"}))
    better = -1;
  if (better != 0) all.push_back({better > 0 ? side.value : 1 - side.value, Strength::kHint, at});
}

void add_relations(const AnswerWords& words, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    if (const auto side = side_at(words, at)) add_relation(words, at, *side, all);
    if (const auto compared = comparison_at(words, at); compared && ends_well(words, compared->end))
      all.push_back({compared->value, Strength::kHint, at});
    const bool favours = is_one_of(words, at,
                                   {"prefer", "choose", "pick", "select", "favor", "favour",
                                    "chose", "preferring", "choosing"}) ||
                         (is_one_of(words, at, {"of", "with"}) && at > 0 &&
                          is_one_of(words, at - 1, {"favor", "favour", "go", "going"}));
    const auto side = favours && !is_negated(words, at) ? side_at(words, at + 1) : std::nullopt;
    if (side && (ends_well(words, side->end) || is_one_of(words, side->end, {"to", "over"})))
      all.push_back({side->value, Strength::kHint, at});
  }
}

void add_ties(const AnswerWords& words, std::vector<Candidate>& all) {
  for (size_t at = 0; at < words.size(); ++at) {
    const bool tie = is_one_of(words, at, {"tie", "draw"}) && at > 1 &&
                     is_one_of(words, at - 1, {"a"}) &&
                     is_one_of(words, at - 2, {"is", "its", "it", "this", "as", "be"});
    const bool equally = is_one_of(words, at, {"equally"}) &&
                         is_one_of(words, at + 1, {"good", "well", "bad", "strong", "matched"});
    const bool equal = is_one_of(words, at, {"are"}) &&
                       is_one_of(words, at + 1, {"equal", "identical", "tied", "equivalent"});
    const bool neither =
        is_one_of(words, at, {"neither"}) &&
        (is_one_of(words, at + 1, {"is"})
             ? comparative_at(words, at + 2) != 0
             : is_one_of(words, at + 2, {"is"}) && comparative_at(words, at + 3) != 0);
    const bool none = is_one_of(words, at, {"no"}) && is_one_of(words, at + 1, {"clear"}) &&
                      is_one_of(words, at + 2, {"winner", "preference"});
    if ((tie || equally || equal || neither || none) && !is_negated(words, at))
      all.push_back({kTie, Strength::kHint, at});
  }
}

// --- Lines that are a verdict alone, or begin with one.

// "B. It is sharp."; not the first of a list "A: .. B: ..".
std::optional<NamedSide> leading_in(const AnswerWords& words, size_t first) {
  const auto side = verdict_at(words, first, false);
  if (!side || !ends_well(words, side->end)) return std::nullopt;
  if (!is_sign(words, side->end, ".:;,-()!") && !is_one_of(words, side->end, {"because", "since"}))
    return std::nullopt;
  for (size_t at = side->end; at < words.size(); ++at) {
    const bool starts = is_line_end(words, at - 1) || is_sign(words, at - 1, ".;");
    const auto other = starts ? verdict_at(words, at, false) : std::nullopt;
    if (other && is_sign(words, other->end, ":).-")) return std::nullopt;
  }
  return side;
}

void add_lines(const AnswerWords& words, std::vector<Candidate>& all) {
  size_t last = 0;
  for_each_line_of(words, [&](size_t first, size_t) { last = first; });
  bool is_first = true;
  for_each_line_of(words, [&](size_t first, size_t end) {
    size_t at = first;
    while (at < end && is_sign(words, at, "([{<>-:=")) ++at;
    const auto side = verdict_at(words, at, words[end - 1].text.size() == 1);
    const bool alone =
        side && side->end <= end &&
        std::all_of(words.begin() + static_cast<std::ptrdiff_t>(side->end),
                    words.begin() + static_cast<std::ptrdiff_t>(end),
                    [](const AnswerWord& word) { return word.kind == WordKind::kSign; });
    if (alone) {
      const Strength strength = first == last ? Strength::kStatement : Strength::kHint;
      all.push_back({side->value, strength, first, is_first && first != last});
    } else if (is_first) {
      if (const auto leading = leading_in(words, first))
        all.push_back({leading->value, Strength::kHint, first});
    }
    is_first = false;
  });
}

std::optional<double> preference_of_words(const std::string& text) {
  const AnswerWords words = answer_words(text);
  std::vector<Candidate> all;
  add_labelled(words, all);
  add_boxed(words, all);
  add_relations(words, all);
  add_ties(words, all);
  add_lines(words, all);
  return chosen(std::move(all));
}

// The winner in an object; NaN: it names none that is known.
std::optional<double> winner_of_object(const json& object) {
  for (const char* key : {"winner", "final_answer", "answer", "verdict", "preference", "preferred",
                          "better", "best", "choice", "decision", "result", "better_image"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    const auto side =
        found->is_string() ? preference_of_words(found->get<std::string>()) : std::nullopt;
    return side.value_or(std::numeric_limits<double>::quiet_NaN());
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> preference_in_words(const std::string& answer) {
  if (answer.size() > kLongestAnswer) return std::nullopt;
  const std::string whole = without_thoughts(answer);
  const std::string text(marked_answer(whole));
  std::optional<double> winner;
  for (const json& object : objects_in(text)) {
    if (const auto one = winner_of_object(object)) winner = one;
  }
  if (!winner) return preference_of_words(text);
  return std::isfinite(*winner) ? winner : std::nullopt;
}

}  // namespace rewards
