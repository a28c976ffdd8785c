#include "data/images/generation_parameters.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "data/base/json.hpp"
#include "data/base/strings.hpp"

namespace data {
namespace {

std::string quoted(const std::string& value) {
  if (value.find_first_of(",:\n") == std::string::npos) return value;
  return to_text(nlohmann::json(value));
}

// Where the lines of a text begin.
std::vector<size_t> line_starts(const std::string& text) {
  std::vector<size_t> starts{0};
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1))
    starts.push_back(at + 1);
  return starts;
}

// npos: none.
size_t settings_start(const std::string& text) {
  constexpr std::string_view kSteps = "Steps: ";
  const auto starts = line_starts(text);
  const auto is_settings = [&](size_t start) {
    const size_t digit = start + kSteps.size();
    return text.compare(start, kSteps.size(), kSteps) == 0 && digit < text.size() &&
           text[digit] >= '0' && text[digit] <= '9';
  };
  const auto found = std::find_if(starts.rbegin(), starts.rend(), is_settings);
  if (found != starts.rend()) return *found;
  return text.find(" Score: ", starts.back()) == text.npos ? text.npos : starts.back();
}

}  // namespace

ParametersText split_parameters(const std::string& text) {
  constexpr std::string_view kNegative = "Negative prompt:";
  ParametersText parts;
  const size_t start = std::min(settings_start(text), text.size());
  const size_t end = std::min(text.find('\n', start), text.size());
  parts.before = text.substr(0, start);
  parts.settings = text.substr(start, end - start);
  parts.after = text.substr(end);
  const auto lines = line_starts(parts.before);
  const auto negative = std::find_if(lines.begin(), lines.end(), [&](size_t line) {
    return parts.before.compare(line, kNegative.size(), kNegative) == 0;
  });
  const size_t split = negative == lines.end() ? parts.before.size() : *negative;
  parts.prompt = trimmed(parts.before.substr(0, split));
  if (split < parts.before.size())
    parts.negative_prompt = trimmed(parts.before.substr(split + kNegative.size()));
  return parts;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string parameters_text(const GenerationParameters& p) {
  std::vector<GenerationParameters::Extra> settings = {
      {"Steps", std::to_string(p.steps)},
      {"Sampler", p.sampler},
      {"CFG scale", short_number(p.cfg_scale)},
      {"Seed", std::to_string(p.seed)},
      {"Size", std::to_string(p.width) + "x" + std::to_string(p.height)}};
  if (!p.model_hash.empty()) settings.push_back({"Model hash", p.model_hash});
  if (!p.model.empty()) settings.push_back({"Model", p.model});
  settings.insert(settings.end(), p.extra.begin(), p.extra.end());
  std::string line;
  for (const auto& [key, value] : settings)
    line += (line.empty() ? "" : ", ") + key + ": " + quoted(value);
  const std::string negative =
      p.negative_prompt.empty() ? "" : "\nNegative prompt: " + p.negative_prompt;
  return p.prompt + negative + "\n" + line;
}

}  // namespace data
