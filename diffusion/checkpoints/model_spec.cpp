#include "diffusion/checkpoints/model_spec.hpp"

#include <ATen/core/Tensor.h>

#include <ctime>

#include "data/storage/sha256.hpp"
#include "data/weights/safetensors.hpp"

namespace diffusion {
namespace {

std::string date_text(double seconds) {
  if (seconds <= 0) return "";
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string resolution_text(int64_t side) {
  return side > 0 ? std::to_string(side) + "x" + std::to_string(side) : "";
}

}  // namespace

std::map<std::string, std::string> model_spec_metadata(const ModelSpec& spec) {
  std::map<std::string, std::string> metadata{{"modelspec.sai_model_spec", "1.0.0"}};
  const bool velocity = spec.prediction_type == "v_prediction";  // the specification's "v"
  const std::pair<const char*, std::string> keys[] = {
      {"architecture", spec.architecture},
      {"implementation", spec.implementation},
      {"title", spec.title},
      {"description", spec.description},
      {"author", spec.author},
      {"license", spec.license},
      {"usage_hint", spec.usage_hint},
      {"trigger_phrase", spec.trigger_phrase},
      {"tags", spec.tags},
      {"thumbnail", spec.thumbnail},
      {"date", date_text(spec.finished)},
      {"resolution", resolution_text(spec.resolution)},
      {"prediction_type", velocity ? "v" : spec.prediction_type},
  };
  for (const auto& [key, value] : keys) {
    if (!value.empty()) metadata[std::string("modelspec.") + key] = value;
  }
  return metadata;
}

std::string tensors_sha256(const data::Weights& file) {
  return data::sha256_of_pieces([&](const auto& take) {
    for (const auto& [name, tensor] : file.tensors) {
      const at::Tensor bytes = tensor.detach().cpu().contiguous();
      take({static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()});
    }
  });
}

void add_tensors_hash(data::Weights& file) {
  if (file.metadata.contains("modelspec.sai_model_spec"))
    file.metadata["modelspec.hash_sha256"] = "0x" + tensors_sha256(file);
}

void describe_file(const std::filesystem::path& path,
                   const std::map<std::string, std::string>& metadata) {
  data::Weights file = data::read_safetensors(path);
  for (const auto& [key, value] : metadata) file.metadata[key] = value;
  add_tensors_hash(file);
  data::write_safetensors(path, file);
}

}  // namespace diffusion
