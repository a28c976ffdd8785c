#pragma once

// SentencePiece's table of replacements (Kudo and Richardson 2018), as Hugging Face's normaliser
// "Precompiled" reads it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace data {

struct PrecompiledNormalizer {
  std::vector<uint32_t> trie;  // a double array (Aoe 1989) from texts to places in `replacements`
  std::string replacements;    // UTF-8, each ends with a zero byte
  std::string source;          // the file, for messages
};

// precompiled_charsmap: the bytes of the trie as a little-endian number of 32 bits, the trie, the
// replacements; empty: nothing is replaced. Throws BadInput naming `source` when it is cut.
PrecompiledNormalizer parse_precompiled(std::string_view charsmap, const std::string& source);

// Each grapheme cluster of less than 6 bytes is replaced whole by the entry of its shortest known
// beginning, else each of its characters. Throws BadInput when the table points outside of itself.
std::string normalize(const PrecompiledNormalizer& normalizer, const std::string& text);

}  // namespace data
