#include "data/base/json.hpp"

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json_fault.hpp"
#include "data/base/text_encoding.hpp"

using nlohmann::json;
using nlohmann::ordered_json;

namespace data {

json parse_json(std::string_view text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

ordered_json parse_ordered_json(std::string_view text) {
  return ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

json parse_json_object(std::string_view text, const std::string& where) {
  json value = parse_json(text);
  if (value.is_object()) return value;
  throw BadInput(where + ": expected a JSON object, found " +
                 (value.is_discarded()
                      ? "no JSON: " + json_fault(text)
                      : std::string("JSON of another kind: ") + value.type_name()));
}

json read_json(const std::filesystem::path& path) {
  const std::string text = decoded_text(read_file(path));
  json value = parse_json(text);
  if (value.is_discarded())
    throw BadInput(path.string() + ": expected JSON, found none: " + json_fault(text));
  return value;
}

json read_json_object(const std::filesystem::path& path) {
  return parse_json_object(decoded_text(read_file(path)), path.string());
}

std::string to_text(const json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::string to_text(const ordered_json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, ordered_json::error_handler_t::replace);
}

}  // namespace data
