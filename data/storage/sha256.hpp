#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace data {

// SHA-256 (FIPS 180-4) by OpenSSL's libcrypto, as 64 lower-case hexadecimal digits.
std::string sha256(std::string_view bytes);

// Of a file's bytes, which are read in pieces. Throws BadInput when the file cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace data
