#pragma once

#include <string>
#include <string_view>

// The parts of Unicode that tokenizers need. tables.py writes tables.inc.

namespace data {

// Code points of a UTF-8 text; each byte that belongs to no valid sequence becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

bool is_letter(char32_t c);  // category L*
bool is_number(char32_t c);  // category N*
bool is_space(char32_t c);   // property White_Space

// Whether a word (letters, numbers, "_") continues across byte `at` of a UTF-8 text.
bool inside_word(std::string_view text, size_t at);

// The lower case of each code point, without the final-sigma rule, as Rust's char::to_lowercase.
std::u32string lower(std::u32string_view text);

// Canonical composition (Unicode Standard Annex 15, form C).
std::u32string nfc(std::u32string_view text);

// Canonical decomposition without its combining marks: "café" -> "cafe".
std::u32string without_accents(std::u32string_view text);

}  // namespace data
