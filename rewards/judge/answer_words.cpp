#include "rewards/judge/answer_words.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>

namespace rewards {
namespace {

struct ThoughtMarks {
  std::string_view begin, end;  // in lower case
};

// How models mark their thoughts: DeepSeek, Qwen and others; Claude-like; Kimi; Magistral; gpt-oss;
// MedGemma; Seed.
constexpr ThoughtMarks kThoughts[] = {
    {"<think>", "</think>"},
    {"<thinking>", "</thinking>"},
    {"<thought>", "</thought>"},
    {"<thoughts>", "</thoughts>"},
    {"<reasoning>", "</reasoning>"},
    {"<reason>", "</reason>"},
    {"<reflection>", "</reflection>"},
    {"<analysis>", "</analysis>"},
    {"<scratchpad>", "</scratchpad>"},
    {"<seed:think>", "</seed:think>"},
    {"<|begin_of_thought|>", "<|end_of_thought|>"},
    {"<|start_thinking|>", "<|end_thinking|>"},
    {"<|channel|>analysis<|message|>", "<|channel|>final<|message|>"},
    {"<unused94>", "<unused95>"},
    {"\xe2\x97\x81think\xe2\x96\xb7", "\xe2\x97\x81/think\xe2\x96\xb7"},
    {"[think]", "[/think]"}};

constexpr ThoughtMarks kAnswers[] = {{"<answer>", "</answer>"},
                                     {"<|begin_of_box|>", "<|end_of_box|>"},
                                     {"<|begin_of_solution|>", "<|end_of_solution|>"}};

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 0x80 ? std::tolower(c) : c); });
  return lower;
}

// `text` without the stretches between the tag's two forms; nested ones count as one.
std::string without(const ThoughtMarks& tag, const std::string& text) {
  const std::string lower = in_lower_case(text);
  std::string rest;
  int64_t depth = 0;
  size_t begin = lower.find(tag.begin), end = lower.find(tag.end);
  for (size_t at = 0; at < text.size();) {
    if (begin < at) begin = lower.find(tag.begin, at);
    if (end < at) end = lower.find(tag.end, at);
    const size_t next = std::min(begin, end);
    if (depth == 0) rest.append(text, at, std::min(next, text.size()) - at);
    if (next == std::string::npos) break;
    if (next == begin) {
      ++depth;
      at = begin + tag.begin.size();
    } else {
      if (depth == 0) rest.clear();  // a thought whose beginning was not sent
      depth = std::max<int64_t>(0, depth - 1);
      at = end + tag.end.size();
    }
  }
  return rest;
}

constexpr bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}
constexpr bool is_high(char c) { return static_cast<unsigned char>(c) >= 0x80; }
constexpr bool is_mark(char c) {
  return std::string_view("*_`\"'#$\\").find(c) != std::string_view::npos;
}

// Typographic characters and their plain form; quotes become a mark, which is left out.
struct Plain {
  std::string_view from, to;
};
constexpr Plain kPlain[] = {{"\xe2\x80\x98", "'"},  {"\xe2\x80\x99", "'"}, {"\xe2\x80\x9c", "\""},
                            {"\xe2\x80\x9d", "\""}, {"\xe2\x80\x90", "-"}, {"\xe2\x80\x91", "-"},
                            {"\xe2\x80\x92", "-"},  {"\xe2\x80\x93", "-"}, {"\xe2\x80\x94", "-"},
                            {"\xe2\x88\x92", "-"},  {"\xc2\xa0", " "},     {"\xe3\x80\x80", " "},
                            {"\xe3\x80\x82", "."},  {"\xe3\x80\x90", "["}, {"\xe3\x80\x91", "]"},
                            {"\xe2\x86\x92", ">"},  {"\xef\xbb\xbf", ""},  {"\xe2\x80\x8b", ""}};

std::string plain_text(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    // Full-width forms, U+FF01 to U+FF5E.
    if (text.size() >= 3 && text[0] == '\xef' && (text[1] == '\xbc' || text[1] == '\xbd')) {
      const int code = ((text[1] & 0x3F) << 6 | (text[2] & 0x3F)) - 0xF01 + 0x21;
      if (code >= 0x21 && code <= 0x7E) {
        plain += static_cast<char>(code);
        text.remove_prefix(3);
        continue;
      }
    }
    const auto* known = is_high(text[0])
                            ? std::find_if(std::begin(kPlain), std::end(kPlain),
                                           [&](const Plain& p) { return text.starts_with(p.from); })
                            : std::end(kPlain);
    plain += known == std::end(kPlain) ? text.substr(0, 1) : known->to;
    text.remove_prefix(known == std::end(kPlain) ? 1 : known->from.size());
  }
  return plain;
}

