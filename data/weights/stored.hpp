#pragma once

// Tensors of a checkpoint whose values are read later than they are found.

#include <string>

#include "data/weights/tensor_map.hpp"

namespace data {

// The tensor `name` as it is stored, checked as `take` does but for its values, which are not read.
const at::Tensor& stored(const Weights& weights, const std::string& name, at::IntArrayRef shape);

// `take` of a shape that is no literal.
at::Tensor take_sized(const Weights& weights, const std::string& name, at::IntArrayRef shape);

}  // namespace data
