#pragma once

#include <string>
#include <string_view>

namespace data {

// RFC 4648, section 4: with padding, without line breaks.
std::string base64(std::string_view bytes);
// The inverse. Throws BadInput for a text that is not base64.
std::string from_base64(const std::string& text);
// The bytes that pairs of hexadecimal digits name. Throws BadInput for any other text.
std::string from_hex(std::string_view text);

}  // namespace data
