#include "data/text/prompt_file.hpp"

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/text/clip_tokenizer.hpp"
#include "data/unicode/encoding.hpp"
#include "data/unicode/utf8.hpp"

using nlohmann::json;

namespace data {
namespace {

constexpr int64_t kLargestSide = 8192;
constexpr int64_t kMaxSteps = 1000;
constexpr double kMaxGuidance = 1000;

template <class T>
T parsed(const std::string& text, const std::string& where, T low, T high) {
  const auto value = number_of<T>(text);
  if (value && *value >= low && *value <= high) return *value;
  std::ostringstream range;
  range << "[" << low << ", " << high << "]";
  throw BadInput(where + ": expected a " + (std::is_integral_v<T> ? "whole " : "") + "number in " +
                 range.str() + ", found '" + text + "'");
}

// A setting of a prompt: a key of a JSON line, and kohya's letter.
struct Field {
  const char* name;
  char letter;
  const char* word;  // as a refusal lists it
  bool is_text;
  void (*set)(PromptLine& line, const std::string& value, const std::string& where);
};
const Field kFields[] = {{"negative_prompt", 'n', "negative", true,
                          [](PromptLine& line, const std::string& value, const std::string&) {
                            line.negative_prompt = value;
                          }},
                         {"width", 'w', "width", false,
                          [](PromptLine& line, const std::string& value, const std::string& where) {
                            line.width = parsed<int64_t>(value, where, 1, kLargestSide);
                          }},
                         {"height", 'h', "height", false,
                          [](PromptLine& line, const std::string& value, const std::string& where) {
                            line.height = parsed<int64_t>(value, where, 1, kLargestSide);
                          }},
                         {"seed", 'd', "seed", false,
                          [](PromptLine& line, const std::string& value, const std::string& where) {
                            line.seed =
                                static_cast<uint64_t>(parsed<int64_t>(value, where, 0, INT64_MAX));
                          }},
                         {"cfg_scale", 'l', "cfg", false,
                          [](PromptLine& line, const std::string& value, const std::string& where) {
                            line.cfg_scale = parsed<double>(value, where, 0, kMaxGuidance);
                          }},
                         {"steps", 's', "steps", false,
                          [](PromptLine& line, const std::string& value, const std::string& where) {
                            line.steps = parsed<int64_t>(value, where, 1, kMaxSteps);
                          }}};

// The field of an option, "--w".
const Field& field_of(const std::string& option, const std::string& where) {
  std::string known;
  for (const Field& field : kFields) {
    if (option == std::string("--") + field.letter) return field;
    known += std::string(" --") + field.letter + " " + field.word;
  }
  throw BadInput(where + ": unknown option " + option + "; a prompt line knows" + known);
}

void check_not_empty(const PromptLine& line) {
  if (line.prompt.empty()) {
    throw BadInput(line.where + ": expected a prompt, found none; write one or delete the line");
  }
}

// Where the next option (" --x" or "--x" at the start) begins.
size_t next_option(const std::string& text, size_t from) {
  for (size_t at = text.find("--", from); at != std::string::npos; at = text.find("--", at + 1)) {
    const bool starts = at == 0 || text[at - 1] == ' ' || text[at - 1] == '\t';
    if (starts && at + 2 < text.size() && std::isalpha(static_cast<unsigned char>(text[at + 2])))
      return at;
  }
  return text.size();
}

// "prompt", else "text", else "caption"
std::string prompt_of(const json& object, const std::string& where) {
  for (const char* key : {"prompt", "text", "caption"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    if (!found->is_string())
      throw BadInput(where + ": " + key + ": expected a text, found " + to_text(*found));
    return trimmed(found->get<std::string>());
  }
  throw BadInput(where + ": expected a key \"prompt\", found none");
}

void check_spelling(const json& object, const std::string& where) {
  std::vector<std::string> known{"prompt"};
  for (const auto& field : kFields) known.emplace_back(field.name);
  for (const auto& [key, value] : object.items()) {
    const std::string near = nearest(key, known);
    if (!near.empty() && near != key) {
      throw BadInput(where + ": unknown key \"" + key + "\"; did you mean \"" + near + "\"?");
    }
  }
}

PromptLine parse_json_line(const std::string& text, const std::string& where) {
  const json object = parse_json_object(text, where);
  check_spelling(object, where);
  PromptLine line{.prompt = prompt_of(object, where),
                  .negative_prompt = {},
                  .seed = {},
                  .width = {},
                  .height = {},
                  .steps = {},
                  .cfg_scale = {},
                  .where = where};
  for (const auto& field : kFields) {
    const auto found = object.find(field.name);
    if (found == object.end() || found->is_null()) continue;
    if (found->is_string() != field.is_text) {
      throw BadInput(where + ": " + field.name + ": value of the wrong type: found " +
                     to_text(*found));
    }
    const std::string value = found->is_string() ? found->get<std::string>() : to_text(*found);
    field.set(line, value, where + ": " + field.name);
  }
  return line;
}

bool is_json_lines(const std::filesystem::path& path) {
  return path.extension() == ".jsonl" || path.extension() == ".ndjson";
}

// kohya's other two forms, whose lines would be taken for prompts.
void check_form(const std::filesystem::path& path) {
  if (path.extension() != ".toml" && path.extension() != ".json") return;
  throw BadInput(path.string() +
                 ": expected a text with a prompt a line, or JSON lines (.jsonl), found " +
                 path.extension().string() +
                 "; write each prompt on a line, its settings as --n --w --h --d --l --s");
}

}  // namespace

std::string checked_prompt(const std::string& prompt, const std::string& where) {
  const std::string fault = text_fault(prompt);
  if (!fault.empty()) throw BadInput(where + ": " + fault);
  if (prompt.size() > kLongestPrompt)
    throw BadInput(where + ": expected a prompt of at most " + std::to_string(kLongestPrompt) +
                   " bytes, found " + std::to_string(prompt.size()));
  return trimmed(prompt);
}

PromptLine parse_prompt_line(const std::string& text, const std::string& where) {
  size_t at = next_option(text, 0);
  PromptLine line{.prompt = trimmed(text.substr(0, at)),
                  .negative_prompt = {},
                  .seed = {},
                  .width = {},
                  .height = {},
                  .steps = {},
                  .cfg_scale = {},
                  .where = where};
  while (at < text.size()) {
    const size_t end = next_option(text, at + 2);
    const std::string option = trimmed(text.substr(at, end - at));
    const size_t space = option.find_first_of(" \t");
    const std::string name = option.substr(0, space);
    const std::string value = space == std::string::npos ? "" : trimmed(option.substr(space));
    field_of(name, where).set(line, value, where + ": " + name);
    at = end;
  }
  check_not_empty(line);
  return line;
}

std::vector<PromptLine> read_prompts(const std::filesystem::path& path) {
  check_form(path);
  std::istringstream stream(decoded_text(read_file(path)));
  std::vector<PromptLine> lines;
  std::string raw;
  for (size_t number = 1; std::getline(stream, raw); ++number) {
    const std::string where = path.string() + ":" + std::to_string(number);
    const std::string line = checked_prompt(raw, where);
    if (line.empty() || line[0] == '#') continue;
    lines.push_back(is_json_lines(path) ? parse_json_line(line, where)
                                        : parse_prompt_line(line, where));
    check_not_empty(lines.back());
  }
  if (lines.empty()) throw BadInput(path.string() + ": expected a prompt a line, found none");
  return lines;
}

}  // namespace data
