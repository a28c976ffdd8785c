#pragma once

// Images as a guide leads them.

#include "tools/sample/guides/kinds.hpp"

namespace tools {

// diffusion::generate of the samples of images, candidates_of(setting.guide) side by side for each.
// on_batch: as there; of a search it gets the best sample of each image alone, `first` being the
// image's first request. The log has a line for each image.
void generate_guided(const GuideSetting& setting,
                     const diffusion::Pipeline& pipeline,
                     const std::vector<diffusion::ImageRequest>& requests,
                     const diffusion::GenerateOptions& options,
                     const diffusion::OnBatch& on_batch);

}  // namespace tools
