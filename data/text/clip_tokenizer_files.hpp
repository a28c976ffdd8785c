#pragma once

// Reads and writes a tokenizer's folder in Hugging Face's layout.

#include <filesystem>

#include "data/text/clip_tokenizer.hpp"

namespace data {

// Reads vocab.json and merges.txt, or where the former is absent tokenizer.json; then, where they
// are there, added_tokens.json, special_tokens_map.json and tokenizer_config.json, in transformers'
// order. Throws BadInput naming the file when one is missing, not JSON, of another kind of
// tokenizer, or when merges name symbols outside the vocabulary.
Tokenizer load_tokenizer(const std::filesystem::path& folder);
// Writes vocab.json, merges.txt, the two of settings, and added_tokens.json where there are such;
// transformers' CLIPTokenizer reads them to the same ids.
void save_tokenizer(const std::filesystem::path& folder, const Tokenizer& tokenizer);

}  // namespace data
