#pragma once

// Images with captions for a CLIP: batches to learn from, groups to be examined on.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "data/world/scene.hpp"

namespace rewards {

struct CaptionedImages {
  at::Tensor images;                  // [B, 3, H, W] fp32 in [0, 1]
  std::vector<std::string> captions;  // B
  // [B, B] bool: caption j (column) is true of image i (row) as well, i != j. Such a pair is
  // neither a match nor a mismatch.
  at::Tensor also_true;
};

struct ClipSource {
  std::string name;                // for the model card
  std::vector<std::string> texts;  // what the tokenizer learns from
  std::function<CaptionedImages(int64_t count, at::Generator& generator)> draw;
};

// Scenes of a split with a caption each. `variants` of them (a fraction, [0, 0.75]) are near-copies
// of another of the batch: mirrored, recoloured, reshaped or rearranged, so that a caption's every
// word decides.
CaptionedImages draw_scenes(int64_t count,
                            double variants,
                            world::Split split,
                            at::Generator& generator);

ClipSource scene_source(double variants);

// Pairs that exist: captions, and their images by row number.
struct CaptionedSet {
  std::vector<std::string> captions;  // N
  // rows: [B] int64 -> [B, 3, H, W] fp32 in [0, 1]
  std::function<at::Tensor(const at::Tensor& rows)> images;
};

// Batches of distinct pairs among `rows` ([M] int64) of a set. Equal captions are no mismatch.
ClipSource captioned_source(const std::string& name,
                            const CaptionedSet& set,
                            const at::Tensor& rows);

// `rows` cut into groups of at most `size` pairs with distinct captions, in order.
std::vector<CaptionedImages> groups_of(const CaptionedSet& set,
                                       const at::Tensor& rows,
                                       int64_t size);

// `groups` times `size` scenes whose captions are distinct, each true of its own image alone in the
// group.
std::vector<CaptionedImages> retrieval_groups(int64_t groups,
                                              int64_t size,
                                              world::Split split,
                                              at::Generator& generator);

}  // namespace rewards
