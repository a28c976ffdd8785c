#include "data/text/wordpiece.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/unicode/characters.hpp"

namespace data {
namespace {

constexpr size_t kLongestWord = 100;  // characters; longer ones are unknown

bool between(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

// The blocks of ideographs that BERT sets apart.
bool is_cjk(char32_t c) {
  return between(c, 0x4E00, 0x9FFF) || between(c, 0x3400, 0x4DBF) || between(c, 0x20000, 0x2A6DF) ||
         between(c, 0x2A700, 0x2CEAF) || between(c, 0xF900, 0xFAFF) || between(c, 0x2F800, 0x2FA1F);
}

// ASCII's signs, and the category P of the blocks that prompts use.
bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return between(c, 33, 47) || between(c, 58, 64) || between(c, 91, 96) || between(c, 123, 126);
  constexpr char32_t kLatin[] = {0xA1, 0xA7, 0xAB, 0xB6, 0xB7, 0xBB, 0xBF};
  if (std::find(std::begin(kLatin), std::end(kLatin), c) != std::end(kLatin)) return true;
  return between(c, 0x2010, 0x2027) || between(c, 0x2030, 0x205E) || between(c, 0x3001, 0x3003) ||
         between(c, 0x3008, 0x3011) || between(c, 0x3014, 0x301F) || c == 0x30FB ||
         between(c, 0xFF01, 0xFF03) || between(c, 0xFF05, 0xFF0A) || between(c, 0xFF0C, 0xFF0F) ||
         between(c, 0xFF1A, 0xFF1B) || between(c, 0xFF1F, 0xFF20) || between(c, 0xFF3B, 0xFF3D) ||
         between(c, 0xFF5F, 0xFF65);
}

bool is_control(char32_t c) {
  return c == 0 || c == 0xFFFD || (c < 32 && c != '\t' && c != '\n' && c != '\r') ||
         between(c, 0x7F, 0x9F) || between(c, 0x200B, 0x200F) || c == 0xFEFF || c == 0xAD;
}

// Words and signs in order.
std::vector<std::u32string> words_of(const std::string& text) {
  std::u32string clean;
  for (const char32_t c : decode_utf8(text)) {
    if (!is_control(c)) clean += c;
  }
  std::vector<std::u32string> words;
  bool open = false;
  for (const char32_t c : without_accents(lower(clean))) {
    const bool apart = is_cjk(c) || is_punctuation(c);
    if (is_space(c)) {
      open = false;
    } else if (apart || !open) {
      words.push_back(std::u32string(1, c));
      open = !apart;
    } else {
      words.back() += c;
    }
  }
  return words;
}

void add_pieces(const WordPiece& tokenizer, const std::u32string& word, std::vector<int64_t>& ids) {
  std::vector<int64_t> pieces;
  for (size_t start = 0; start < word.size();) {
    size_t end = word.size();
    auto found = tokenizer.vocab.end();
    for (; end > start && found == tokenizer.vocab.end(); --end) {
      const std::string piece = encode_utf8(std::u32string_view(word).substr(start, end - start));
      found = tokenizer.vocab.find(start == 0 ? piece : "##" + piece);
    }
    if (found == tokenizer.vocab.end()) {  // one piece unknown: the whole word is
      ids.push_back(tokenizer.unknown);
      return;
    }
    pieces.push_back(found->second);
    start = end + 1;
  }
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

int64_t special(const WordPiece& tokenizer, const char* name, const std::string& where) {
  const auto found = tokenizer.vocab.find(name);
  if (found == tokenizer.vocab.end())
    throw BadInput(where + ": expected the vocabulary of a BERT, with " + name + ", found none");
  return found->second;
}

}  // namespace

WordPiece load_wordpiece(const std::filesystem::path& vocab) {
  WordPiece tokenizer;
  std::istringstream lines(read_file(vocab));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    tokenizer.vocab.emplace(line, static_cast<int64_t>(tokenizer.vocab.size()));
  }
  const std::string where = vocab.string();
  tokenizer.pad = special(tokenizer, "[PAD]", where);
  tokenizer.unknown = special(tokenizer, "[UNK]", where);
  tokenizer.cls = special(tokenizer, "[CLS]", where);
  tokenizer.sep = special(tokenizer, "[SEP]", where);
  return tokenizer;
}

std::vector<int64_t> wordpiece_ids(const WordPiece& tokenizer, const std::string& text) {
  std::vector<int64_t> ids;
  for (const auto& word : words_of(text)) {
    if (word.size() > kLongestWord)
      ids.push_back(tokenizer.unknown);
    else
      add_pieces(tokenizer, word, ids);
  }
  return ids;
}

PaddedIds encode_padded(const WordPiece& tokenizer,
                        const std::vector<std::string>& texts,
                        int64_t length) {
  TORCH_CHECK(length >= 2, "encode_padded: length must be >= 2, got ", length);
  const auto count = static_cast<int64_t>(texts.size());
  PaddedIds result{.ids = at::full({count, length}, tokenizer.pad, at::kLong),
                   .mask = at::zeros({count, length}, at::kLong),
                   .truncated = {}};
  auto ids = result.ids.accessor<int64_t, 2>();
  for (int64_t row = 0; row < count; ++row) {
    std::vector<int64_t> own = wordpiece_ids(tokenizer, texts[static_cast<size_t>(row)]);
    const auto room = static_cast<size_t>(length - 2);
    result.truncated.push_back(own.size() > room);
    own.resize(std::min(own.size(), room));
    own.insert(own.begin(), tokenizer.cls);
    own.push_back(tokenizer.sep);
    for (size_t i = 0; i < own.size(); ++i) ids[row][static_cast<int64_t>(i)] = own[i];
    result.mask[row].slice(0, 0, static_cast<int64_t>(own.size())).fill_(1);
  }
  return result;
}

}  // namespace data
