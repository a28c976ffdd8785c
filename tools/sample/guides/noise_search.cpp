#include "tools/sample/guides/noise_search.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/splitmix.hpp"
#include "diffusion/sampling/noise_search.hpp"
#include "tools/sample/guides/rating.hpp"

using diffusion::ImageRequest;

namespace tools {
namespace {

constexpr uint64_t kLaterNoise = 0x5eac;  // what the steps draw is not the initial noise again

// The best sample of an image so far, as a batch of one row.
struct SearchedImage {
  diffusion::GeneratedBatch best{};
  double value = -std::numeric_limits<double>::infinity();
  nlohmann::ordered_json record{};
};

// `own`, from noise near the best so far, or its own where there is none.
ImageRequest searched_request(ImageRequest own,
                              uint64_t image_seed,
                              const SearchedImage& image,
                              const std::vector<int64_t>& shape,
                              double radius) {
  auto generators = diffusion::image_generators({own.seed});
  const at::Tensor fresh = diffusion::draw_noise(generators, shape, at::kCPU)[0];
  own.latents = image.best.initial.defined()
                    ? diffusion::near_noise(image.best.initial[0], fresh, radius)
                    : fresh;
  own.seed = data::splitmix64(image_seed ^ kLaterNoise);
  return own;
}

// One round: `count` samples of each image.
struct SearchRound {
  std::vector<ImageRequest> requests{};
  int64_t count = 1;
};

void keep_best(const diffusion::GeneratedBatch& batch,
               const std::vector<double>& values,
               const SearchRound& round,
               std::vector<SearchedImage>& images) {
  for (size_t row = 0; row < values.size(); ++row) {
    const size_t place = batch.first + row;
    SearchedImage& image = images[place / static_cast<size_t>(round.count)];
    image.record["rounds"].back().push_back(values[row]);
    const bool better = std::isfinite(values[row]) && values[row] > image.value;
    if (!better && image.best.initial.defined()) continue;
    const auto at = static_cast<int64_t>(row);
    const auto own = [at](const at::Tensor& all) { return all.slice(0, at, at + 1).clone(); };
    image.best.initial = own(batch.initial);
    image.best.latents = own(batch.latents);
    image.best.images = own(batch.images);
    if (better) image.value = values[row];
  }
}

void search_round(const GuideSetting& setting,
                  const diffusion::Pipeline& pipeline,
                  const SearchRound& round,
                  const diffusion::GenerateOptions& options,
                  std::vector<SearchedImage>& images) {
  const auto captions = captions_of(round.requests);
  for (SearchedImage& image : images)
    image.record["rounds"].push_back(nlohmann::ordered_json::array());
  diffusion::generate(
      pipeline, round.requests, options, [&](const diffusion::GeneratedBatch& batch) {
        const auto begin = captions.begin() + static_cast<std::ptrdiff_t>(batch.first);
        const auto values =
            rate_images(setting.rewards, batch.images, {begin, begin + batch.images.size(0)});
        keep_best(batch, values, round, images);
      });
}

void search_noise(const GuideSetting& setting,
                  const diffusion::Pipeline& pipeline,
                  const std::vector<ImageRequest>& requests,
                  const diffusion::GenerateOptions& options,
                  const diffusion::OnBatch& on_batch) {
  const int64_t all = candidates_of(setting.guide), count = round_of(setting.guide, setting.config);
  const auto each = static_cast<size_t>(all);
  const auto shape = diffusion::latent_shape(pipeline, options.height, options.width);
  std::vector<SearchedImage> images(requests.size() / each);
  for (size_t i = 0; i < images.size(); ++i) {
    const ImageRequest& first = requests[i * each];
    images[i].best.first = i * each;
    images[i].record = {{"seed", first.seed}, {"prompt", first.prompt.text}};
  }
  for (int64_t begin = 0; begin < all; begin += count) {
    SearchRound round{.count = count};
    for (size_t i = 0; i < images.size(); ++i)
      for (int64_t c = begin; c < begin + count; ++c)
        round.requests.push_back(searched_request(requests[i * each + static_cast<size_t>(c)],
                                                  requests[i * each].seed, images[i], shape,
                                                  setting.config.radius));
    search_round(setting, pipeline, round, options, images);
  }
  for (const SearchedImage& image : images) {
    if (!setting.log.empty()) data::append_line(setting.log, data::to_text(image.record));
    on_batch(image.best);
  }
}

void check_rounds(const GuideSetting& setting, const diffusion::SamplerOptions&) {
  const int64_t all = candidates_of(setting.guide), round = round_of(setting.guide, setting.config);
  if (all % round == 0) return;
  throw data::BadInput("--guide noise: expected a multiple of the " + std::to_string(round) +
                       " samples of --guide_round, found " + std::to_string(all));
}

}  // namespace

const GuideKind kNoiseGuide{.name = "noise",
                            .example = "noise=8",
                            .expected = "a whole number from 2 to 10000",
                            .least = 2,
                            .most = 10'000,
                            .whole = true,
                            .has_candidates = true,
                            .check = check_rounds,
                            .search = search_noise};

}  // namespace tools
