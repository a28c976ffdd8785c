#include "diffusion/families/transformer_kinds.hpp"

#include <ATen/core/Tensor.h>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "diffusion/families/flux_shapes.hpp"
#include "diffusion/families/mmdit_shapes.hpp"

namespace diffusion {

const TransformerKind& transformer_kind(const ModelFamily& family) {
  for (const TransformerKind* kind : {&kMMDiTKind, &kFluxKind}) {
    if (family.network_class == std::string(kind->class_name)) return *kind;
  }
  TORCH_CHECK(false, "transformer_kind: ", family.name, " has no transformer");
}

int64_t axis_of(const data::Weights& part, const std::string& name, int64_t axis) {
  const auto found = part.tensors.find(name);
  if (found == part.tensors.end())
    throw data::BadInput(part.source + ": tensor " + name + " (diffusers' name) is missing; " +
                         "the file is not whole");
  if (found->second.dim() <= axis || found->second.size(axis) == 0)
    throw data::BadInput(part.source + ": tensor " + name +
                         ": expected more axes or values, found " +
                         data::shape_text(found->second.sizes()));
  return found->second.size(axis);
}

}  // namespace diffusion
