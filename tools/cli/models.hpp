#pragma once

#include <filesystem>
#include <string>

#include "diffusion/pipeline/pipeline.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// The folder of the models that come with laurel (tiny-world/, rewards/, clip-tokenizer/):
// $LAUREL_MODELS, else share/laurel/models of an unpacked archive, else models/ of the source tree
// that the binary was built in. Empty when there is none.
std::filesystem::path embedded_models();

// The checkpoint to use: a path, a name in Hugging Face's cache ("org/name"), or the embedded
// world's when `named` is "". Throws BadInput when that is not found.
std::filesystem::path checkpoint_path(const std::string& named);

// How a checkpoint is called: "tiny-world" of models/tiny-world/, "v1-5" of v1-5.safetensors,
// "name" of a snapshot of org/name.
std::string model_name(const std::filesystem::path& path);

// What every command that takes a model is told about it.
struct ModelConfig {
  std::string model;            // "": the embedded one
  std::string vae;              // folder or file in place of the model's; "": the model's
  std::string tokenizer;        // folder in place of the model's
  std::string prediction_type;  // "": told from the model
};
// Declares --model, -m, --vae, --tokenizer and --prediction_type.
void declare_model(Options& options, ModelConfig& config);
// A folder or a single file; what the user should know of it goes to stderr.
diffusion::Pipeline open_model(const ModelConfig& config);
// UNet and VAE to the device; the text encoder stays on the CPU.
void move_to(diffusion::Pipeline& pipeline, at::Device device);

}  // namespace tools
