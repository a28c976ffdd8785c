#include "diffusion/checkpoints/text_beside.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace diffusion {
namespace {

// How the names of tensors beside quantised ones end.
struct QuantisedSign {
  const char* end;
  const char* kind;
};
constexpr QuantisedSign kQuantisedSigns[] = {
    {"scaled_fp8", "scaled fp8"},
    {".scale_weight", "scaled fp8"},
    {".weight_scale", "scaled fp8"},
    {".comfy_quant", "ComfyUI's quantised form"},
    {".quant_state.bitsandbytes__nf4", "bitsandbytes' NF4"},
    {".quant_state.bitsandbytes__fp4", "bitsandbytes' FP4"},
    {".qweight", "a quantised form"}};

}  // namespace

fs::path text_beside(const fs::path& file, const FamilyEncoder& encoder) {
  const std::string stem = encoder.stem;
  if (stem.empty()) return {};
  const fs::path place = fs::absolute(file).parent_path();
  if (fs::exists(place / encoder.part / "config.json")) return place / encoder.part;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(place)) {
    const fs::path& path = entry.path();
    if (path.extension() == ".safetensors" && path.filename().string().starts_with(stem))
      files.push_back(path);
  }
  return files.empty() ? fs::path() : *std::min_element(files.begin(), files.end());
}

void check_not_quantised(const data::Weights& weights) {
  for (const auto& [name, tensor] : weights.tensors) {
    for (const auto& sign : kQuantisedSigns) {
      if (!name.ends_with(sign.end)) continue;
      throw data::BadInput(weights.source +
                           ": expected weights in fp32, fp16, bf16 or fp8, found " + sign.kind +
                           " (tensor " + name + "); take the fp16 or bf16 file");
    }
  }
}

}  // namespace diffusion
