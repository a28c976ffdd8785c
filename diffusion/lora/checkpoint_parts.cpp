#include "diffusion/lora/checkpoint_parts.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/ldm_layout.hpp"
#include "diffusion/checkpoints/scaled_weights.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/naming/ldm_names.hpp"
#include "diffusion/networks/unet/config.hpp"

namespace diffusion {
namespace {

namespace fs = std::filesystem;
using data::BadInput;
using data::Weights;

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

// Older files have other names for the VAE's attention; transformers 5 leaves out the head of the
// text encoders' names.
Weights todays_names(const std::string& part, const Weights& file) {
  Weights named;
  named.source = file.source;
  for (const auto& [name, tensor] : file.tensors) {
    const bool text = part == kTextPart || part == kText2Part;
    const bool whole = name.starts_with("text_model.") || name.starts_with("text_projection.");
    named.tensors[text && !whole     ? "text_model." + name
                  : part == kVaePart ? current_vae_name(name)
                                     : name] = tensor;
  }
  return named;
}

CheckpointParts parts_of_folder(const fs::path& source) {
  CheckpointParts checkpoint{source, {}};
  const bool has_unet = !fs::is_directory(source / kTransformerPart);
  for (const char* part : kParts) {
    const bool needed = has_unet && part == std::string(kUnetPart);
    if (needed || fs::is_directory(source / part))
      checkpoint.parts[part] =
          todays_names(part, data::read_weights(source / part, weights_stem(part)));
  }
  if (!has_unet) return checkpoint;
  const UNetConfig config = read_unet_config(source / kUnetPart / "config.json");
  checkpoint.layers_per_block = config.layers_per_block.at(0);
  return checkpoint;
}

CheckpointParts parts_of_file(const fs::path& source) {
  const Weights file = dequantised(data::read_weights_file(source));
  const LdmLayout layout = ldm_layout(file);
  CheckpointParts checkpoint{source, {}, layout.unet_layers};
  for (const char* part : kParts) {
    const Weights weights = take_part(file, layout, part);
    if (!weights.tensors.empty()) checkpoint.parts[part] = weights;
  }
  return checkpoint;
}

}  // namespace

CheckpointParts read_checkpoint_parts(const fs::path& source) {
  return fs::is_directory(source) ? parts_of_folder(source) : parts_of_file(source);
}

LoraTarget lora_target(CheckpointParts& checkpoint) {
  LoraTarget target;
  target.source = checkpoint.source.string();
  target.layers_per_block = checkpoint.layers_per_block;
  for (auto& [part, weights] : checkpoint.parts) {
    const bool t5 = data::has_prefix(weights, "encoder.block.");
    if (part == kVaePart || t5) continue;
    if (part == kTransformerPart)
      target.family = family_of_transformer(
                          [&weights = weights](const std::string& start) {
                            return data::has_prefix(weights, start);
                          },
                          /*width=*/0)
                          .name;
    for (auto& [name, tensor] : weights.tensors) {
      const bool layer = name.ends_with(".weight") && tensor.dim() >= 2 &&
                         tensor.is_floating_point() &&
                         name.find("embeddings.") == std::string::npos;
      if (!layer) continue;
      std::string module = name.substr(0, name.size() - 7);
      if (module.starts_with("text_model.")) module.erase(0, 11);
      target.parts[part][module] = &tensor;
      if (part == kUnetPart && module.ends_with("attn2.to_k") && target.family.empty())
        target.family = family_text(tensor.size(1));
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

}  // namespace diffusion
