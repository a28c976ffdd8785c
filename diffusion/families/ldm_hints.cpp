#include "diffusion/families/ldm_hints.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/naming/part_names.hpp"

using data::BadInput;
using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

constexpr double kLargest = 1 << 24;  // of a number; sizes computed from it would overflow

// Marker tensors and metadata.

void read_markers(const data::Weights& file, LdmHints& hints) {
  const auto says = [&](const char* key, const std::string& value) {
    const auto found = file.metadata.find(key);
    return found != file.metadata.end() && found->second == value;
  };
  const auto set = [&](Prediction prediction, const std::string& from) {
    if (!hints.prediction) {
      hints.prediction = prediction;
      hints.prediction_from = from;
    }
  };
  hints.zero_terminal_snr |= data::has(file, "ztsnr") || says("ss_zero_terminal_snr", "True");
  if (data::has(file, "v_pred")) set(Prediction::kV, "the tensor v_pred");
  if (says("modelspec.prediction_type", "v")) set(Prediction::kV, "modelspec.prediction_type");
  if (says("modelspec.prediction_type", "epsilon"))
    set(Prediction::kEpsilon, "modelspec.prediction_type");
  if (says("ss_v_parameterization", "True")) set(Prediction::kV, "ss_v_parameterization");
}

// <stem>.json.

template <class T>
void read(const json& object,
          const char* section,
          const char* key,
          T& target,
          const std::string& source) {
  if (!object.contains(section) || !object[section].is_object()) return;
  const auto found = object[section].find(key);
  if (found == object[section].end() || found->is_null()) return;
  const bool fits = std::is_same_v<T, bool>
                        ? found->is_boolean()
                        : found->is_number() && found->get<double>() > 0 &&
                              found->get<double>() <= kLargest &&
                              (found->is_number_integer() || !std::is_same_v<T, int64_t>);
  if (!fits)
    throw BadInput(
        source + ": " + section + ": " + key + ": expected " +
        (std::is_same_v<T, bool> ? "true or false" : "a number above 0, at most 16777216") +
        ", found " + data::to_text(*found));
  target = found->get<T>();
}

void read_sidecar_json(const fs::path& path, LdmHints& hints) {
  if (!fs::exists(path)) return;
  const std::string source = path.string();
  const json object = data::read_json_object(path);
  read(object, "unet", "attention_head_dim", hints.unet_heads, source);
  read(object, "unet", "norm_num_groups", hints.unet_groups, source);
  read(object, "unet", "sample_size", hints.sample_size, source);
  read(object, "transformer", "attention_head_dim", hints.unet_head_channels, source);
  read(object, "transformer", "sample_size", hints.sample_size, source);
  read(object, "vae", "norm_num_groups", hints.vae_groups, source);
  read(object, "vae", "scaling_factor", hints.scaling_factor, source);
  for (const char* part : {kTextPart, kText2Part})
    read(object, part, "num_attention_heads", hints.text_heads[part], source);
  read(object, "scheduler", "rescale_betas_zero_snr", hints.zero_terminal_snr, source);
  const json scheduler = object.value("scheduler", json());
  const json prediction =
      scheduler.is_object() ? scheduler.value("prediction_type", json()) : json();
  if (!prediction.is_string()) return;
  hints.prediction =
      prediction_from_name(prediction.get<std::string>(), source + ": scheduler: prediction_type");
  hints.prediction_from = path.filename().string();
}

// <stem>.yaml: a few keys of it, each on a line of its own ("parameterization: \"v\"").

std::string yaml_value(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t start = line.find_first_not_of(" \t");
    if (start == std::string::npos || line.compare(start, key.size() + 1, key + ":") != 0) continue;
    std::string value = line.substr(start + key.size() + 1);
    value = value.substr(0, value.find('#'));
    std::erase_if(value, [](char c) {
      return std::string_view(" \t\r\"'").find(c) != std::string_view::npos;
    });
    return value;
  }
  return "";
}

template <class T>
void read_yaml_number(const std::string& text,
                      const char* key,
                      T& target,
                      const std::string& source) {
  const std::string value = yaml_value(text, key);
  if (value.empty() || target != 0) return;
  std::istringstream stream(value);
  if (!(stream >> target) || target == 0 || target > static_cast<T>(kLargest))
    throw BadInput(source + ": " + key + ": expected a number, found '" + value + "'");
  if (target < 0) target = 0;  // the original code writes -1 for "by the other key"
}

void read_sidecar_yaml(const fs::path& path, LdmHints& hints) {
  if (!fs::exists(path)) return;
  const std::string text = data::read_file(path), source = path.string();
  const std::string parameterization = yaml_value(text, "parameterization");
  if (!parameterization.empty() && parameterization != "v" && parameterization != "eps")
    throw BadInput(source + ": parameterization: expected v or eps, found '" + parameterization +
                   "'");
  if (!parameterization.empty() && !hints.prediction) {
    hints.prediction = parameterization == "v" ? Prediction::kV : Prediction::kEpsilon;
    hints.prediction_from = path.filename().string();
  }
  read_yaml_number(text, "scale_factor", hints.scaling_factor, source);
  read_yaml_number(text, "num_heads", hints.unet_heads, source);
  read_yaml_number(text, "num_head_channels", hints.unet_head_channels, source);
}

}  // namespace

LdmHints read_hints(const data::Weights& file) {
  LdmHints hints;
  const fs::path path = file.source;
  read_sidecar_json(fs::path(path).replace_extension(".json"), hints);
  read_sidecar_yaml(fs::path(path).replace_extension(".yaml"), hints);
  read_markers(file, hints);
  return hints;
}

}  // namespace diffusion
