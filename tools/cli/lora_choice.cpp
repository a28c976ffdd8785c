#include "tools/cli/lora_choice.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/unicode/utf8.hpp"
#include "diffusion/lora/apply.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr double kMaxWeight = 10;
const std::set<std::string> kEndings = {".safetensors", ".pt", ".bin", ".ckpt", ".pth"};

bool is_number(const std::string& text, double& value) {
  const auto number = data::number_of<double>(text);
  value = number.value_or(0);
  return number && std::isfinite(value);
}

double weight_of(const std::string& text, const std::string& where) {
  double value = 0;
  if (!is_number(text, value))
    throw BadInput(where + ": expected a weight such as 0.8, found '" + text + "'");
  if (std::abs(value) > kMaxWeight)
    throw BadInput(where + ": expected a weight in [-10, 10], found " + text);
  return value;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at = text.find(separator); at != std::string::npos;
       at = text.find(separator, begin)) {
    parts.push_back(text.substr(begin, at - begin));
    begin = at + 1;
  }
  parts.push_back(text.substr(begin));
  return parts;
}

// `inner`: the text between "<lora:" and ">".
LoraChoice parse_tag(const std::string& inner,
                     const std::string& folder,
                     const std::string& where) {
  const std::string tag = where + ": <lora:" + data::shortened(inner, 80) + ">";
  std::vector<std::string> plain;
  std::map<std::string, std::string> named;
  for (const auto& part : split(inner, ':')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos || plain.empty())
      plain.push_back(part);
    else
      named[part.substr(0, equals)] = part.substr(equals + 1);
  }
  if (plain[0].empty()) throw BadInput(tag + ": expected the name of a LoRA, found none");
  if (plain.size() > 3) throw BadInput(tag + ": expected a name and up to two weights, found more");
  LoraChoice choice;
  if (plain.size() > 1) choice.text_weight = weight_of(plain[1], tag);
  choice.unet_weight = plain.size() > 2 ? weight_of(plain[2], tag) : choice.text_weight;
  for (const auto& [key, value] : named) {
    if (key != "te" && key != "unet")
      throw BadInput(tag + ": unknown setting '" + key + "'; expected te= or unet=");
    (key == "te" ? choice.text_weight : choice.unet_weight) = weight_of(value, tag);
  }
  if (named.contains("te") && plain.size() < 2 && !named.contains("unet"))
    choice.unet_weight = choice.text_weight;
  choice.file = find_lora(folder, plain[0], tag);
  return choice;
}

// A tag's places in a prompt: of its "<", of what follows "<lora:", and behind its ">".
struct Tag {
  size_t begin = 0, inner = 0, end = 0;
};
// The first one from `from` on. Throws BadInput for one that does not end.
std::optional<Tag> next_tag(const std::string& prompt, size_t from, const std::string& where) {
  static constexpr std::string_view kBegin[] = {"<lora:", "<lyco:"};
  Tag tag{.begin = std::string::npos};
  for (const auto begin : kBegin) tag.begin = std::min(tag.begin, prompt.find(begin, from));
  if (tag.begin == std::string::npos) return std::nullopt;
  tag.inner = tag.begin + kBegin[0].size();
  const size_t close = prompt.find('>', tag.inner);
  if (close == std::string::npos)
    throw BadInput(where + ": " + data::shortened(prompt.substr(tag.begin), 40) +
                   ": expected a '>' that ends the tag, found none");
  tag.end = close + 1;
  return tag;
}

// The name nearest to `name`, then the first others.
std::string names_near(const std::string& name, std::vector<std::string> names) {
  std::string list;
  if (const std::string near = data::nearest(name, names); !near.empty()) {
    list = near;
    names.erase(std::find(names.begin(), names.end(), near));
  }
  constexpr size_t kShown = 5;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i)
    list += (list.empty() ? "" : ", ") + names[i];
  return list + (names.size() > kShown ? ", ..." : "");
}

// Whether a path leads through a checkpoint of a run, whose LoRA has the name of the run's own.
bool of_checkpoint(const fs::path& within) {
  return std::any_of(within.begin(), within.end(),
                     [](const fs::path& part) { return part.string().starts_with("checkpoint-"); });
}