// The digits at `at` with one point among them, as long as a number can be what stands there.
size_t number_end(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
    ++end;
    while (end < text.size() && is_digit(text[end])) ++end;
  }
  return end;
}

AnswerWord number_word(std::string_view text, size_t& at) {
  const size_t end = number_end(text, at);
  AnswerWord word{
      .kind = WordKind::kNumber, .text = std::string(text.substr(at, end - at)), .lower = ""};
  word.lower = word.text;
  const auto [stop, error] =
      std::from_chars(word.text.data(), word.text.data() + word.text.size(), word.number);
  if (error != std::errc() || stop != word.text.data() + word.text.size())
    word.number = std::numeric_limits<double>::quiet_NaN();
  at = end;
  // 4th, 3x, 1.2.3, 4,5: no number that an answer would be.
  const auto follows = [&](size_t i, auto&& belongs) {
    return i < text.size() && belongs(text[i]);
  };
  const bool more =
      follows(end, is_ascii_letter) ||
      ((follows(end, [](char c) { return c == '.' || c == ','; })) && follows(end + 1, is_digit));
  if (!more) return word;
  while (at < text.size() && (is_digit(text[at]) || is_ascii_letter(text[at]) ||
                              ((text[at] == '.' || text[at] == ',') && follows(at + 1, is_digit))))
    word.text += text[at++];
  word.lower = in_lower_case(word.text);
  word.kind = WordKind::kWord;
  return word;
}

// Letters, characters beyond ASCII, and apostrophes between them.
AnswerWord letter_word(std::string_view text, size_t& at) {
  AnswerWord word{.kind = WordKind::kWord, .text = "", .lower = ""};
  const auto letter = [&](size_t i) {
    return i < text.size() && (is_ascii_letter(text[i]) || is_high(text[i]));
  };
  const auto belongs = [&](size_t i) {
    return letter(i) || (i < text.size() && is_digit(text[i]));
  };
  for (const bool high = is_high(text[at]); at < text.size();) {
    if (text[at] == '\'' && letter(at + 1)) {
      ++at;
    } else if (high ? is_high(text[at]) : belongs(at) && !is_high(text[at])) {
      word.text += text[at++];
    } else {
      break;
    }
  }
  word.lower = in_lower_case(word.text);
  return word;
}

AnswerWord next_word(std::string_view text, size_t& at) {
  if (is_digit(text[at])) return number_word(text, at);
  if (is_ascii_letter(text[at]) || is_high(text[at])) return letter_word(text, at);
  const std::string sign(1, text[at]);
  const WordKind kind = text[at] == '\n' ? WordKind::kLineEnd : WordKind::kSign;
  ++at;
  return {.kind = kind, .text = sign, .lower = sign};
}

bool is_spoken(const AnswerWord& word) {
  return word.kind == WordKind::kWord || word.kind == WordKind::kNumber;
}

}  // namespace

std::string without_thoughts(std::string_view text) {
  std::string rest(text);
  for (const ThoughtMarks& tag : kThoughts) rest = without(tag, rest);
  return rest;
}

std::vector<AnswerWord> answer_words(std::string_view text) {
  const std::string plain = plain_text(text);
  std::vector<AnswerWord> words;
  bool glued = false;
  for (size_t at = 0; at < plain.size();) {
    if (is_space(plain[at]) || is_mark(plain[at])) {
      glued = glued && is_mark(plain[at]);
      ++at;
      continue;
    }
    AnswerWord word = next_word(plain, at);
    word.glued = glued;
    if (word.kind == WordKind::kNumber && glued && !words.empty() && words.back().text == "-")
      word.negative = !(words.back().glued && words.size() > 1 && is_spoken(words.end()[-2]));
    glued = word.kind != WordKind::kLineEnd;
    words.push_back(std::move(word));
  }
  return words;
}

std::string_view marked_answer(std::string_view text) {
  const std::string lower = in_lower_case(text);
  for (const ThoughtMarks& tag : kAnswers) {
    const size_t begin = lower.rfind(tag.begin);
    if (begin == std::string::npos) continue;
    const std::string_view inner = text.substr(begin + tag.begin.size());
    return inner.substr(0, lower.substr(begin + tag.begin.size()).find(tag.end));
  }
  return text;
}

}  // namespace rewards
