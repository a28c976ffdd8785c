#include "tools/edit/batch_file.hpp"

#include <nlohmann/json.hpp>

#include "data/base/csv.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/unicode/encoding.hpp"

namespace tools {
namespace {

using nlohmann::json;

const std::map<std::string, std::vector<std::string>>& names() {
  static const std::map<std::string, std::vector<std::string>> known = {
      {"image",
       {"image", "input", "source_img", "source", "input_image", "original_image", "file_name"}},
      {"instruction", {"instruction", "edit", "edit_prompt", "prompt"}},
      {"output", {"output"}},
      {"id", {"id"}},
      {"negative_prompt", {"negative_prompt", "negative"}},
      {"mask", {"mask"}},
      {"feedback", {"feedback"}},
      {"caption", {"caption"}},
      {"request", {"request", "reward"}},
      {"request_low", {"request_low", "reward_negative"}},
      {"request_scale", {"request_scale", "reward_cfg"}},
      {"seed", {"seed"}},
      {"steps", {"steps", "num_inference_steps"}},
      {"cfg_text", {"cfg_text", "cfg_scale", "guidance_scale"}},
      {"cfg_image", {"cfg_image", "image_cfg_scale", "image_guidance_scale"}},
      {"strength", {"strength", "denoising_strength"}}};
  return known;
}

// "5,5,null" and {"a": 5} in the form of --request.
std::string setting_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_structured()) return data::to_text(value);
  std::string text;
  for (const auto& [key, part] : value.items()) {
    text += text.empty() ? "" : ",";
    if (value.is_object()) text += key + "=";
    text += part.is_null() ? "-" : data::to_text(part);
  }
  return text;
}

EditLine line_of(const json& object, const std::string& where) {
  EditLine line{.settings = {}, .where = where, .fault = {}};
  for (const auto& [name, aliases] : names()) {
    for (const auto& alias : aliases) {
      const auto found = object.find(alias);
      if (found == object.end() || found->is_null()) continue;
      line.settings[name] = setting_text(*found);
      break;
    }
  }
  for (const char* name : {"image", "instruction"}) {
    if (line.settings[name].find_first_not_of(" \t") != std::string::npos) continue;
    line.fault = where + ": expected " + (name[1] == 'm' ? "an image" : "an instruction") +
                 ", found none; give it under \"" + name + "\"";
    break;
  }
  return line;
}

std::vector<EditLine> read_table(const std::filesystem::path& file) {
  const auto table = data::parse_csv(data::decoded_text(data::read_file(file)), file.string());
  data::check_commas(table, file.string());
  std::vector<EditLine> lines;
  for (size_t i = 1; i < table.size(); ++i) {
    const std::string where = file.string() + ":" + std::to_string(table[i].number);
    if (table[i].fields.size() != table[0].fields.size()) {
      lines.push_back({{},
                       where,
                       where + ": expected " + std::to_string(table[0].fields.size()) +
                           " fields as in the first line, found " +
                           std::to_string(table[i].fields.size())});
      continue;
    }
    json object = json::object();
    for (size_t k = 0; k < table[0].fields.size(); ++k) {
      if (!table[i].fields[k].empty()) object[table[0].fields[k]] = table[i].fields[k];
    }
    lines.push_back(line_of(object, where));
  }
  return lines;
}

}  // namespace

std::vector<EditLine> read_edit_lines(const std::filesystem::path& file) {
  std::vector<EditLine> lines;
  if (file.extension() == ".csv") {
    lines = read_table(file);
  } else {
    data::for_each_line(file, [&](const std::string& text, const std::string& where) {
      try {
        lines.push_back(line_of(data::parse_json_object(text, where), where));
      } catch (const data::BadInput& error) {
        lines.push_back({{}, where, error.what()});
      }
    });
  }
  if (lines.empty())
    throw data::BadInput(file.string() + ": expected one edit per line, found none");
  return lines;
}

}  // namespace tools
