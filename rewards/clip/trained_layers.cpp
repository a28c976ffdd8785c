#include "rewards/clip/trained_layers.hpp"

#include <ATen/ATen.h>

#include "data/base/numbers.hpp"

namespace rewards {
namespace {

// Does the tensor `name` belong to the last `trained` of `layers` layers?
bool in_last_layers(const std::string& name,
                    const std::string& tower,
                    int64_t layers,
                    int64_t trained) {
  const std::string prefix = tower + ".encoder.layers.";
  if (!name.starts_with(prefix)) return false;
  const auto layer = data::leading_number<int64_t>(std::string_view(name).substr(prefix.size()));
  return layer && *layer >= layers - trained;
}

bool is_trained(const std::string& name, const Clip& clip, const ClipLayers& layers) {
  const bool vision = name.starts_with("vision_model.") || name.starts_with("visual_projection");
  const bool text = name.starts_with("text_model.") || name.starts_with("text_projection");
  if (vision && layers.vision < 0) return true;
  if (text && layers.text < 0) return true;
  if (vision)
    return layers.vision > 0 &&
           (name.starts_with("vision_model.post_layernorm") ||
            in_last_layers(name, "vision_model", clip.vision.config.encoder.num_hidden_layers,
                           layers.vision));
  return text && layers.text > 0 &&
         (name.starts_with("text_model.final_layer_norm") || name.starts_with("text_projection") ||
          in_last_layers(name, "text_model", clip.text.config.encoder.num_hidden_layers,
                         layers.text));
}

}  // namespace

train::Params trained_layers(Clip& clip, const ClipLayers& layers) {
  train::Params params;
  for_each_tensor(clip, "", [&](const std::string& name, at::Tensor& tensor) {
    tensor = tensor.detach().clone();
    if (!is_trained(name, clip, layers)) return;
    tensor.requires_grad_(true);
    params.push_back({name, tensor});
  });
  return params;
}

}  // namespace rewards
