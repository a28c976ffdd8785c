#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <initializer_list>
#include <map>
#include <string>

namespace data {

// The tensors of a checkpoint by their dotted names, and the file they came from (for messages).
struct Weights {
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__
  std::string source;
};

// The tensor `name`, checked against `shape` (-1: any) and cast to fp32. Throws BadInput, naming
// the file, the tensor and the nearest name that is there, when it is missing, of another shape,
// not floating point, or not finite.
at::Tensor take(const Weights& weights,
                const std::string& name,
                std::initializer_list<int64_t> shape);

// `take` of a shape that is no literal.
at::Tensor take_sized(const Weights& weights, const std::string& name, at::IntArrayRef shape);

// The tensor `name` as it is stored, checked as `take` does but for its values, which are not read.
const at::Tensor& stored(const Weights& weights, const std::string& name, at::IntArrayRef shape);

// No value is NaN or infinite. One pass, so that a mapped tensor costs no second copy.
bool all_finite(const at::Tensor& tensor);

bool has(const Weights& weights, const std::string& name);
bool has_prefix(const Weights& weights, const std::string& prefix);
// One more than the largest number that follows `prefix` in a name: "encoder.layers." -> how many
// layers. 0: none.
int64_t count_numbered(const Weights& weights, const std::string& prefix);

// Visits a weight struct's tensors by their checkpoint names: saving, moving, counting, optimiser
// lists. Every weight struct `S` defines: void for_each_tensor(S&, const std::string& prefix, const
// TensorVisitor&).
using TensorVisitor = std::function<void(const std::string& name, at::Tensor& tensor)>;

}  // namespace data
