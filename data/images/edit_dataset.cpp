#include "data/images/edit_dataset.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/images/captions.hpp"

namespace fs = std::filesystem;
using nlohmann::json;

namespace data {
namespace {

const std::vector<std::string> kSource = {"file_name",    "input_image", "original_image",
                                          "source_image", "source_img",  "source"};
const std::vector<std::string> kEdited = {"edited_file_name", "edited_image", "target_image",
                                          "edited"};
const std::vector<std::string> kInstruction = {"edit_prompt", "instruction", "edit", "prompt"};

// The text under the first of the keys that is there.
std::optional<std::string> text_under(const json& line,
                                      const std::vector<std::string>& keys,
                                      const std::string& where) {
  for (const auto& key : keys) {
    for (const std::string& name : {key, key + "_file_name"}) {
      const auto found = line.find(name);
      if (found == line.end() || found->is_null()) continue;
      if (found->is_string()) return found->get<std::string>();
      throw BadInput(where + ": " + name + ": expected a text, found " + to_text(*found));
    }
  }
  return std::nullopt;
}

std::string text_of(const json& line,
                    const std::vector<std::string>& keys,
                    const std::string& what,
                    const std::string& where) {
  if (const auto text = text_under(line, keys, where)) return *text;
  throw BadInput(where + ": expected " + what + " under " + keys[0] + " or " + keys[1] +
                 ", found neither");
}

fs::path image_of(const fs::path& folder, const std::string& name, const std::string& where) {
  const fs::path file = listed_file(folder, name);
  std::error_code error;  // of a name that no file can have
  if (fs::is_regular_file(file, error)) return file;
  throw BadInput(where + ": expected an image, found no file " + file.string());
}

std::map<std::string, double> scores_of(const json& line, const std::string& where) {
  const auto found = line.find("scores");
  if (found == line.end() || found->is_null()) return {};
  if (!found->is_object())
    throw BadInput(where + R"(: scores: expected {"axis": number, ...}, found )" + to_text(*found));
  std::map<std::string, double> scores;
  for (const auto& [axis, value] : found->items()) {
    if (value.is_null()) continue;
    if (!value.is_number())
      throw BadInput(where + ": scores." + axis + ": expected a number, found " + to_text(value));
    scores[axis] = value.get<double>();
  }
  return scores;
}

std::string feedback_of(const json& line, const std::string& where) {
  const auto found = line.find("feedback");
  if (found == line.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  std::string text;
  for (const auto& part : *found) {
    if (!part.is_string())
      throw BadInput(where + ": feedback: expected texts, found " + to_text(part));
    text += (text.empty() ? "" : "; ") + part.get<std::string>();
  }
  return text;
}

std::string id_of(const json& line) {
  const auto found = line.find("id");
  if (found == line.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : to_text(*found);
}

EditTriple triple_of(const std::string& text,
                     const fs::path& folder,
                     const std::string& where,
                     bool needs_edited) {
  const json line = parse_json_object(text, where);
  EditTriple triple;
  triple.where = where;
  triple.line = text;
  triple.source = image_of(folder, text_of(line, kSource, "the source image", where), where);
  if (needs_edited || text_under(line, kEdited, where))
    triple.edited = image_of(folder, text_of(line, kEdited, "the edited image", where), where);
  triple.instruction = trimmed(text_of(line, kInstruction, "an instruction", where));
  if (triple.instruction.empty())
    throw BadInput(where + ": expected an instruction, found an empty one");
  triple.scores = scores_of(line, where);
  triple.feedback = feedback_of(line, where);
  triple.id = id_of(line);
  return triple;
}

}  // namespace

std::vector<EditTriple> read_edit_triples(const fs::path& folder_or_file, bool needs_edited) {
  const bool folder = fs::is_directory(folder_or_file);
  const fs::path file = folder ? folder_or_file / "metadata.jsonl" : folder_or_file;
  if (folder && !fs::exists(file)) {
    throw BadInput(folder_or_file.string() +
                   ": expected metadata.jsonl in the folder of edits, found none; write a line "
                   R"({"file_name": .., "edit_prompt": .., "edited_file_name": ..} for each)");
  }
  std::vector<EditTriple> triples;
  for_each_line(file, [&](const std::string& line, const std::string& where) {
    triples.push_back(triple_of(line, file.parent_path(), where, needs_edited));
  });
  if (triples.empty()) throw BadInput(file.string() + ": expected an edit a line, found none");
  return triples;
}

nlohmann::ordered_json renamed_line(const EditTriple& triple,
                                    const std::string& source,
                                    const std::string& edited) {
  const auto named = [](const std::vector<std::string>& keys, const std::string& key) {
    return std::any_of(keys.begin(), keys.end(), [&](const auto& known) {
      return key == known || key == known + "_file_name";
    });
  };
  nlohmann::ordered_json line{
      {"file_name", source}, {"edit_prompt", triple.instruction}, {"edited_file_name", edited}};
  const nlohmann::ordered_json before = parse_ordered_json(triple.line);
  for (const auto& [key, value] : before.items()) {
    if (!named(kSource, key) && !named(kEdited, key) && !named(kInstruction, key))
      line[key] = value;
  }
  return line;
}

}  // namespace data
