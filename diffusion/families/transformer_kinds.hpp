#pragma once

// How the transformers of checkpoints are read and described: a row for each of diffusers' classes.

#include <filesystem>
#include <string>

#include "data/weights/tensor_map.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/families/ldm_hints.hpp"
#include "diffusion/networks/network.hpp"

namespace diffusion {

struct TransformerKind {
  const char* class_name;  // ModelFamily::network_class
  // From a single file's tensors in diffusers' names (take_part), whose shapes show the settings.
  // Both throw BadInput, naming the tensor, when one is missing or the sizes do not fit together.
  // streamed: the blocks stay in the file.
  Network (*read)(const data::Weights& part,
                  const ModelFamily& family,
                  const LdmHints& hints,
                  bool streamed);
  std::string (*text_of_part)(const data::Weights& part,
                              const ModelFamily& family,
                              const LdmHints& hints);
  // What config.json says, in the same words.
  std::string (*text_of_config)(const std::filesystem::path& config);
};
const TransformerKind& transformer_kind(const ModelFamily& family);

// The size of an axis. Throws BadInput naming the tensor when it is missing or has no such axis.
int64_t axis_of(const data::Weights& part, const std::string& name, int64_t axis);

}  // namespace diffusion
