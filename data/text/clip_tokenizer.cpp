#include "data/text/clip_tokenizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "data/base/error.hpp"
#include "data/text/byte_pairs.hpp"
#include "data/unicode/characters.hpp"
#include "data/unicode/utf8.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr std::string_view kEndOfWord = "</w>";

// GPT-2's printable stand-ins for the 256 bytes, as UTF-8: 33-126, 161-172 and 174-255 stand for
// themselves, the other 68 bytes in increasing order for the code points from 256.
struct ByteSymbols {
  std::array<std::string, 256> symbol;  // by byte
  std::array<int, 256> order{};         // bytes in the order of CLIP's ids
  std::map<char32_t, unsigned char> byte;
};

ByteSymbols make_byte_symbols() {
  ByteSymbols table;
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  int next = 0;
  char32_t other = 256;
  for (const bool wanted : {true, false}) {
    for (int b = 0; b < 256; ++b) {
      if (printable(b) != wanted) continue;
      const char32_t point = wanted ? static_cast<char32_t>(b) : other++;
      table.symbol[b] = encode_utf8(std::u32string(1, point));
      table.byte[point] = static_cast<unsigned char>(b);
      table.order[next++] = b;
    }
  }
  return table;
}

const ByteSymbols& byte_symbols() {
  static const ByteSymbols table = make_byte_symbols();
  return table;
}

bool is_other(char32_t c) { return !is_space(c) && !is_letter(c) && !is_number(c); }

