#pragma once

// SentencePiece's unigram tokenizer (Kudo 2018) with the ids of Hugging Face's T5Tokenizer: the
// text is normalised, cut into words at white space, each with U+2581 before it, and each word into
// the pieces whose scores have the largest sum.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/text/precompiled_normalizer.hpp"

namespace data {

struct UnigramPiece {
  int64_t id = 0;
  double score = 0;  // log probability
};

struct UnigramTokenizer {
  std::unordered_map<std::string, UnigramPiece> pieces;
  size_t longest_piece = 0;  // bytes
  double unknown_score = 0;  // of a character without a piece
  int64_t unknown = 2, eos = 1, pad = 0;
  std::unordered_map<std::string, int64_t>
      special;  // looked for in the text before anything is cut
  PrecompiledNormalizer normalizer;
};

// The ids of one text, without the end token. Throws BadInput when it is not UTF-8, or longer than
// kLongestPrompt of clip_tokenizer.hpp.
std::vector<int64_t> encode_text(const UnigramTokenizer& tokenizer, const std::string& text);

struct UnigramIds {
  at::Tensor ids;               // [B, length] int64: text, end token, padding
  std::vector<bool> truncated;  // [B] the text was longer than length - 1 ids; the rest was dropped
};
// length: 1..
UnigramIds encode(const UnigramTokenizer& tokenizer,
                  const std::vector<std::string>& texts,
                  int64_t length);

// A folder with tokenizer.json or, without it, spiece.model; or one of these files. A spiece.model
// gets T5's 100 further tokens <extra_id_0> to <extra_id_99>, as in transformers. Throws BadInput
// naming the file for one that is cut, of another kind (BPE), or with parts that laurel lacks
// (byte_fallback, another normaliser).
UnigramTokenizer load_unigram_tokenizer(const std::filesystem::path& folder_or_file);

}  // namespace data
