#include "diffusion/checkpoint_parts.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <set>

#include "data/error.hpp"
#include "data/safetensors.hpp"
#include "data/shape.hpp"
#include "data/weight_files.hpp"
#include "diffusion/unet_config.hpp"

namespace diffusion {
namespace {

namespace fs = std::filesystem;
using data::BadInput;

struct PartFolder {
  const char* name;
  const char* stem;  // of its weights' file
};
constexpr PartFolder kParts[] = {{kUnetPart, "diffusion_pytorch_model"},
                                 {"vae", "diffusion_pytorch_model"},
                                 {kTextPart, "model"},
                                 {kText2Part, "model"}};

// The tensor of the same name; BadInput when there is none of its shape.
const at::Tensor& same_tensor(const CheckpointParts& checkpoint,
                              const std::string& part,
                              const std::string& name,
                              const at::Tensor& like) {
  const auto found = checkpoint.parts.find(part);
  if (found == checkpoint.parts.end())
    throw BadInput(checkpoint.source.string() + ": has no " + part +
                   "; the checkpoints are of different kinds");
  const auto tensor = found->second.tensors.find(name);
  const bool known = tensor != found->second.tensors.end();
  if (!known || tensor->second.sizes() != like.sizes())
    throw BadInput(checkpoint.source.string() + ": " + part + ": tensor " + name + ": expected " +
                   data::shape_text(like.sizes()) + ", found " +
                   (known ? data::shape_text(tensor->second.sizes()) : "none") +
                   "; the checkpoints are of different models");
  return tensor->second;
}

bool is_weights_file(const fs::path& path) {
  static const std::set<std::string> endings{".safetensors", ".bin", ".ckpt", ".pt", ".pth"};
  return endings.contains(path.extension().string()) ||
         path.filename().string().find(".safetensors.index") != std::string::npos;
}

// Everything of a folder but the weights that are written anew.
void copy_rest(const fs::path& from, const fs::path& to, const CheckpointParts& checkpoint) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file()) {
      if (!is_weights_file(entry.path())) fs::copy_file(entry.path(), to / name);
      continue;
    }
    if (!entry.is_directory() || name.starts_with('.')) continue;
    if (checkpoint.parts.contains(name)) {
      copy_rest(entry.path(), to / name, {});
    } else {
      fs::copy(entry.path(), to / name, fs::copy_options::recursive);
    }
  }
}

}  // namespace

CheckpointParts read_checkpoint_parts(const fs::path& source) {
  CheckpointParts checkpoint;
  checkpoint.source = source;
  for (const auto& [name, stem] : kParts) {
    const bool needed = std::string(name) == kUnetPart;
    if (needed || fs::is_directory(source / name))
      checkpoint.parts[name] = data::read_weights(source / name, stem);
  }
  const UNetConfig config = read_unet_config(source / kUnetPart / "config.json");
  checkpoint.layers_per_block = config.layers_per_block.at(0);
  return checkpoint;
}

LoraTarget lora_target(CheckpointParts& checkpoint) {
  LoraTarget target;
  target.source = checkpoint.source.string();
  target.layers_per_block = checkpoint.layers_per_block;
  for (auto& [part, weights] : checkpoint.parts) {
    if (part == "vae") continue;
    for (auto& [name, tensor] : weights.tensors) {
      const bool layer = name.ends_with(".weight") && tensor.dim() >= 2 &&
                         tensor.is_floating_point() &&
                         name.find("embeddings.") == std::string::npos;
      if (!layer) continue;
      std::string module = name.substr(0, name.size() - 7);
      if (module.starts_with("text_model.")) module.erase(0, 11);
      target.parts[part][module] = &tensor;
      if (part == kUnetPart && module.ends_with("attn2.to_k") && target.family.empty())
        target.family = family_of_width(tensor.size(1));
    }
  }
  return target;
}

void merge_checkpoints(CheckpointParts& a,
                       const CheckpointParts& b,
                       const CheckpointParts* minus,
                       double weight) {
  const at::NoGradGuard no_grad;
  for (auto& [part, weights] : a.parts) {
    for (auto& [name, tensor] : weights.tensors) {
      if (!tensor.is_floating_point()) continue;
      const at::Tensor from = minus ? same_tensor(*minus, part, name, tensor) : tensor;
      const at::Tensor to = same_tensor(b, part, name, tensor);
      const at::Tensor change = to.to(at::kFloat) - from.to(at::kFloat);
      const at::Tensor merged = at::add(tensor.to(at::kFloat), change, weight);
      if (!data::all_finite(merged))
        throw BadInput(b.source.string() + ": " + part + ": tensor " + name +
                       ": the sum holds NaN or infinite values; a checkpoint is damaged");
      tensor = merged.to(tensor.scalar_type());
    }
  }
}

void write_checkpoint_parts(const fs::path& target,
                            const CheckpointParts& checkpoint,
                            std::optional<at::ScalarType> dtype) {
  const fs::path plain = fs::absolute(target / "").parent_path();
  if (fs::exists(plain))
    throw BadInput(plain.string() + ": is there already; name another or remove it");
  const fs::path temporary = plain.string() + ".tmp";
  fs::remove_all(temporary);
  copy_rest(checkpoint.source, temporary, checkpoint);
  for (const auto& [name, stem] : kParts) {
    const auto found = checkpoint.parts.find(name);
    if (found == checkpoint.parts.end()) continue;
    data::Weights file = found->second;
    file.metadata["format"] = "pt";
    for (auto& [tensor_name, tensor] : file.tensors)
      if (dtype && tensor.is_floating_point()) tensor = tensor.to(*dtype);
    data::write_safetensors(temporary / name / (std::string(stem) + ".safetensors"), file);
  }
  fs::rename(temporary, plain);
}

}  // namespace diffusion
