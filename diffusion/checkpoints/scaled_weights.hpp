#pragma once

// Weights that a file holds in fp8 with a scale beside each: ComfyUI's "scaled fp8", and
// sd-scripts'.

#include <string>

#include "data/weights/tensor_map.hpp"

namespace diffusion {

// `file` with every such weight as fp32, multiplied by its scale, and without the scales. One that
// holds none is as it is. Throws BadInput for other quantised forms (NF4, ...), saying which and
// what to take instead, and for scales that do not fit their weights.
data::Weights dequantised(const data::Weights& file);

// Whether the file has such weights.
bool holds_scaled_weights(const data::Weights& file);

// Whether the tensor belongs to such a weight: its scale, or what a calculation in fp8 needs.
bool stands_beside_weight(const std::string& name);

// The scale of the fp8 weight `name`, which broadcasts against the weight seen as [out, blocks, in
// / blocks]: [1, 1, 1], [out, 1, 1] or [out, blocks, 1]; undefined: it has none. Throws BadInput as
// above.
at::Tensor scale_of(const data::Weights& file, const std::string& name);

// The fp8 weight `old` with another value. value: of the same shape
at::Tensor quantised(const at::Tensor& old, const at::Tensor& value, const at::Tensor& scale);

}  // namespace diffusion
