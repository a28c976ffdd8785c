#pragma once

// Single-file checkpoints of Stable Diffusion 1 to 3 and FLUX.1: which of their tensors belong to
// which network, and under what name diffusers has them.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/naming/part_names.hpp"
#include "diffusion/naming/transformer_names.hpp"

namespace diffusion {

struct LdmLayout {
  const ModelFamily* family = nullptr;
  int64_t unet_layers = 2;  // residual blocks a level
  int64_t blocks = 0;       // family->blocks of a transformer; 0: a UNet
  int64_t vae_levels = 4;
  int64_t text_layers = 0;  // used ones of an encoder with drops_last_layer
  // What the part's names start with; "": not in the file, of the network that nothing does.
  std::string network = "model.diffusion_model.";
  std::string vae;
  std::vector<std::string> text{};  // of family->text_encoders
  std::string t5{};                 // of family->t5_encoder
};

// Throws BadInput, naming what the file is, when it is no checkpoint of a known family.
LdmLayout ldm_layout(const data::Weights& file);

// A tensor's place: the part, and its name there. The packed projection of OpenCLIP's attention has
// the place "...self_attn.in_proj_weight" and stands for three tensors, as the transformer's qkv
// does.
struct LdmPlace {
  std::string part;  // kUnetPart, ...
  std::string name;
  OriginalRows rows{};  // the tensors that its rows are, where they are several, and their order
  bool transposed = false;  // [in, out] in the file
};
// Nothing for what no part needs: averages, buffers, an optimiser's state.
std::optional<LdmPlace> place_of(const LdmLayout& layout, const std::string& original);

// The tensors of a part in diffusers' names and shapes, views of the file's. Throws BadInput when
// the network has tensors without a place.
data::Weights take_part(const data::Weights& file,
                        const LdmLayout& layout,
                        const std::string& part);

// Whether a part of the family is in the file.
bool holds_part(const LdmLayout& layout, const std::string& part);

// Width of the pooled text that the last text encoder projects to; 0 where the file has none.
int64_t pooled_width(const data::Weights& file, const LdmLayout& layout);

// `old`, a tensor of the file with the place `place`, with the values that `part` now has for it;
// undefined when `part` has none. Its shape is that of `old`.
at::Tensor put_back(const at::Tensor& old, const LdmPlace& place, const data::Weights& part);

}  // namespace diffusion