// End of the piece that starts at `at`: the alternatives of CLIP's pattern in their order. 0: none
// starts here.
size_t piece_end(std::u32string_view text, size_t at) {
  for (const std::u32string_view fixed :
       {U"<|startoftext|>", U"<|endoftext|>", U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"}) {
    if (text.substr(at).starts_with(fixed)) return at + fixed.size();
  }
  const auto run = [&](auto&& belongs) {
    size_t end = at;
    while (end < text.size() && belongs(text[end])) ++end;
    return end;
  };
  if (is_letter(text[at])) return run(is_letter);
  if (is_number(text[at])) return at + 1;
  if (is_other(text[at])) return run(is_other);
  return 0;
}

// What CLIP's tokenizer does to a text first: Unicode form C, white space to single spaces, lower
// case.
std::u32string normalised(std::string_view text) {
  std::u32string clean;
  for (const char32_t c : nfc(decode_utf8(text))) {
    if (!is_space(c)) {
      clean += c;
    } else if (!clean.ends_with(U' ')) {
      clean += U' ';
    }
  }
  return lower(clean);
}

// Words of a normalised text, cut by the pattern. A special token that stands here was written in
// another case: it is no special token, and is cut like any text (ByteLevel's own pattern).
std::vector<std::string> words_of(std::u32string_view clean) {
  std::vector<std::string> words;
  for (size_t at = 0; at < clean.size();) {
    const size_t end = piece_end(clean, at);
    if (end == 0) {
      ++at;
      continue;
    }
    const std::u32string_view piece = clean.substr(at, end - at);
    const bool special = piece == U"<|startoftext|>" || piece == U"<|endoftext|>";
    if (special) {
      for (const auto part : {piece.substr(0, 2), piece.substr(2, piece.size() - 4),
                              piece.substr(piece.size() - 2)}) {
        words.push_back(encode_utf8(part));
      }
    } else {
      words.push_back(encode_utf8(piece));
    }
    at = end;
  }
  return words;
}

// Where `content` first stands, npos: nowhere.
size_t find_token(std::string_view text, const std::string& content, bool whole_word) {
  size_t at = text.find(content);
  while (whole_word && at != text.npos &&
         (inside_word(text, at) || inside_word(text, at + content.size()))) {
    at = text.find(content, at + 1);
  }
  return at;
}

// A stretch of a text: an added token, or what lies between two.
struct Stretch {
  std::string_view text;
  const AddedToken* token = nullptr;
};

// An added token, and where it next stands in a text from some place on.
struct Sought {
  const AddedToken* token = nullptr;
  std::string content;
  size_t at = 0;  // npos: nowhere
};

std::vector<Sought> sought_in(const std::vector<AddedToken>& tokens,
                              bool normalized,
                              std::string_view text) {
  std::vector<Sought> all;
  for (const auto& token : tokens) {
    if (token.normalized != normalized || token.content.empty()) continue;
    Sought one{.token = &token, .content = token.content};
    if (normalized) one.content = encode_utf8(normalised(token.content));
    one.at = one.content.empty() ? text.npos : find_token(text, one.content, token.whole_word);
    if (one.at != text.npos) all.push_back(std::move(one));
  }
  return all;
}

// Cuts a text at the added tokens with `normalized` as asked, leftmost first, the longest of those
// that start at one place. A token that stands further on is not looked for again, so that the cost
// is the text's length times the number of tokens that it holds.
std::vector<Stretch> stretches_of(const std::vector<AddedToken>& tokens,
                                  bool normalized,
                                  std::string_view text) {
  std::vector<Stretch> stretches;
  std::vector<Sought> sought = sought_in(tokens, normalized, text);
  for (size_t start = 0; start < text.size();) {
    const Sought* best = nullptr;
    for (auto& one : sought) {
      // A word's edge is also where the stretch begins: looked for again at each.
      if (one.at != text.npos && (one.at < start || one.token->whole_word)) {
        const size_t found = find_token(text.substr(start), one.content, one.token->whole_word);
        one.at = found == text.npos ? found : start + found;
      }
      if (one.at == text.npos) continue;
      if (!best || one.at < best->at ||
          (one.at == best->at && one.content.size() > best->content.size()))
        best = &one;
    }
    const size_t first = best ? best->at : text.size();
    if (first > start) stretches.push_back({text.substr(start, first - start)});
    if (best) stretches.push_back({text.substr(first, best->content.size()), best->token});
    start = best ? first + best->content.size() : text.size();
  }
  return stretches;
}

std::vector<std::string> symbols_of(const std::string& word) {
  std::vector<std::string> symbols;
  for (const char c : word) symbols.push_back(byte_symbols().symbol[static_cast<unsigned char>(c)]);
  if (!symbols.empty()) symbols.back() += kEndOfWord;
  return symbols;
}

void merge_at(std::vector<std::string>& symbols, size_t i) {
  symbols[i] += symbols[i + 1];
  symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
}

void append_words(const Tokenizer& tokenizer,
                  std::u32string_view clean,
                  std::vector<int64_t>& ids) {
  for (const auto& word : words_of(clean)) {
    for (const auto& symbol : merge_pairs(symbols_of(word), tokenizer.ranks)) {
      const auto found = tokenizer.vocab.find(symbol);
      ids.push_back(found == tokenizer.vocab.end() ? tokenizer.eos
                                                   : found->second);  // unk_token is <|endoftext|>
    }
  }
}

void append_token(const AddedToken& token, std::vector<int64_t>& ids) {
  for (int64_t i = 0; i < token.count; ++i) ids.push_back(token.id + i);
}

// Copies of words, each as its symbols, with their counts: what BPE learns from.
struct CountedWord {
  std::vector<std::string> symbols;
  int64_t count = 0;
};

// The most frequent adjacent pair ("left right"), the first in order among equals; empty when none
// occurs twice.
std::string most_frequent_pair(const std::vector<CountedWord>& words) {
  std::map<std::string, int64_t> counts;
  for (const auto& word : words) {
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i)
      counts[word.symbols[i] + " " + word.symbols[i + 1]] += word.count;
  }
  const auto best = std::max_element(counts.begin(), counts.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  return best == counts.end() || best->second < 2 ? "" : best->first;
}

void add_symbol(Tokenizer& tokenizer, const std::string& symbol) {
  tokenizer.vocab.emplace(symbol, static_cast<int64_t>(tokenizer.vocab.size()));
}

void add_merge(Tokenizer& tokenizer, const std::string& pair) {
  tokenizer.ranks.emplace(pair, static_cast<int64_t>(tokenizer.merges.size()));
  tokenizer.merges.push_back(pair);
}

std::string joined_pair(const std::string& pair) {
  const size_t space = pair.find(' ');
  return pair.substr(0, space) + pair.substr(space + 1);
}

}  // namespace

std::vector<int64_t> encode_text(const Tokenizer& tokenizer, const std::string& text) {
  if (!is_utf8(text))
    throw BadInput("prompt '" + shortened(encode_utf8(decode_utf8(text)), 200) +
                   "': expected UTF-8, found other bytes; save the text as UTF-8");
  if (text.size() > kLongestPrompt)
    throw BadInput("prompt '" + shortened(text, 40) + "': expected at most " +
                   std::to_string(kLongestPrompt) + " bytes, found " + std::to_string(text.size()));
  std::vector<int64_t> ids;
  for (const auto& raw : stretches_of(tokenizer.added, false, text)) {
    if (raw.token) {
      append_token(*raw.token, ids);
      continue;
    }
    const std::string clean = encode_utf8(normalised(raw.text));
    for (const auto& stretch : stretches_of(tokenizer.added, true, clean)) {
      if (stretch.token) {
        append_token(*stretch.token, ids);
      } else {
        append_words(tokenizer, decode_utf8(stretch.text), ids);
      }
    }
  }
  return ids;
}

