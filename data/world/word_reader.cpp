#include "data/world/word_reader.hpp"

#include <algorithm>

#include "data/base/error.hpp"

namespace world {
namespace {

// The words of a text; a comma is a word.
std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char letter : text) {
    if (letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r') {
      inside = false;
    } else if (letter == ',') {
      words.emplace_back(",");
      inside = false;
    } else {
      if (!inside) words.emplace_back();
      words.back() += letter;
      inside = true;
    }
  }
  return words;
}

}  // namespace

WordReader::WordReader(std::string what, const std::string& text)
    : what_(std::move(what)), words_(split_words(text)) {}

std::optional<int64_t> WordReader::take(const WordTable& table) {
  std::optional<int64_t> found;
  size_t longest = 0;
  for (size_t value = 0; value < table.size(); ++value) {
    for (const std::string& text : table[value].texts) {
      const size_t length = length_if_here(split_words(text));
      if (length <= longest) continue;
      longest = length;
      found = static_cast<int64_t>(value);
    }
  }
  next_ += longest;
  return found;
}

int64_t WordReader::require(const WordTable& table, const std::string& what) {
  const auto value = take(table);
  if (value) return *value;
  std::vector<std::string> candidates;
  for (const Wordings& wordings : table)
    candidates.insert(candidates.end(), wordings.texts.begin(), wordings.texts.end());
  fail(what, candidates);
}

void WordReader::fail(const std::string& what, const std::vector<std::string>& candidates) const {
  const std::string found = done() ? "the end" : "'" + words_[next_] + "'";
  std::string line =
      what_ + ", word " + std::to_string(next_ + 1) + ": expected " + what + ", found " + found;
  const std::string near = done() ? "" : data::nearest(words_[next_], candidates);
  std::string advice;
  for (const std::string& candidate : candidates)
    advice += (advice.empty() ? "" : ", ") + candidate;
  if (!near.empty()) {
    line += "; did you mean " + near + "?";
  } else if (!advice.empty()) {
    line += "; use one of: " + advice;
  }
  throw data::BadInput(line);
}

std::optional<Tone> WordReader::take_background() {
  const size_t start = next_;
  if (take(background_words())) {
    const auto tone = take(tone_words());
    if (tone && take({{{"background"}}})) return static_cast<Tone>(*tone);
  }
  next_ = start;
  return std::nullopt;
}

size_t WordReader::length_if_here(const std::vector<std::string>& wanted) const {
  const bool here =
      wanted.size() <= words_.size() - next_ &&
      std::equal(wanted.begin(), wanted.end(), words_.begin() + static_cast<int64_t>(next_));
  return here ? wanted.size() : 0;
}

}  // namespace world
