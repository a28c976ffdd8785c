#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace data {

// BERT's uncased WordPiece (Devlin et al. 2018; Schuster and Nakajima 2012), with the ids of
// Hugging Face's BertTokenizer: lower case, accents dropped, punctuation and CJK characters apart,
// then the longest pieces of the vocabulary from the left.
struct WordPiece {
  std::unordered_map<std::string, int64_t> vocab;
  int64_t unknown = 0, cls = 0, sep = 0, pad = 0;
};

// vocab.txt: a piece a line. Throws BadInput when it lacks [PAD], [UNK], [CLS] or [SEP].
WordPiece load_wordpiece(const std::filesystem::path& vocab);

// The ids of one text without [CLS], [SEP] and padding.
std::vector<int64_t> wordpiece_ids(const WordPiece& tokenizer, const std::string& text);

struct PaddedIds {
  at::Tensor ids;               // [B, L] int64: [CLS], text, [SEP], padding
  at::Tensor mask;              // [B, L] int64: 1 where not padding
  std::vector<bool> truncated;  // [B] what stood behind was dropped
};
PaddedIds encode_padded(const WordPiece& tokenizer,
                        const std::vector<std::string>& texts,
                        int64_t length);

}  // namespace data
