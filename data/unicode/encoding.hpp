#pragma once

#include <string>
#include <string_view>

namespace data {

// A text file's bytes as UTF-8: without a byte order mark, and converted where the mark is that of
// UTF-16. Other bytes stay as they are; text_fault tells whether they are text.
std::string decoded_text(std::string_view bytes);

// Why `text` is no UTF-8 text: "expected UTF-8 text, found byte 0xE9 on line 1 ..."; "" when it is.
std::string text_fault(std::string_view text);

}  // namespace data
