#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace data {

// Whether the bytes are well-formed UTF-8 (no overlong forms, no surrogates, nothing above
// U+10FFFF).
bool is_utf8(std::string_view bytes);

// UTF-8 as Latin-1 bytes; none when a character is above U+00FF or the text is not UTF-8.
std::optional<std::string> to_latin1(std::string_view utf8);

// Latin-1 bytes as UTF-8.
std::string from_latin1(std::string_view latin1);

// What may be written to a terminal: control characters (also U+0080 to U+009F), marks and
// overrides of the direction of writing, and line separators as \u001b, bytes that are not UTF-8 as
// \x80. `keep` names control characters that stay.
std::string printable(std::string_view text, std::string_view keep = "");

// At most `most` bytes, cut between two characters, with ".." where something was cut off.
std::string shortened(std::string_view text, size_t most);

}  // namespace data
