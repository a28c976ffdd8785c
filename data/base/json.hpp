#pragma once

// Between JSON and its text. Its parser and printer are compiled here only: each file that uses
// nlohmann's own takes seconds longer to compile.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace data {

// The value in `text`; a discarded one (is_discarded()) when `text` is not JSON or not UTF-8. Does
// not throw on bad text. The ordered one keeps the order of the keys.
nlohmann::json parse_json(std::string_view text);
nlohmann::ordered_json parse_ordered_json(std::string_view text);

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