Tokens encode(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  const int64_t length = tokenizer.max_length;
  Tokens tokens{at::full({static_cast<int64_t>(texts.size()), length}, tokenizer.pad, at::kLong),
                {}};
  int64_t* row = tokens.ids.mutable_data_ptr<int64_t>();
  for (const auto& text : texts) {
    std::vector<int64_t> ids = encode_text(tokenizer, text);
    tokens.truncated.push_back(static_cast<int64_t>(ids.size()) > length - 2);
    if (tokens.truncated.back()) ids.resize(static_cast<size_t>(length - 2));
    *row = tokenizer.bos;
    std::copy(ids.begin(), ids.end(), row + 1);
    row[ids.size() + 1] = tokenizer.eos;
    row += length;
  }
  return tokens;
}

std::vector<std::string> truncation_warnings(const Tokenizer& tokenizer,
                                             const std::vector<std::string>& texts) {
  std::vector<std::string> warnings;
  const size_t room = static_cast<size_t>(tokenizer.max_length - 2);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = encode_text(tokenizer, texts[i]);
    if (ids.size() <= room) continue;
    const std::string ignored =
        decode(tokenizer, {ids.begin() + static_cast<std::ptrdiff_t>(room), ids.end()});
    warnings.push_back("prompt " + std::to_string(i + 1) + ": " + std::to_string(ids.size()) +
                       " tokens, the model takes " + std::to_string(room) + "; ignored: '" +
                       shortened(ignored, 500) + "'");
  }
  return warnings;
}

std::string decode(const Tokenizer& tokenizer, const std::vector<int64_t>& ids) {
  std::unordered_map<int64_t, std::string> symbols;
  for (const auto& [symbol, id] : tokenizer.vocab) symbols[id] = symbol;
  for (const auto& token : tokenizer.added) {
    if (token.id >= static_cast<int64_t>(tokenizer.vocab.size()))
      symbols[token.id] = token.content + std::string(kEndOfWord);
  }
  std::string text;
  for (const int64_t id : ids) {
    const auto found = symbols.find(id);
    if (id == tokenizer.bos || id == tokenizer.eos || found == symbols.end()) continue;
    std::string symbol = found->second;
    const bool ends = symbol.ends_with(kEndOfWord) && symbol != kEndOfWord;
    if (ends) symbol.resize(symbol.size() - kEndOfWord.size());
    for (const char32_t c : decode_utf8(symbol)) {
      const auto byte = byte_symbols().byte.find(c);
      if (byte != byte_symbols().byte.end()) text += static_cast<char>(byte->second);
    }
    if (ends) text += ' ';
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

Tokenizer train_bpe(const std::vector<std::string>& texts, int64_t vocab_size, int64_t max_length) {
  TORCH_CHECK(vocab_size >= 514,
              "train_bpe: vocab_size must hold 512 byte symbols and 2 special ones, got ",
              vocab_size);
  TORCH_CHECK(max_length >= 3, "train_bpe: max_length must be >= 3, got ", max_length);
  Tokenizer tokenizer;
  tokenizer.max_length = max_length;
  for (const int byte : byte_symbols().order) add_symbol(tokenizer, byte_symbols().symbol[byte]);
  for (const int byte : byte_symbols().order)
    add_symbol(tokenizer, byte_symbols().symbol[byte] + std::string(kEndOfWord));
  std::map<std::string, int64_t> counts;
  for (const auto& text : texts) {
    for (const auto& word : words_of(normalised(text))) ++counts[word];
  }
  std::vector<CountedWord> words;
  for (const auto& [word, count] : counts) words.push_back({symbols_of(word), count});
  while (static_cast<int64_t>(tokenizer.vocab.size()) < vocab_size - 2) {
    const std::string pair = most_frequent_pair(words);
    if (pair.empty()) break;
    add_merge(tokenizer, pair);
    add_symbol(tokenizer, joined_pair(pair));
    for (auto& word : words) {
      for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
        if (word.symbols[i] + " " + word.symbols[i + 1] == pair) merge_at(word.symbols, i);
      }
    }
  }
  for (const auto& special : {tokenizer.bos_token, tokenizer.eos_token})
    add_symbol(tokenizer, special);
  tokenizer.bos = tokenizer.vocab.at(tokenizer.bos_token);
  tokenizer.eos = tokenizer.pad = tokenizer.vocab.at(tokenizer.eos_token);
  tokenizer.added = {{.content = tokenizer.bos_token, .id = tokenizer.bos},
                     {.content = tokenizer.eos_token, .id = tokenizer.eos}};
  return tokenizer;
}

}  // namespace data
