#pragma once

// cpp-httplib, as Debian compiles its library. The macros stand here, not in CMake: the precompiled
// header must not see them.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#define CPPHTTPLIB_BROTLI_SUPPORT
#include <httplib.h>

#include <algorithm>
#include <cctype>

#include "data/system/http.hpp"

namespace data {

inline HttpHeaders lower_case(const httplib::Headers& headers) {
  HttpHeaders result;
  for (const auto& [name, value] : headers) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    result.emplace(lower, value);
  }
  return result;
}

}  // namespace data
