#pragma once

// ModelSpec 1.0.0 of Stability AI (github.com/Stability-AI/ModelSpec): what the header of a
// safetensors file says of its model to those who look at it in a list.

#include <filesystem>
#include <map>
#include <string>

#include "data/weights/tensor_map.hpp"

namespace diffusion {

// Empty values and zeros leave their key out.
struct ModelSpec {
  std::string architecture = {}, implementation = "diffusers", title = {}, description = {},
              author = {}, license = {}, usage_hint = {}, trigger_phrase = {}, tags = {},
              thumbnail = {};
  std::string prediction_type = {};  // diffusers': "epsilon", "v_prediction"
  int64_t resolution = 0;            // pixels of a side
  double finished = 0;               // seconds since 1970
};

// modelspec.title and the others.
std::map<std::string, std::string> model_spec_metadata(const ModelSpec& spec);

// SHA-256 of the tensors' bytes as a safetensors file has them, which is all that follows its
// header; 64 hexadecimal digits.
std::string tensors_sha256(const data::Weights& file);

// Sets modelspec.hash_sha256, "0x" and those digits, where the file says that it follows ModelSpec.
void add_tensors_hash(data::Weights& file);

// Writes the file again with these keys of metadata, in place of those of the same names, and the
// hash. The tensors keep their bytes. Throws BadInput as read_safetensors.
void describe_file(const std::filesystem::path& path,
                   const std::map<std::string, std::string>& metadata);

}  // namespace diffusion
