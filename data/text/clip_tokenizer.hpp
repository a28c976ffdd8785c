#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <unordered_map>
#include <vector>

namespace data {

// CLIP's byte-level BPE (Radford et al. 2021; byte-pair encoding: Sennrich et al. 2016) with the
// files and the ids of Hugging Face's CLIPTokenizer. Texts are put into Unicode form C, white space
// is collapsed, letters are lower-cased; words are runs of letters, single numbers and runs of
// anything else; a word's last symbol carries "</w>".
struct AddedToken {  // found in a text before anything is cut
  std::string content;
  int64_t id = 0;
  bool normalized = false;  // looked for after normalising: in any case of its letters
  int64_t count = 1;        // ids from `id` on: a learnt word of several vectors
  bool whole_word = false;  // not as a part of a longer word
};
struct Tokenizer {
  std::unordered_map<std::string, int64_t> vocab;  // symbol -> id
  std::unordered_map<std::string, int64_t> ranks;  // "left right" -> merge order
  std::vector<std::string> merges;                 // "left right", in order
  std::string bos_token = "<|startoftext|>", eos_token = "<|endoftext|>",
              pad_token = "<|endoftext|>";
  int64_t bos = 0, eos = 0, pad = 0;
  std::vector<AddedToken> added;  // the three special ones and a checkpoint's own words
  int64_t max_length = 77;        // ids a prompt, bos and eos included
};

constexpr size_t kLongestPrompt = size_t{1} << 20;  // bytes

// The ids of one text, without bos, eos, padding or truncation. Throws BadInput when it is not
// UTF-8, or longer than kLongestPrompt.
std::vector<int64_t> encode_text(const Tokenizer& tokenizer, const std::string& text);

struct Tokens {
  at::Tensor ids;               // [B, L] int64: bos, text, eos, padding to L = max_length
  std::vector<bool> truncated;  // [B] the text was longer than L - 2 ids; the rest was dropped
};
Tokens encode(const Tokenizer& tokenizer, const std::vector<std::string>& texts);

// For each truncated text "prompt <i>: <n> ids, the model takes <m>; ignored: '<words>'": the
// field's warning.
std::vector<std::string> truncation_warnings(const Tokenizer& tokenizer,
                                             const std::vector<std::string>& texts);

// The text of ids, special tokens left out, words separated by one space.
std::string decode(const Tokenizer& tokenizer, const std::vector<int64_t>& ids);

// Learns merges from texts until the vocabulary holds `vocab_size` (>= 514) symbols or no pair
// occurs twice. Ties go to the pair that sorts first: same texts, same tokenizer. `max_length`
// >= 3.
Tokenizer train_bpe(const std::vector<std::string>& texts, int64_t vocab_size, int64_t max_length);

}  // namespace data
