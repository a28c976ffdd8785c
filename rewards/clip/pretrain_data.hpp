#pragma once

// Images with captions for a CLIP: training batches and evaluation groups.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "data/world/scene.hpp"

namespace rewards {

struct ContrastiveBatch {
  at::Tensor images;                  // [B, 3, H, W] fp32 in [0, 1]
  std::vector<std::string> captions;  // B
  // [B, B] bool: caption j (column) also describes image i (row), i != j. Such a pair is neither
  // positive nor negative.
  at::Tensor also_true;
};

struct ClipSource {
  std::string name;                // for the model card
  std::vector<std::string> texts;  // for training the tokenizer
  std::function<ContrastiveBatch(int64_t count, at::Generator& generator)> draw;
};

// Scenes of a split, each with a caption. A fraction `variants` ([0, 0.75]) are hard negatives:
// copies of another scene of the batch, mirrored, recoloured, reshaped or rearranged.
ContrastiveBatch draw_scenes(int64_t count,
                             double variants,
                             world::Split split,
                             at::Generator& generator);

ClipSource scene_source(double variants);

// Captioned images, by row number.
struct CaptionedSet {
  std::vector<std::string> captions;  // N
  // rows: [B] int64 -> [B, 3, H, W] fp32 in [0, 1]
  std::function<at::Tensor(const at::Tensor& rows)> images;
};

// Batches of distinct pairs among `rows` ([M] int64) of a set. Equal captions are no negatives.
ClipSource captioned_source(const std::string& name,
                            const CaptionedSet& set,
                            const at::Tensor& rows);

// `rows` cut into groups of at most `size` pairs with distinct captions, in order.
std::vector<ContrastiveBatch> groups_of(const CaptionedSet& set,
                                        const at::Tensor& rows,
                                        int64_t size);

// `groups` groups of `size` scenes; each caption describes only its own image in the group.
std::vector<ContrastiveBatch> retrieval_groups(int64_t groups,
                                               int64_t size,
                                               world::Split split,
                                               at::Generator& generator);

}  // namespace rewards
