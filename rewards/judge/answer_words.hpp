#pragma once

// A judge's answer taken apart: its thoughts dropped, its words without marks of Markdown and
// LaTeX.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rewards {

// Longer answers are unusable. Reading one costs time in proportion to its length.
constexpr size_t kLongestAnswer = size_t{64} << 10;  // bytes

// The text without what reasoning models write before they answer: <think>..</think> and its kin of
// other models. A thought without its end takes the rest with it, an end without its beginning all
// that stands before (chat templates often write the beginning themselves).
std::string without_thoughts(std::string_view text);

enum class WordKind { kWord, kNumber, kSign, kLineEnd };

struct AnswerWord {
  WordKind kind = WordKind::kSign;
  std::string text;       // as it stands; words without apostrophes
  std::string lower;      // in lower case (ASCII)
  bool glued = false;     // no white space before it
  double number = 0;      // of kNumber; NaN when it is too large for a double
  bool negative = false;  // of kNumber: a minus stands directly before it
};

// Words, numbers (4, 3.5, not 4th or 1.2.3), single signs and line ends. The marks * _ ` " ' # $
// and backslashes are left out, full-width characters become ASCII, dashes of all kinds '-'.
std::vector<AnswerWord> answer_words(std::string_view text);

// What stands in the last <answer>..</answer> or box of GLM; the whole text without one.
std::string_view marked_answer(std::string_view text);

}  // namespace rewards
