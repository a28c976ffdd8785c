#include "rewards/value/files.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"

namespace fs = std::filesystem;
using nlohmann::json;

namespace rewards {
namespace {

constexpr const char* kValueKind = "value";
constexpr int64_t kMostChannels = 1024, kMostTextWidth = 65536;
constexpr size_t kMostNumbers = 4096;  // of a list

// The entries of reward.json, each checked.
struct ConfigReader {
  const json& file;
  std::string where;

  [[noreturn]] void refuse(const char* key, const char* expected) const {
    throw data::BadInput(where + ": " + key + ": expected " + expected + ", found " +
                         data::to_text(file.value(key, json())) +
                         "; name a folder of `laurel train-reward value`");
  }
  double number(const char* key) const {
    const json value = file.value(key, json());
    if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(key, "a number");
    return value.get<double>();
  }
  int64_t whole(const char* key, int64_t most) const {
    const json value = file.value(key, json());
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > most)
      refuse(key, "a whole number from 1");
    return value.get<int64_t>();
  }
  std::string text(const char* key) const {
    const json value = file.value(key, json());
    if (!value.is_string()) refuse(key, "a text");
    return value.get<std::string>();
  }
  std::vector<double> numbers(const char* key) const {
    const json value = file.value(key, json());
    if (!value.is_array() || value.empty() || value.size() > kMostNumbers)
      refuse(key, "a list of numbers");
    for (const json& one : value)
      if (!one.is_number()) refuse(key, "a list of numbers");
    return value.get<std::vector<double>>();
  }
};

}  // namespace

ValueConfig read_value_config(const fs::path& path) {
  const json file = data::read_json_object(path);
  const ConfigReader reader{file, path.string()};
  if (reader.text("kind") != kValueKind) reader.refuse("kind", "\"value\"");
  if (!file.value("reads_expected", json()).is_boolean())
    reader.refuse("reads_expected", "true or false");
  ValueConfig config{.space = {.channels = reader.whole("channels", kMostChannels),
                               .scaling_factor = reader.number("scaling_factor"),
                               .shift_factor = reader.number("shift_factor"),
                               .fingerprint = reader.numbers("fingerprint"),
                               .prediction = reader.text("prediction_type"),
                               .signals = reader.numbers("signals")},
                     .text_width = reader.whole("text_width", kMostTextWidth),
                     .reads_expected = file["reads_expected"].get<bool>(),
                     .reward = reader.text("reward"),
                     .unit = reader.text("unit"),
                     .mean = reader.number("mean"),
                     .spread = reader.number("spread")};
  if (!(config.spread > 0)) reader.refuse("spread", "a number above 0");
  return config;
}

void write_value_config(const fs::path& path, const ValueConfig& config) {
  const LatentSpace& space = config.space;
  const nlohmann::ordered_json entries{{"kind", kValueKind},
                                       {"reward", config.reward},
                                       {"unit", config.unit},
                                       {"mean", config.mean},
                                       {"spread", config.spread},
                                       {"reads_expected", config.reads_expected},
                                       {"text_width", config.text_width},
                                       {"channels", space.channels},
                                       {"scaling_factor", space.scaling_factor},
                                       {"shift_factor", space.shift_factor},
                                       {"fingerprint", space.fingerprint},
                                       {"prediction_type", space.prediction},
                                       {"signals", space.signals}};
  data::write_file(path, data::to_text(entries, 2) + "\n");
}

ValueNetwork load_value_network(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error))
    throw data::BadInput(path.string() +
                         ": expected a folder of `laurel train-reward value`, found none");
  const fs::path folder = fs::is_directory(path, error) ? path : path.parent_path();
  const ValueConfig config = read_value_config(folder / "reward.json");
  const data::Weights weights = data::read_weights(folder, "model");
  auto generator = at::detail::createCPUGenerator(0);
  ValueNetwork w = make_value_network(config, generator);  // for the sizes of its layers
  w.tower = nn::take_latent_tower(weights, "tower.",
                                  (config.reads_expected ? 2 : 1) * config.space.channels);
  for (const auto& [name, layer] : linear_layers(w))
    *layer = nn::take_linear(weights, name, layer->weight.size(0), layer->weight.size(1));
  return w;
}

void save_value_network(const fs::path& folder, const ValueNetwork& w) {
  data::Weights file = data::collect(w, "", at::kFloat);
  file.metadata["laurel.kind"] = kValueKind;
  data::write_safetensors(folder / "model.safetensors", file);
  write_value_config(folder / "reward.json", w.config);
}

}  // namespace rewards
