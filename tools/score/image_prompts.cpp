#include "tools/score/image_prompts.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/base/utf8.hpp"
#include "data/text/prompt_file.hpp"
#include "tools/score/report.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

using Captions = std::map<std::string, std::string>;  // file name -> caption

Captions read_captions(const fs::path& path) {
  Captions captions;
  data::for_each_line(path, [&](const std::string& line, const std::string& where) {
    const auto json = data::parse_json(line);
    if (!json.is_object() || !json.contains("file_name") || !json["file_name"].is_string())
      throw BadInput(where + ": expected an object with \"file_name\" and \"text\"");
    for (const char* key : {"text", "prompt", "caption"}) {
      if (json.contains(key) && json[key].is_string())
        captions[json["file_name"].get<std::string>()] = json[key].get<std::string>();
    }
  });
  return captions;
}

std::vector<std::optional<std::string>> prompts_from_file(const fs::path& path, size_t images) {
  std::vector<std::optional<std::string>> prompts;
  for (const auto& line : data::read_prompts(path)) prompts.push_back(line.prompt);
  if (prompts.size() != images) {
    throw BadInput(path.string() + ": expected a prompt for each of " + std::to_string(images) +
                   " images (sorted by name), found " + std::to_string(prompts.size()) +
                   "; use --prompt for one prompt for all");
  }
  return prompts;
}

}  // namespace

std::vector<std::optional<std::string>> prompts_beside_images(const std::vector<fs::path>& images,
                                                              const PromptSources& sources) {
  if (!sources.prompt.empty()) {
    const std::string prompt = data::checked_prompt(sources.prompt, "--prompt");
    return std::vector<std::optional<std::string>>(images.size(), prompt);
  }
  if (!sources.prompts.empty()) return prompts_from_file(sources.prompts, images.size());
  std::map<fs::path, Captions> folders;
  std::vector<std::optional<std::string>> prompts;
  for (const auto& image : images) {
    fs::path sidecar = image;
    sidecar.replace_extension(".txt");
    const fs::path folder = image.parent_path(), list = folder / "metadata.jsonl";
    if (!folders.count(folder))
      folders[folder] = fs::exists(list) ? read_captions(list) : Captions();
    const auto listed = folders[folder].find(image.filename().string());
    if (fs::exists(sidecar))
      prompts.push_back(data::trimmed(data::read_file(sidecar)));
    else if (listed != folders[folder].end())
      prompts.push_back(listed->second);
    else
      prompts.push_back(std::nullopt);
  }
  return prompts;
}

std::optional<std::string> prompt_in(const data::PngText& text) {
  const auto found = text.find("parameters");
  return found == text.end() ? std::nullopt : prompt_of_parameters(found->second);
}

std::optional<std::string> prompt_in_png(const fs::path& image) {
  if (image.extension() != ".png") return std::nullopt;
  try {
    return prompt_in(data::read_png_text(image));
  } catch (const BadInput&) {
    return std::nullopt;  // a damaged image is reported when its pixels are read
  }
}

std::vector<std::string> prompts_of_images(const std::vector<fs::path>& images,
                                           const PromptSources& sources) {
  const auto beside = prompts_beside_images(images, sources);
  std::vector<std::string> prompts;
  for (size_t i = 0; i < images.size(); ++i)
    prompts.push_back(beside[i] ? *beside[i] : prompt_in_png(images[i]).value_or(""));
  return prompts;
}

}  // namespace tools
