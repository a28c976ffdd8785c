#include "diffusion/text/prompt_weighting.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/characters.hpp"

using data::BadInput;

namespace diffusion {
namespace {

constexpr double kBracket = 1.1;    // of one pair
constexpr size_t kCommaReach = 20;  // ids: A1111's comma_padding_backtrack
const WeightedText kBreak{"BREAK", -1.0};
constexpr std::string_view kSpace = " \t\n\r\f\v";

// Where `word` stands by itself at or after `from`; npos: nowhere.
size_t find_word(std::string_view text, std::string_view word, size_t from) {
  size_t at = text.find(word, from);
  while (at != text.npos &&
         (data::inside_word(text, at) || data::inside_word(text, at + word.size()))) {
    at = text.find(word, at + 1);
  }
  return at;
}

std::optional<double> weight_of(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto value = data::number_of<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

[[noreturn]] void refuse_prompt(const std::string& prompt, const std::string& what) {
  throw BadInput("prompt '" + prompt + "': " + what);
}

// Forms that change the prompt during sampling, or sample several.
void check_supported(const std::string& prompt) {
  if (find_word(prompt, "AND", 0) != prompt.npos)
    refuse_prompt(prompt, "AND (composed prompts) is not supported; write one prompt, or 'and'");
  struct Open {
    char bracket;
    size_t last_colon;  // behind it; npos: none yet
    bool bar;
  };
  std::vector<Open> open;
  for (size_t i = 0; i < prompt.size(); ++i) {
    const char c = prompt[i];
    if (c == '\\') {
      ++i;
    } else if (c == '(' || c == '[') {
      open.push_back({c, prompt.npos, false});
    } else if (c == ':' && !open.empty()) {
      open.back().last_colon = i + 1;
    } else if (c == '|' && !open.empty()) {
      open.back().bar = true;
    } else if ((c == ')' || c == ']') && !open.empty()) {
      const Open inner = open.back();
      open.pop_back();
      if (inner.bracket != '[' || c != ']') continue;
      if (inner.bar)
        refuse_prompt(prompt, "[a|b] (alternation) is not supported; write \\[ for a bracket");
      if (inner.last_colon == prompt.npos) continue;
      const std::string when = data::trimmed(prompt.substr(inner.last_colon, i - inner.last_colon));
      if (weight_of(when)) {
        refuse_prompt(prompt, "[a:b:" + when + "] (prompt editing) is not supported; (a:" + when +
                                  ") is a weight");
      }
    }
  }
}

// What the parser has read so far.
struct Reading {
  std::string prompt;  // for messages
  std::vector<WeightedText> pieces;
  std::vector<size_t> round, square;  // pieces before each open bracket

  void multiply(std::vector<size_t>& open, double factor) {
    for (size_t i = open.back(); i < pieces.size(); ++i) pieces[i].weight *= factor;
    open.pop_back();
  }
  // Text without brackets, cut at each BREAK with the white space around it.
  void add(std::string_view text) {
    size_t from = 0;
    for (size_t at; (at = find_word(text, kBreak.text, from)) != text.npos;) {
      const std::string_view before = text.substr(from, at - from);
      const size_t last = before.find_last_not_of(kSpace);
      pieces.push_back({std::string(before.substr(0, last + 1)), 1.0});
      pieces.push_back(kBreak);
      from = std::min(text.find_first_not_of(kSpace, at + kBreak.text.size()), text.size());
    }
    pieces.push_back({std::string(text.substr(from)), 1.0});
  }
};

// ":1.3)" with white space around the number, at `at`: the length of it all, 0 where none stands.
size_t weight_end(std::string_view text, size_t at, std::string_view& number) {
  size_t from = text.find_first_not_of(kSpace, at + 1);
  if (text[at] != ':' || from == text.npos) return 0;
  size_t to = from + (text[from] == '+' || text[from] == '-');
  const size_t digits = to;
  while (to < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[to])) || text[to] == '.'))
    ++to;
  number = text.substr(from, to - from);
  const size_t close = text.find_first_not_of(kSpace, to);
  return to == digits || close == text.npos || text[close] != ')' ? 0 : close + 1 - at;
}

// Reads the piece at `at` and returns its length.
size_t read_piece(Reading& reading, std::string_view text, size_t at) {
  const char c = text[at];
  std::string_view number;
  if (c == '\\') {
    const bool escapes =
        at + 1 < text.size() && std::string_view("()[]\\").find(text[at + 1]) != text.npos;
    reading.pieces.push_back({std::string(text.substr(at + 1, escapes ? 1 : 0)), 1.0});
    return escapes ? 2 : 1;
  }
  if (c == '(' || c == '[') {
    (c == '(' ? reading.round : reading.square).push_back(reading.pieces.size());
  } else if (const size_t length = weight_end(text, at, number); length > 0) {
    if (reading.round.empty()) {
      reading.add(text.substr(at, length));
      return length;
    }
    const auto weight = weight_of(number);
    if (!weight) {
      refuse_prompt(reading.prompt, "weight '" + std::string(number) +
                                        "': expected a number such as 1.2, found none");
    }
    reading.multiply(reading.round, *weight);
    return length;
  } else if (c == ')' && !reading.round.empty()) {
    reading.multiply(reading.round, kBracket);
  } else if (c == ']' && !reading.square.empty()) {
    reading.multiply(reading.square, 1 / kBracket);
  } else if (c == ')' || c == ']' || c == ':') {
    reading.add(text.substr(at, 1));
  } else {
    const size_t end = std::min(text.find_first_of("\\()[]:", at), text.size());
    reading.add(text.substr(at, end - at));
    return end - at;
  }
  return 1;
}

