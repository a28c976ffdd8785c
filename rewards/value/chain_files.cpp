#include "rewards/value/chain_files.hpp"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/safetensors.hpp"

namespace rewards {
namespace {

constexpr const char* kPromptNote = "prompt";

struct NamedTensor {
  const char* name;  // in the file
  at::Tensor ChainFile::*tensor;
};
const std::vector<NamedTensor>& named_tensors() {
  static const std::vector<NamedTensor> all{
      {"latents", &ChainFile::latents},    {"clean", &ChainFile::clean},
      {"expected", &ChainFile::expected},  {"rewards", &ChainFile::rewards},
      {"combined", &ChainFile::combined},  {"text", &ChainFile::text},
      {"timesteps", &ChainFile::timesteps}};
  return all;
}

// Throws BadInput unless `name`, where the file has it, has this shape; -1 matches any size.
void check_part(const std::string& where,
                const char* name,
                const at::Tensor& tensor,
                const std::vector<int64_t>& shape) {
  if (!tensor.defined()) return;
  bool fits = tensor.is_floating_point() && tensor.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; fits && i < shape.size(); ++i)
    fits = shape[i] < 0 || shape[i] == tensor.size(static_cast<int64_t>(i));
  if (fits) return;
  throw data::BadInput(where + ": " + name + ": expected numbers of shape " +
                       data::shape_text(shape) + " (-1: any), found " +
                       data::shape_text(tensor.sizes()) +
                       "; the file is damaged: delete it, and run again");
}

void check_chains(const std::string& where, const ChainFile& chains) {
  if (!chains.latents.defined() || !chains.clean.defined())
    throw data::BadInput(where + ": expected the latents of chains and their ends, found none; " +
                         "the file is damaged: delete it, and run again");
  check_part(where, "latents", chains.latents, {-1, -1, -1, -1, -1});
  const at::IntArrayRef sizes = chains.latents.sizes();
  const int64_t count = sizes[0], steps = sizes[1];
  check_part(where, "expected", chains.expected, sizes.vec());
  check_part(where, "clean", chains.clean, {count, sizes[2], sizes[3], sizes[4]});
  check_part(where, "rewards", chains.rewards, {count, -1});
  check_part(where, "combined", chains.combined, {count});
  check_part(where, "text", chains.text, {-1});
  check_part(where, "timesteps", chains.timesteps, {steps});
}

}  // namespace

void write_chain_file(const std::filesystem::path& path, const ChainFile& chains) {
  data::Weights file;
  for (const auto& [name, tensor] : named_tensors())
    if ((chains.*tensor).defined()) file.tensors[name] = chains.*tensor;
  file.metadata[kPromptNote] = chains.prompt;
  data::write_safetensors(path, file);
}

ChainFile read_chain_file(const std::filesystem::path& path) {
  const data::Weights file = data::read_safetensors(path);
  ChainFile chains;
  for (const auto& [name, tensor] : named_tensors()) {
    const auto found = file.tensors.find(name);
    if (found != file.tensors.end()) chains.*tensor = found->second;
  }
  const auto prompt = file.metadata.find(kPromptNote);
  if (prompt != file.metadata.end()) chains.prompt = prompt->second;
  check_chains(path.string(), chains);
  return chains;
}

}  // namespace rewards
