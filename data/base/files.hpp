#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace data {

// The whole file as bytes. Throws BadInput when it is missing, a folder, or cannot be read.
std::string read_file(const std::filesystem::path& path);

// Hands on each line that is not blank, with "path:number" for messages. Returns the number of
// lines. Throws as read_file does.
int64_t for_each_line(
    const std::filesystem::path& path,
    const std::function<void(const std::string& line, const std::string& where)>& take);

// Writes to `path`.tmp beside it, flushes to disk and renames: a reader sees the old file or the
// whole new one. Missing folders are made. Throws BadInput when the disk is full or the place is
// read-only; the old file stays.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// The same in pieces, for files that do not fit in memory twice: `fill` is handed a function that
// appends bytes.
using Append = std::function<void(const void* bytes, size_t count)>;
void write_file_in_pieces(const std::filesystem::path& path,
                          const std::function<void(const Append&)>& fill);

// Appends one line (a newline is added) in a single write and flushes it to the kernel. For metrics
// and logs.
void append_line(const std::filesystem::path& path, std::string_view line);

// The same without the newline, for binary logs.
void append_bytes(const std::filesystem::path& path, std::string_view bytes);

}  // namespace data
