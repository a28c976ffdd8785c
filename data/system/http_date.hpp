#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace data {

// Seconds since 1970 of "Sun, 06 Nov 1994 08:49:37 GMT", or of the two older forms (RFC 9110,
// section 5.6.7); nothing for another text.
std::optional<int64_t> parse_http_date(const std::string& text);

}  // namespace data
