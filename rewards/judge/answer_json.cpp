#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "rewards/judge/answer_text.hpp"

using nlohmann::json;

namespace rewards {
namespace {

constexpr int kMostTries = 256;  // braces that begin no object

// Behind the brace that closes the one at `begin`; npos: none does.
size_t object_end(const std::string& text, size_t begin) {
  int64_t depth = 0;
  bool quoted = false;
  for (size_t at = begin; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return std::string::npos;
}

}  // namespace

std::vector<json> objects_in(const std::string& answer, std::string* rest) {
  std::vector<json> objects;
  size_t behind = 0;
  int tries = 0;
  for (size_t begin = answer.find('{'); begin != std::string::npos && tries < kMostTries;
       begin = answer.find('{', begin)) {
    const size_t end = object_end(answer, begin);
    json object = end == std::string::npos
                      ? json()
                      : data::parse_json(std::string_view(answer).substr(begin, end - begin));
    if (object.is_object()) {
      objects.push_back(std::move(object));
      begin = behind = end;
    } else {
      ++begin;
      ++tries;
    }
  }
  if (rest) *rest = answer.substr(behind);
  return objects;
}

std::optional<std::string> chat_text(const json& reply) {
  const json choices = reply.is_object() ? reply.value("choices", json()) : json();
  if (!choices.is_array() || choices.empty() || !choices[0].is_object()) return std::nullopt;
  const json message = choices[0].value("message", json());
  const json content = message.is_object() ? message.value("content", json()) : json();
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return std::nullopt;
  std::optional<std::string> text;
  for (const json& part : content) {
    const json type = part.is_object() ? part.value("type", json("text")) : json("text");
    const json words = part.is_object() ? part.value("text", json()) : part;
    // Parts of other kinds are thoughts, refusals, pictures.
    if ((type == "text" || type == "output_text") && words.is_string())
      text = (text ? *text + "\n" : "") + words.get<std::string>();
  }
  return text;
}

}  // namespace rewards
