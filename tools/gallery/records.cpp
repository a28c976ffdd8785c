#include "tools/gallery/records.hpp"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"
#include "data/base/saturated.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace gallery {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

std::string text_at(const ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Calls `visit` with the object of each line.
void for_each_line(const fs::path& path,
                   std::vector<std::string>& warnings,
                   const std::function<void(const ordered_json&)>& visit) {
  const std::string text = data::read_file(path);
  const auto lines = lines_of(text);
  for (size_t k = 0; k < lines.size(); ++k) {
    if (data::trimmed(lines[k]).empty()) continue;
    const auto object = data::parse_ordered_json(lines[k]);
    if (object.is_object()) {
      visit(object);
      continue;
    }
    const std::string where = path.string() + ":" + std::to_string(k + 1) + ": ";
    if (k + 1 == lines.size() && text.back() != '\n') {
      warnings.push_back(where + "the last line is incomplete and was skipped");
      continue;
    }
    throw data::BadInput(where + "expected one JSON object per line, found '" +
                         lines[k].substr(0, 40) + "'; correct or remove the line");
  }
}

// Of a JSON number; the nearest where it is none.
int64_t whole_number(const ordered_json& number) {
  return number.is_number_integer() ? number.get<int64_t>() : data::saturated(number.get<double>());
}

// "Steps: 20, Seed: 3, Note: \"a, b\"" -> the parts between the commas outside quotes.
std::vector<std::string> split_pairs(const std::string& line) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char letter : line) {
    if (letter == '"') quoted = !quoted;
    if (letter == ',' && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  for (auto& part : parts) part = data::trimmed(part);
  return parts;
}

void read_pair(const std::string& pair, Record& record) {
  constexpr std::string_view kSeed = "Seed: ", kReward = "Reward ";
  const size_t colon = std::min(pair.find(": "), pair.size());
  const auto value = data::number_of<double>(pair.substr(std::min(colon + 2, pair.size())));
  if (pair.starts_with(kSeed) && value) {
    record.seed = data::saturated(*value);
  } else if (pair.starts_with(kReward) && value) {
    record.rewards[pair.substr(kReward.size(), colon - kReward.size())] = *value;
  } else if (!pair.empty()) {
    record.settings += (record.settings.empty() ? "" : ", ") + pair;
  }
}

}  // namespace

Record parse_parameters(const std::string& text) {
  const auto parts = data::split_parameters(text);
  Record record;
  record.prompt = parts.prompt;
  for (const auto& pair : split_pairs(parts.settings)) read_pair(pair, record);
  if (!parts.negative_prompt.empty())
    record.settings += "; negative prompt: " + parts.negative_prompt;
  const std::string after = data::trimmed(parts.after);
  if (!after.empty()) record.settings += "; " + after;
  return record;
}

std::map<std::string, Record> read_scores(const fs::path& path,
                                          std::vector<std::string>& warnings) {
  std::map<std::string, Record> records;
  for_each_line(path, warnings, [&](const ordered_json& object) {
    const std::string file = fs::path(text_at(object, "file")).filename().string();
    if (file.empty()) return;
    Record& record = records[file];
    record.prompt = text_at(object, "prompt");
    record.split = text_at(object, "split");
    const auto seed = object.find("seed");
    if (seed != object.end() && seed->is_number()) record.seed = whole_number(*seed);
    const auto rewards = object.find("rewards");
    if (rewards == object.end() || !rewards->is_object()) return;
    for (const auto& [name, value] : rewards->items()) {
      if (value.is_number()) record.rewards[name] = value.get<double>();
    }
  });
  return records;
}

std::vector<Series> read_metrics(const fs::path& path, std::vector<std::string>& warnings) {
  std::vector<Series> all;
  std::map<std::string, size_t> places;
  for_each_line(path, warnings, [&](const ordered_json& object) {
    const auto step = object.find("step");
    if (step == object.end() || !step->is_number()) return;
    for (const auto& [name, value] : object.items()) {
      if (name == "step" || name == "epoch" || name == "time") continue;
      if (!value.is_number() && !value.is_null()) continue;
      const auto [place, added] = places.try_emplace(name, all.size());
      if (added) all.push_back({.name = name, .steps = {}, .values = {}});
      all[place->second].steps.push_back(whole_number(*step));
      all[place->second].values.push_back(value.is_null() ? std::nullopt
                                                          : std::optional(value.get<double>()));
    }
  });
  return all;
}

std::vector<std::string> read_verdicts(const fs::path& path, std::vector<std::string>& warnings) {
  std::vector<std::string> verdicts;
  for_each_line(path, warnings,
                [&](const ordered_json& object) { verdicts.push_back(data::to_text(object)); });
  return verdicts;
}

RunInfo read_run_info(const fs::path& path) {
  const auto object = data::parse_ordered_json(data::read_file(path));
  if (!object.is_object()) {
    throw data::BadInput(path.string() + ": expected a JSON object, found something else");
  }
  const auto synthetic = object.find("synthetic");
  return {
      .json = data::to_text(object),
      .synthetic = synthetic != object.end() && synthetic->is_boolean() && synthetic->get<bool>()};
}

}  // namespace gallery
