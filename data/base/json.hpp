#pragma once

// Between JSON and its text. Its parser and printer are compiled here only: each file that uses
// nlohmann's own takes seconds longer to compile.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace data {

// Values inside values; deeper ones would end the program when they are copied.
constexpr int kDeepestJson = 200;
// Files of more bytes are refused: a value takes many times its text in memory.
constexpr uint64_t kLargestJsonFile = uint64_t{256} << 20;

// Whether more than kDeepestJson arrays and objects stand inside one another. A text that is not
// JSON may count as either.
bool is_too_deep(std::string_view text);

// The value in `text`; a discarded one (is_discarded()) when `text` is not JSON, not UTF-8 or too
// deep. Does not throw on bad text. The ordered one keeps the order of the keys.
nlohmann::json parse_json(std::string_view text);
nlohmann::ordered_json parse_ordered_json(std::string_view text);

// The same, with null for NaN, Infinity and numbers beyond a double, as Python and others write
// them.
nlohmann::json parse_json_with_nan(std::string_view text);

// The object in `text`; BadInput naming `where` when it is none.
nlohmann::json parse_json_object(std::string_view text, const std::string& where);

// The value or the object in the file. Throws BadInput naming the file when it cannot be read or
// holds none.
nlohmann::json read_json(const std::filesystem::path& path);
nlohmann::json read_json_object(const std::filesystem::path& path);

// On one line; with `indent` >= 0 an entry a line, each level that many spaces further in. No
// newline at the end. Bytes of a text that are not UTF-8 become U+FFFD. NaN and infinity become
// null.
std::string to_text(const nlohmann::json& value, int indent = -1);
std::string to_text(const nlohmann::ordered_json& value, int indent = -1);

}  // namespace data
