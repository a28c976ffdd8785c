#pragma once

#include <string>

namespace data {

// What printf writes.
[[gnu::format(printf, 1, 2)]] std::string formatted(const char* format, ...);

}  // namespace data
