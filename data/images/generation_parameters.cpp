#include "data/images/generation_parameters.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"

namespace data {
namespace {

std::string quoted(const std::string& value) {
  if (value.find_first_of(",:\n") == std::string::npos) return value;
  return to_text(nlohmann::json(value));
}

}  // namespace

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