// Which LoRAs of one name there are, and how to name one of them.
std::string several_text(const std::set<fs::path>& fitting,
                         const std::string& folder,
                         const std::string& name) {
  std::string list;
  for (const auto& path : fitting)
    list += (list.empty() ? "" : ", ") + fs::relative(path, folder).string();
  return "several LoRAs of " + folder + " are called '" + name + "': " + list +
         "; name one by its path within the folder, such as " +
         fs::relative(*fitting.begin(), folder).string();
}

}  // namespace

fs::path find_lora(const std::string& folder, const std::string& name, const std::string& where) {
  if (folder.empty())
    throw BadInput(where + ": expected --lora_dir, the folder of the LoRAs, found none");
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw BadInput("--lora_dir: " + folder + ": expected a folder, found none");
  std::map<std::string, fs::path> files;  // in order of their names
  std::set<fs::path> fitting;
  for (const auto& entry : fs::recursive_directory_iterator(
           folder, fs::directory_options::follow_directory_symlink, error)) {
    const fs::path& path = entry.path();
    if (!kEndings.contains(path.extension().string())) continue;
    const fs::path whole = fs::relative(path, folder), within = fs::path(whole).replace_extension();
    if (whole == name || (within == name && within.has_parent_path())) return path;
    if (of_checkpoint(within.parent_path())) continue;
    if (path.stem() == name || path.filename() == name) fitting.insert(path);
    files.emplace(path.stem().string(), path);
  }
  if (fitting.size() == 1) return *fitting.begin();
  if (fitting.size() > 1) throw BadInput(where + ": " + several_text(fitting, folder, name));
  std::vector<std::string> names;
  for (const auto& [known, path] : files) names.push_back(known);
  throw BadInput(where + ": expected a LoRA '" + name + "' in " + folder + ", found " +
                 (names.empty() ? "no LoRA" : names_near(name, names)));
}

LoraChoice parse_lora_choice(const std::string& text, double weight, const std::string& folder) {
  LoraChoice choice{text, weight, weight};
  std::error_code error;
  const size_t equals = text.rfind('=');
  if (equals != std::string::npos && !fs::exists(text, error)) {
    choice.file = text.substr(0, equals);
    choice.unet_weight = choice.text_weight = weight_of(text.substr(equals + 1), "--lora " + text);
  }
  if (fs::exists(choice.file, error)) return choice;
  if (!folder.empty()) {
    choice.file = find_lora(folder, choice.file.string(), "--lora");
    return choice;
  }
  throw BadInput("--lora: " + choice.file.string() + ": no such file; check the path" +
                 (choice.file.has_extension() ? "" : ", or give --lora_dir, the folder of LoRAs"));
}

std::vector<LoraChoice> parse_lora_choices(const std::vector<std::string>& texts,
                                           double weight,
                                           const std::string& folder) {
  std::vector<LoraChoice> choices;
  for (const auto& text : texts) choices.push_back(parse_lora_choice(text, weight, folder));
  return choices;
}

TaggedPrompt take_lora_tags(const std::string& prompt,
                            const std::string& folder,
                            const std::string& where) {
  TaggedPrompt result;
  std::string rest;
  size_t from = 0;
  while (const auto tag = next_tag(prompt, from, where)) {
    result.loras.push_back(
        parse_tag(prompt.substr(tag->inner, tag->end - 1 - tag->inner), folder, where));
    rest.append(prompt, from, tag->begin - from);
    from = tag->end;
  }
  rest.append(prompt, from);
  result.prompt = result.loras.empty() ? prompt : data::trimmed(rest);
  return result;
}

std::vector<diffusion::LoraUse> LoraShelf::uses(const std::vector<LoraChoice>& choices) {
  std::vector<diffusion::LoraUse> result;
  for (const auto& choice : choices)
    result.push_back({read(choice.file), choice.unet_weight, choice.text_weight});
  return result;
}

std::shared_ptr<const diffusion::LoraWeights> LoraShelf::read(const fs::path& file) {
  auto& lora = known_[file];
  if (!lora) lora = std::make_shared<diffusion::LoraWeights>(diffusion::read_lora(file));
  return lora;
}

std::string lora_text(const LoraChoice& choice) {
  std::string text = choice.file.filename().string() + " " + data::short_number(choice.text_weight);
  if (choice.unet_weight != choice.text_weight)
    text += ":" + data::short_number(choice.unet_weight);
  return text;
}

std::string lora_text(const std::vector<LoraChoice>& choices) {
  std::string text;
  for (const auto& choice : choices) text += (text.empty() ? "" : ", ") + lora_text(choice);
  return text;
}

}  // namespace tools
