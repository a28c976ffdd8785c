#include "tools/bench_rewards/items.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr size_t kMostItems = 100'000;
constexpr const char* kFormOfItem = R"({"prompt", "chosen": FILE, "rejected": [1 to 9 files]})";
constexpr const char* kFormOfVariants = R"({"prompt", "variants": {NAME: PROMPT}})";

// A line of a file, for messages.
struct BenchLine {
  const nlohmann::json& json;
  const std::string& where;
  const char* form;  // what was expected
  [[noreturn]] void refuse(const std::string& what) const {
    throw BadInput(where + ": " + what + "; expected " + form);
  }
  std::string text(const char* key) const {
    if (!json.contains(key)) refuse(std::string(key) + " is missing");
    if (!json[key].is_string()) refuse(std::string(key) + " is no text");
    return json[key].get<std::string>();
  }
  std::vector<std::string> texts(const nlohmann::json& list, const std::string& name) const {
    std::vector<std::string> found;
    if (!list.is_array()) refuse(name + " is no list");
    for (const auto& one : list) {
      if (!one.is_string()) refuse(name + " has an entry that is no text");
      found.push_back(one.get<std::string>());
    }
    return found;
  }
  // A text counts as a list of one.
  std::vector<std::string> one_or_more(const nlohmann::json& value, const std::string& name) const {
    if (value.is_string()) return {value.get<std::string>()};
    return texts(value, name);
  }
};

std::vector<PromptVariant> variants_of(const BenchLine& line) {
  std::vector<PromptVariant> variants;
  if (!line.json["variants"].is_object()) line.refuse("variants is no object");
  for (const auto& [name, value] : line.json["variants"].items()) {
    for (const auto& prompt : line.one_or_more(value, "variants: " + name)) {
      if (data::trimmed(prompt).empty()) line.refuse("variants: " + name + " is empty");
      variants.push_back({name, prompt});
    }
  }
  if (variants.size() > kMostVariants)
    line.refuse(std::to_string(variants.size()) + " variants, of at most " +
                std::to_string(kMostVariants));
  return variants;
}

void check_pictures(const BenchItem& item, const BenchLine& line) {
  if (item.wrong.empty() || item.wrong.size() > kMostWrong)
    line.refuse(std::to_string(item.wrong.size()) + " rejected files");
  std::set<fs::path> known;
  for (const auto& wrong : item.wrong) {
    if (wrong == item.right)
      line.refuse(wrong.filename().string() +
                  " is both chosen and rejected, so that none is right");
    if (!known.insert(wrong).second) line.refuse(wrong.filename().string() + " is rejected twice");
  }
}

BenchItem item_of(const BenchLine& line, const fs::path& folder, bool need_prompt) {
  const auto file = [&](const std::string& name) {
    if (name.empty()) line.refuse("a file without a name");
    return (folder / name).lexically_normal();
  };
  BenchItem item{.prompt = line.text("prompt"), .right = file(line.text("chosen")), .wrong = {}};
  if (need_prompt && data::trimmed(item.prompt).empty())
    line.refuse("the prompt is empty, and a reward needs it");
  if (!line.json.contains("rejected")) line.refuse("rejected is missing");
  for (const auto& name : line.texts(line.json["rejected"], "rejected"))
    item.wrong.push_back(file(name));
  check_pictures(item, line);
  if (line.json.contains("slice")) item.slices = line.one_or_more(line.json["slice"], "slice");
  if (line.json.contains("variants")) item.variants = variants_of(line);
  if (line.json.contains("apart")) {
    if (!line.json["apart"].is_boolean()) line.refuse("apart is neither true nor false");
    item.apart = line.json["apart"].get<bool>();
  }
  if (line.json.contains("changes")) item.changes = line.texts(line.json["changes"], "changes");
  if (!item.changes.empty() && item.changes.size() != item.wrong.size())
    line.refuse("changes: expected one of each rejected file");
  return item;
}

}  // namespace

std::vector<BenchItem> read_bench_items(const fs::path& path, bool need_prompt) {
  std::vector<BenchItem> items;
  data::for_each_line(path, [&](const std::string& text, const std::string& where) {
    const auto json = data::parse_json_object(text, where);
    items.push_back(item_of({json, where, kFormOfItem}, path.parent_path(), need_prompt));
    if (items.size() > kMostItems)
      throw BadInput(where + ": expected at most 100,000 items; split the file");
  });
  if (items.empty()) throw BadInput(path.string() + ": expected items, found none");
  return items;
}

void add_variants(const fs::path& path, std::vector<BenchItem>& items) {
  std::map<std::string, std::vector<PromptVariant>> by_prompt;
  data::for_each_line(path, [&](const std::string& text, const std::string& where) {
    const auto json = data::parse_json_object(text, where);
    const BenchLine line{json, where, kFormOfVariants};
    const std::string prompt = line.text("prompt");
    if (!json.contains("variants")) line.refuse("variants is missing");
    if (!by_prompt.emplace(prompt, variants_of(line)).second)
      line.refuse("an earlier line has the same prompt");
  });
  size_t found = 0;
  for (auto& item : items) {
    const auto own = by_prompt.find(item.prompt);
    if (own == by_prompt.end()) continue;
    ++found;
    item.variants.insert(item.variants.end(), own->second.begin(), own->second.end());
  }
  if (!found)
    throw BadInput(path.string() + ": expected the prompt of at least one item, found none of " +
                   std::to_string(by_prompt.size()) + "; write the prompts as the items do");
}

}  // namespace tools
