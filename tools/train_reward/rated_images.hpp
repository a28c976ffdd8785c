#pragma once

// Images with people's ratings, embedded once by each CLIP of a training.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/world/scene.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/world/simulated_ratings.hpp"

namespace tools {

using Clips = std::vector<std::shared_ptr<rewards::ClipEmbedder>>;

// With the raters' preference where it is known.
struct RatedImages {
  std::vector<at::Tensor> embeddings;  // of each CLIP: [N, D]
  at::Tensor ratings;                  // [N] the mean over raters, 1 to 10
  at::Tensor preference;               // [N] without bias and noise, or undefined
  int64_t unreadable = 0;              // images that were left out
};
RatedImages rows_of(const RatedImages& rated, const at::Tensor& rows);

// What simulated ratings are drawn from.
struct RatingSimulation {
  const Clips& clips;
  const rewards::RaterOptions& raters;
  at::Tensor biases;  // [raters]
  at::Generator& generator;
};
RatedImages simulated_images(const RatingSimulation& simulation,
                             int64_t count,
                             world::Split split,
                             const std::string& title);

// JSONL of {"image", "rating"}; paths are relative to the file. Throws BadInput with the line, for
// a rating outside 1 to 10 and for fewer than 25 readable images.
RatedImages read_rated_images(const std::filesystem::path& path, const Clips& clips);

}  // namespace tools
