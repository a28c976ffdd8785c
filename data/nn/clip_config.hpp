#pragma once

// Reads and writes the numbers of a Hugging Face config.json; shared by CLIP's towers.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/nn/clip_encoder.hpp"

namespace nn {

// Sets `target` when the file has the key. Throws BadInput with `where` unless the value is a whole
// number of at least `min`.
void read_integer(const nlohmann::json& file,
                  const char* key,
                  int64_t& target,
                  int64_t min,
                  const std::string& where);

EncoderConfig parse_encoder_config(const nlohmann::json& file,
                                   EncoderConfig defaults,
                                   const std::string& where);
void write_encoder_config(const EncoderConfig& config, nlohmann::ordered_json& file);

// "float16", "float32": the dtype's name in a config.json.
std::string dtype_name(at::ScalarType dtype);

}  // namespace nn
