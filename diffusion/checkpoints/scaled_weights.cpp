#include "diffusion/checkpoints/scaled_weights.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/shape.hpp"

namespace diffusion {
namespace {

using data::BadInput;
using data::Weights;

const std::string kWeight = ".weight";
// Of "<layer>.weight": its scale, in old files and in new ones.
constexpr const char* kScales[] = {".scale_weight", ".weight_scale"};
// What stands beside a scaled weight for a calculation in fp8, which laurel does not do.
constexpr const char* kUnused[] = {".scale_input", ".input_scale"};
constexpr const char* kMark = "scaled_fp8";           // an empty tensor of the whole file
constexpr const char* kFormat = ".comfy_quant";       // JSON with the format of a layer
constexpr const char* kReadFormat = "float8_e4m3fn";  // of these, the one that is read

// How the names of tensors beside other quantised ones end.
struct QuantisedSign {
  const char* end;
  const char* kind;
};
constexpr QuantisedSign kQuantisedSigns[] = {
    {".weight_scale_2", "nvfp4"},
    {".quant_state.bitsandbytes__nf4", "bitsandbytes' NF4"},
    {".quant_state.bitsandbytes__fp4", "bitsandbytes' FP4"},
    {".qweight", "a quantised form"}};

[[noreturn]] void refuse_quantised(const Weights& file,
                                   const std::string& kind,
                                   const std::string& name) {
  throw BadInput(file.source + ": expected weights in fp32, fp16, bf16 or fp8, found " + kind +
                 " (tensor " + name + "); take the file in bf16, fp16 or fp8");
}

void check_format(const Weights& file, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.contiguous();
  const std::string text(static_cast<const char*>(bytes.data_ptr()), bytes.nbytes());
  const nlohmann::json object = data::parse_json_object(text, file.source + ": " + name);
  const std::string format = data::to_text(object.value("format", nlohmann::json()));
  if (format.find(kReadFormat) == std::string::npos)
    refuse_quantised(file, "ComfyUI's quantised form " + format, name);
}

bool is_fp8(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat8_e4m3fn || tensor.scalar_type() == at::kFloat8_e5m2;
}

template <size_t N>
bool ends_with_one(const std::string& name, const char* const (&ends)[N]) {
  return std::any_of(std::begin(ends), std::end(ends),
                     [&](const char* end) { return name.ends_with(end); });
}

// The weight seen as [out, blocks, in / blocks].
at::Tensor in_blocks(const at::Tensor& weight, const at::Tensor& scale) {
  return weight.reshape({scale.size(0) == 1 ? 1 : weight.size(0), scale.size(1), -1});
}

}  // namespace

at::Tensor scale_of(const Weights& file, const std::string& name) {
  if (!name.ends_with(kWeight)) return {};
  const std::string layer = name.substr(0, name.size() - kWeight.size());
  for (const char* end : kScales) {
    const auto found = file.tensors.find(layer + end);
    if (found == file.tensors.end()) continue;
    const at::Tensor &weight = file.tensors.at(name), &scale = found->second;
    if (!is_fp8(weight))
      refuse_quantised(file, "the scale of scaled fp8 beside a weight of another type",
                       found->first);
    const int64_t rows = weight.dim() == 0 ? 1 : std::max<int64_t>(1, weight.size(0));
    const bool one = scale.numel() == 1;
    const bool by_row = !one && scale.dim() > 0 && scale.numel() > 0 && scale.size(0) == rows;
    const int64_t blocks = by_row ? scale.numel() / rows : 1;
    if ((!one && !by_row) || (weight.numel() / rows) % blocks != 0)
      throw BadInput(file.source + ": tensor " + found->first +
                     ": expected a scale of the whole weight " + data::shape_text(weight.sizes()) +
                     ", of its rows or of their blocks, found " + data::shape_text(scale.sizes()));
    return scale.to(at::kFloat).reshape({one ? 1 : rows, blocks, 1});
  }
  return {};
}

bool stands_beside_weight(const std::string& name) {
  return name.ends_with(kMark) || name.ends_with(kFormat) || ends_with_one(name, kScales) ||
         ends_with_one(name, kUnused);
}

Weights dequantised(const Weights& file) {
  Weights plain;
  plain.metadata = file.metadata;
  plain.source = file.source;
  for (const auto& [name, tensor] : file.tensors) {
    for (const auto& sign : kQuantisedSigns) {
      if (name.ends_with(sign.end)) refuse_quantised(file, sign.kind, name);
    }
    if (name.ends_with(kFormat)) {
      check_format(file, name, tensor);
      continue;
    }
    if (stands_beside_weight(name)) continue;
    const at::Tensor scale = scale_of(file, name);
    plain.tensors[name] =
        scale.defined() ? (in_blocks(tensor.to(at::kFloat), scale) * scale).reshape(tensor.sizes())
                        : tensor;
  }
  return plain;
}

bool holds_scaled_weights(const Weights& file) {
  return std::any_of(file.tensors.begin(), file.tensors.end(),
                     [](const auto& entry) { return stands_beside_weight(entry.first); });
}

at::Tensor quantised(const at::Tensor& old, const at::Tensor& value, const at::Tensor& scale) {
  return (in_blocks(value.to(at::kFloat), scale) / scale)
      .reshape(old.sizes())
      .to(old.scalar_type());
}

}  // namespace diffusion
