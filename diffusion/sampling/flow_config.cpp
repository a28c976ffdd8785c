#include "diffusion/sampling/flow_config.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "diffusion/sampling/config_json.hpp"
#include "diffusion/sampling/sampler.hpp"

using nlohmann::json;

namespace diffusion {
namespace {

using FlowKey = OptionalKey<FlowConfig>;

constexpr FlowKey kKeys[] = {
    optional_key<FlowConfig, &FlowConfig::shift>("shift"),
    optional_key<FlowConfig, &FlowConfig::shift>("flow_shift"),
    optional_key<FlowConfig, &FlowConfig::use_dynamic_shifting>("use_dynamic_shifting"),
    optional_key<FlowConfig, &FlowConfig::base_shift>("base_shift"),
    optional_key<FlowConfig, &FlowConfig::max_shift>("max_shift"),
    optional_key<FlowConfig, &FlowConfig::base_image_seq_len>("base_image_seq_len"),
    optional_key<FlowConfig, &FlowConfig::max_image_seq_len>("max_image_seq_len"),
    optional_key<FlowConfig, &FlowConfig::shift_terminal>("shift_terminal"),
    optional_key<FlowConfig, &FlowConfig::time_shift_type>("time_shift_type")};

bool has_key(const FlowForm& form, const FlowKey& key) {
  return std::any_of(form.config_keys.begin(), form.config_keys.end(),
                     [&](const char* name) { return std::strcmp(name, key.name) == 0; });
}

// A number of JSON's form: "1.5".
std::string text_of(double value) { return data::to_text(json(value)); }

void check_ranges(const FlowConfig& config, const std::string& source) {
  check_key(config.shift > 0, source + ": shift", "a value above 0", text_of(config.shift));
  check_key(config.shift_terminal >= 0 && config.shift_terminal < 1, source + ": shift_terminal",
            "a value in [0, 1)", text_of(config.shift_terminal));
  check_key(config.time_shift_type == "exponential" || config.time_shift_type == "linear",
            source + ": time_shift_type", "exponential or linear", config.time_shift_type);
  check_key(config.base_image_seq_len > 0 && config.max_image_seq_len > config.base_image_seq_len,
            source + ": max_image_seq_len",
            "a value above base_image_seq_len, which is above 0: " +
                std::to_string(config.base_image_seq_len),
            std::to_string(config.max_image_seq_len));
}

}  // namespace

FlowConfig flow_config_from_json(const json& object,
                                 const FlowForm& form,
                                 const std::string& source) {
  FlowConfig config;
  for (const FlowKey& key : kKeys) {
    if (has_key(form, key)) key.read(object, key.name, config, source);
  }
  check_ranges(config, source);
  const auto refuse = [&](const char* key, const std::string& why) {
    bool value = false;
    read_key(object, key, value, source);
    check_key(!value, source + ": " + key, "false" + why, "true");
  };
  refuse("invert_sigmas", " (laurel lacks models whose time runs backwards)");
  refuse("stochastic_sampling", " (laurel lacks it)");
  return config;
}

void add_flow_config(json& object, const FlowConfig& config, const FlowForm& form) {
  for (const FlowKey& key : kKeys) {
    if (has_key(form, key)) key.write(object, key.name, config);
  }
  if (object.contains("shift_terminal") && config.shift_terminal == 0)
    object["shift_terminal"] = nullptr;
}

double shift_of(const FlowConfig& config, int64_t image_tokens) {
  if (!config.use_dynamic_shifting) return config.shift;
  if (image_tokens <= 0) {
    throw data::BadInput(
        "scheduler: use_dynamic_shifting: expected false where the image's size is not told, found "
        "true; give a shift instead");
  }
  const auto base = static_cast<double>(config.base_image_seq_len),
             most = static_cast<double>(config.max_image_seq_len);
  const double slope = (config.max_shift - config.base_shift) / (most - base);
  const double mu = static_cast<double>(image_tokens) * slope + (config.base_shift - slope * base);
  return config.time_shift_type == "linear" ? mu : std::exp(mu);
}

}  // namespace diffusion