// A chunk while it is filled, and those that are full.
struct Filling {
  const data::Tokenizer& tokenizer;
  std::vector<PromptChunk> chunks;
  PromptChunk now;
  std::optional<size_t> comma;  // in `now`

  size_t room() const { return static_cast<size_t>(tokenizer.max_length - 2); }

  void close() {
    if (chunks.size() == kMaxChunks) {
      throw BadInput("prompt: expected at most " + std::to_string(kMaxChunks) + " chunks of " +
                     std::to_string(room()) + " tokens, found more; shorten it");
    }
    now.ids.insert(now.ids.begin(), tokenizer.bos);
    now.weights.insert(now.weights.begin(), 1.0);
    now.ids.resize(room() + 2, tokenizer.eos);
    now.weights.resize(room() + 2, 1.0);
    if (tokenizer.pad != tokenizer.eos) {
      const auto end = std::find(now.ids.begin(), now.ids.end(), tokenizer.eos);
      std::fill(end + 1, now.ids.end(), tokenizer.pad);
    }
    chunks.push_back(std::move(now));
    now = {};
    comma.reset();
  }

  // What follows the last comma moves on, where that is near enough to the full chunk's end.
  void move_on() {
    if (!comma || now.ids.size() != room() || room() - *comma > kCommaReach) return;
    const auto from = static_cast<std::ptrdiff_t>(*comma + 1);
    const PromptChunk rest{{now.ids.begin() + from, now.ids.end()},
                           {now.weights.begin() + from, now.weights.end()}};
    now.ids.resize(*comma + 1);
    now.weights.resize(*comma + 1);
    close();
    now = rest;
  }

  void add(int64_t id, double weight, bool is_comma) {
    if (is_comma) {
      comma = now.ids.size();
    } else {
      move_on();
    }
    if (now.ids.size() == room()) close();
    now.ids.push_back(id);
    now.weights.push_back(weight);
  }
};

}  // namespace

std::vector<WeightedText> parse_weights(const std::string& prompt) {
  check_supported(prompt);
  Reading reading{.prompt = prompt, .pieces = {}, .round = {}, .square = {}};
  for (size_t at = 0; at < prompt.size();) at += read_piece(reading, prompt, at);
  while (!reading.round.empty()) reading.multiply(reading.round, kBracket);
  while (!reading.square.empty()) reading.multiply(reading.square, 1 / kBracket);
  std::vector<WeightedText> merged;
  for (auto& piece : reading.pieces) {
    if (!merged.empty() && merged.back().weight == piece.weight) {
      merged.back().text += piece.text;
    } else {
      merged.push_back(std::move(piece));
    }
  }
  if (merged.empty()) merged.push_back({});
  return merged;
}

std::vector<PromptChunk> chunks_of(const data::Tokenizer& tokenizer,
                                   const std::vector<WeightedText>& pieces) {
  const auto comma = tokenizer.vocab.find(",</w>");
  Filling filling{.tokenizer = tokenizer, .chunks = {}, .now = {}, .comma = {}};
  for (const auto& piece : pieces) {
    if (piece == kBreak) {
      filling.close();
      continue;
    }
    for (const int64_t id : data::encode_text(tokenizer, piece.text))
      filling.add(id, piece.weight, comma != tokenizer.vocab.end() && id == comma->second);
  }
  if (!filling.now.ids.empty() || filling.chunks.empty()) filling.close();
  return filling.chunks;
}

PromptChunk empty_chunk(const data::Tokenizer& tokenizer) {
  return chunks_of(tokenizer, {{}}).front();
}

bool has_weights(const std::string& prompt) {
  if (find_word(prompt, kBreak.text, 0) != prompt.npos) return true;
  for (size_t i = 0; i + 1 < prompt.size(); ++i) {
    std::string_view number;
    if (prompt[i] == '\\') {
      ++i;
    } else if (weight_end(prompt, i, number) > 0) {
      return true;
    }
  }
  return false;
}

at::Tensor apply_weights(const at::Tensor& hidden, const std::vector<double>& weights) {
  TORCH_CHECK(hidden.dim() == 3 && hidden.size(0) == 1 &&
                  hidden.size(1) == static_cast<int64_t>(weights.size()),
              "apply_weights: hidden: expected [1, ", weights.size(), ", D], got ", hidden.sizes());
  const at::Tensor factor = at::tensor(weights, at::kDouble).to(hidden.options()).view({1, -1, 1});
  const at::Tensor weighted = hidden * factor;
  return weighted * (hidden.mean() / weighted.mean());
}

}  // namespace diffusion
