#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace data {

// SHA-256 (FIPS 180-4) by OpenSSL's libcrypto, as 64 lower-case hexadecimal digits.
std::string sha256(std::string_view bytes);

// Of bytes that `give` hands over in pieces, in order.
std::string sha256_of_pieces(
    const std::function<void(const std::function<void(std::string_view)>& take)>& give);

// Of a file's bytes, which are read in pieces. Throws BadInput when the file cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace data
