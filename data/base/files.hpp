#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace data {

// What read_file takes: of a file, and of a pipe or a device, whose size nobody knows before.
constexpr uint64_t kLargestFile = uint64_t{2} << 30;
constexpr uint64_t kLargestStream = uint64_t{64} << 20;

// The whole file as bytes. Throws BadInput when it is missing, a folder, larger than the above, or
// cannot be read.
std::string read_file(const std::filesystem::path& path);

// Calls `take` for each line that is not blank, as UTF-8 (data/unicode/encoding.hpp), with
// "path:number" for messages. Returns the number of lines. Throws as read_file does.
int64_t for_each_line(
    const std::filesystem::path& path,
    const std::function<void(const std::string& line, const std::string& where)>& take);

// Writes to a name of its own (.tmp) beside `path`, flushes it to disk and renames it, so that a
// reader sees either the old or the complete new file, also after a crash. Creates missing folders.
// Throws BadInput when the disk is full or the folder is read-only; the old file is then unchanged.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// The same in pieces, for files too large to hold in memory twice: `fill` gets a function that
// appends bytes.
using Append = std::function<void(const void* bytes, size_t count)>;
void write_file_in_pieces(const std::filesystem::path& path,
                          const std::function<void(const Append&)>& fill);

// Flushes the folder of `path`: a rename is on the disk when its folder is. Does nothing on a file
// system that flushes no folders.
void flush_folder_of(const std::filesystem::path& path);

// Appends one line and a newline in a single write and flushes it to the kernel. For metrics and
// logs.
void append_line(const std::filesystem::path& path, std::string_view line);

// The same without the newline, for binary logs.
void append_bytes(const std::filesystem::path& path, std::string_view bytes);

}  // namespace data
