#pragma once

#include <filesystem>
#include <string>

#include "diffusion/networks/network_files.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// The folder of the models that are distributed with laurel (tiny-world/, rewards/,
// clip-tokenizer/): $LAUREL_MODELS, else share/laurel/models of an unpacked archive, else models/
// of the source tree of the binary. Empty when none exists.
std::filesystem::path embedded_models();

// The path of a checkpoint: a path, the name of an embedded one ("tiny-world-flow"), a name in
// Hugging Face's cache ("org/name"), or "" for the embedded tiny-world. Throws BadInput when it
// does not exist.
std::filesystem::path checkpoint_path(const std::string& named);

// checkpoint_path(named) is one of the embedded models. Throws as it does.
bool is_embedded(const std::string& named);

// The name of a checkpoint: "tiny-world" for models/tiny-world/, "v1-5" for v1-5.safetensors,
// "name" for a snapshot of org/name.
std::string model_name(const std::filesystem::path& path);

// The options of every command that opens a model.
struct ModelConfig {
  std::string model;            // "": the embedded one
  std::string vae;              // folder or file that replaces the model's VAE; "": the model's
  std::string tokenizer;        // folder that replaces the model's tokenizer
  std::string prediction_type;  // "": derived from the model
  bool no_t5 = false;           // Stable Diffusion 3 without its third text encoder
  double distilled_cfg_scale = 3.5;     // that the network of FLUX.1 dev is told
  diffusion::NetworkHolding holding{};  // not an option, the command decides
};
// Declares --model, -m, --vae, --tokenizer, --prediction_type, --no_t5 and --distilled_cfg_scale.
void declare_model(Options& options, ModelConfig& config);
// Opens a folder or a single file. Prints notes about it on stderr. Throws BadInput for a
// distilled_cfg_scale of a network that is told none.
diffusion::Pipeline open_model(const ModelConfig& config);
// Warns of a scale above 1 on FLUX.1, which was distilled to do without classifier-free guidance.
// option: "--cfg_scale"
void warn_of_true_guidance(const diffusion::Pipeline& pipeline,
                           const std::string& option,
                           double scale);
// Sets the scale of a training command to the one that the model was trained for, unless its key
// was given; warns as warn_of_true_guidance. Leaves the scale of a command without the key alone.
void resolve_guidance(const diffusion::Pipeline& pipeline,
                      const Options& options,
                      double& sample_guidance_scale);
// Moves UNet and VAE to the device; the text encoder stays on the CPU.
void move_to(diffusion::Pipeline& pipeline, at::Device device);

}  // namespace tools
