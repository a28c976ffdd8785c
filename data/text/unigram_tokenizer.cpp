#include "data/text/unigram_tokenizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/text/clip_tokenizer.hpp"
#include "data/unicode/characters.hpp"
#include "data/unicode/utf8.hpp"

namespace data {
namespace {

constexpr char32_t kSpace = 0x2581;  // stands for the space before a word

// Bytes of the UTF-8 character that begins with `first`.
size_t width_of(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The best way to a place in a word: the piece that ends there.
struct BestPath {
  double score = 0;  // of all pieces up to there
  size_t from = 0;
  int64_t id = -1;  // -1: not reached
};

void offer(BestPath& step, const BestPath& other) {
  if (step.id < 0 || other.score > step.score) step = other;
}

// Viterbi's algorithm (1967) over the bytes of a word. Scores are summed in fp64, and of equal ones
// the first stays, as in Hugging Face's tokenizers.
std::vector<BestPath> best_steps(const UnigramTokenizer& tokenizer, const std::string& word) {
  std::vector<BestPath> steps(word.size() + 1);
  for (size_t from = 0; from < word.size(); from += width_of(word[from])) {
    const double before = steps[from].score;
    const size_t character = width_of(word[from]);
    bool single = false;
    const size_t most = std::min(word.size() - from, tokenizer.longest_piece);
    for (size_t length = character; length <= most;) {
      const auto found = tokenizer.pieces.find(word.substr(from, length));
      if (found != tokenizer.pieces.end()) {
        offer(steps[from + length], {before + found->second.score, from, found->second.id});
        single = single || length == character;
      }
      if (from + length == word.size()) break;
      length += width_of(word[from + length]);
    }
    if (!single)
      offer(steps[from + character], {before + tokenizer.unknown_score, from, tokenizer.unknown});
  }
  return steps;
}

// A run of unknown characters is one unknown token.
void add_word(const UnigramTokenizer& tokenizer,
              const std::string& word,
              std::vector<int64_t>& ids) {
  const std::vector<BestPath> steps = best_steps(tokenizer, word);
  std::vector<int64_t> reversed;
  for (size_t end = word.size(); end > 0; end = steps[end].from) {
    const int64_t id = steps[end].id;
    const bool run = id == tokenizer.unknown && !reversed.empty() && reversed.back() == id;
    if (!run) reversed.push_back(id);
  }
  ids.insert(ids.end(), reversed.rbegin(), reversed.rend());
}

// Words at white space, and again before each U+2581 that the text itself holds.
void add_plain(const UnigramTokenizer& tokenizer,
               const std::string& text,
               std::vector<int64_t>& ids) {
  std::u32string word;
  const auto close = [&] {
    if (!word.empty()) add_word(tokenizer, encode_utf8(word), ids);
    word.clear();
  };
  bool outside = true;
  for (const char32_t c : decode_utf8(normalize(tokenizer.normalizer, text))) {
    if (is_space(c) || c == kSpace) close();
    if (is_space(c)) {
      outside = true;
      continue;
    }
    if (outside && c != kSpace) word.push_back(kSpace);
    word.push_back(c);
    outside = false;
  }
  close();
}

// The longest special token that begins at `at`; "": none.
std::string special_at(const UnigramTokenizer& tokenizer, const std::string& text, size_t at) {
  std::string longest;
  for (const auto& [token, id] : tokenizer.special) {
    if (token.size() > longest.size() && text.compare(at, token.size(), token) == 0)
      longest = token;
  }
  return longest;
}

}  // namespace

std::vector<int64_t> encode_text(const UnigramTokenizer& tokenizer, const std::string& text) {
  if (text.size() > kLongestPrompt) {
    throw BadInput("prompt: expected at most " + std::to_string(kLongestPrompt) + " bytes, found " +
                   std::to_string(text.size()));
  }
  if (!is_utf8(text)) throw BadInput("prompt: expected UTF-8, found other bytes");
  std::vector<int64_t> ids;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const std::string token = special_at(tokenizer, text, at);
    if (token.empty()) {
      ++at;
      continue;
    }
    add_plain(tokenizer, text.substr(begin, at - begin), ids);
    ids.push_back(tokenizer.special.at(token));
    begin = at += token.size();
  }
  add_plain(tokenizer, text.substr(begin), ids);
  return ids;
}

UnigramIds encode(const UnigramTokenizer& tokenizer,
                  const std::vector<std::string>& texts,
                  int64_t length) {
  TORCH_CHECK(length >= 1, "encode: length must be >= 1, got ", length);
  UnigramIds result;
  std::vector<int64_t> all;
  for (const auto& text : texts) {
    std::vector<int64_t> ids = encode_text(tokenizer, text);
    const auto room = static_cast<size_t>(length - 1);
    result.truncated.push_back(ids.size() > room);
    ids.resize(std::min(ids.size(), room));
    ids.push_back(tokenizer.eos);
    ids.resize(static_cast<size_t>(length), tokenizer.pad);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  result.ids = at::tensor(all, at::kLong).view({static_cast<int64_t>(texts.size()), length});
  return result;
}

}  // namespace data
