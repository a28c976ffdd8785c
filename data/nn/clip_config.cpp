#include "data/nn/clip_config.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/config_numbers.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"

using nlohmann::json;

namespace nn {

void read_integer(
    const json& file, const char* key, int64_t& target, int64_t min, const std::string& where) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return;
  if (!found->is_number_integer() || found->get<int64_t>() < min) {
    throw data::BadInput(where + ": " + key + ": expected a whole number of at least " +
                         std::to_string(min) + ", found " + data::to_text(*found));
  }
  target = found->get<int64_t>();
}

EncoderConfig parse_encoder_config(const json& file,
                                   EncoderConfig config,
                                   const std::string& where) {
  data::check_config_numbers(file, where);
  read_integer(file, "hidden_size", config.hidden_size, 1, where);
  read_integer(file, "intermediate_size", config.intermediate_size, 1, where);
  read_integer(file, "num_hidden_layers", config.num_hidden_layers, 1, where);
  read_integer(file, "num_attention_heads", config.num_attention_heads, 1, where);
  if (config.hidden_size % config.num_attention_heads) {
    throw data::BadInput(where + ": num_attention_heads: expected a divisor of hidden_size " +
                         std::to_string(config.hidden_size) + ", found " +
                         std::to_string(config.num_attention_heads));
  }
  const json act = file.value("hidden_act", json(name_of(config.hidden_act)));
  config.hidden_act =
      activation_by_name(act.is_string() ? act.get<std::string>() : data::to_text(act), where);
  const json eps = file.value("layer_norm_eps", json(config.layer_norm_eps));
  if (!eps.is_number() || eps.get<double>() <= 0) {
    throw data::BadInput(where + ": layer_norm_eps: expected a number above 0, found " +
                         data::to_text(eps));
  }
  config.layer_norm_eps = eps.get<double>();
  return config;
}

void write_encoder_config(const EncoderConfig& config, nlohmann::ordered_json& file) {
  file["hidden_size"] = config.hidden_size;
  file["intermediate_size"] = config.intermediate_size;
  file["num_hidden_layers"] = config.num_hidden_layers;
  file["num_attention_heads"] = config.num_attention_heads;
  file["hidden_act"] = name_of(config.hidden_act);
  file["layer_norm_eps"] = config.layer_norm_eps;
  file["attention_dropout"] = 0.0;
}

std::string dtype_name(at::ScalarType dtype) {
  return dtype == at::kHalf ? "float16" : dtype == at::kBFloat16 ? "bfloat16" : "float32";
}

}  // namespace nn
