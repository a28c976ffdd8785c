#pragma once

// Digests of large files, kept between runs.

#include <filesystem>
#include <string>

namespace data {

// Where digests are kept: $XDG_CACHE_HOME/laurel, else $HOME/.cache/laurel; empty where neither
// variable is set.
std::filesystem::path user_cache_folder();

// The SHA-256 of `file`, 64 hexadecimal digits. It is read from `cache` where a run before hashed
// the same path with the same size and modification time, else computed and kept there. An empty
// `cache` keeps nothing; a cache that cannot be written is no error. Throws BadInput as
// sha256_of_file.
std::string cached_sha256_of_file(const std::filesystem::path& file,
                                  const std::filesystem::path& cache);

}  // namespace data
