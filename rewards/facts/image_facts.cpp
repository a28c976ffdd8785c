#include "rewards/facts/image_facts.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "data/base/shape.hpp"
#include "data/images/pixel_measures.hpp"

namespace rewards {
namespace {

constexpr int64_t kHues = 12;         // sectors of 30 degrees, the first around 0
constexpr double kEdge = 0.1;         // of the luma's slope, 1 at a step from black to white
constexpr int64_t kBlockSide = 8;     // pixels
constexpr double kEmptyBlock = 0.02;  // standard deviation of the luma
constexpr double kTiny = 1e-6;

// sum(part) / sum(whole) over each image, `grey` where there is nothing.  part, whole: [B, H, W]
at::Tensor share_of_sum(const at::Tensor& part, const at::Tensor& whole, double grey) {
  const double little = kTiny * static_cast<double>(part.size(1) * part.size(2));
  return (part.sum({1, 2}) + grey * little) / (whole.sum({1, 2}) + little);
}

at::Tensor warm_share(const at::Tensor& images) {
  const at::Tensor difference = images.select(1, 0) - images.select(1, 2);
  return share_of_sum(difference.relu(), difference.abs(), 0.5);
}

// The chroma in each sector of hue.  -> [B, kHues]
at::Tensor chroma_by_hue(const at::Tensor& images) {
  const at::Tensor red = images.select(1, 0), green = images.select(1, 1),
                   blue = images.select(1, 2);
  const at::Tensor largest = images.amax(1), chroma = largest - images.amin(1);
  const at::Tensor scale = chroma.clamp_min(kTiny);
  const at::Tensor hue = at::where(  // in sixths of the circle, -1 .. 5
      largest.eq(red), (green - blue) / scale,
      at::where(largest.eq(green), (blue - red) / scale + 2, (red - green) / scale + 4));
  const at::Tensor sector = (hue * (kHues / 6.0)).round().to(at::kLong).remainder(kHues).flatten(1);
  return at::zeros({images.size(0), kHues}, images.options())
      .scatter_add(1, sector, chroma.flatten(1));
}

at::Tensor dominant_hue(const at::Tensor& images) {
  return chroma_by_hue(images).argmax(1).to(images.scalar_type()) * (360.0 / kHues);
}

at::Tensor hue_share(const at::Tensor& images) {
  const at::Tensor sums = chroma_by_hue(images);
  const double little = kTiny * static_cast<double>(images.size(2) * images.size(3));
  return sums.amax(1) / (sums.sum(1) + little);
}

// Of windows of 3 x 3; no pixel where the picture is smaller.
at::Tensor edge_density(const at::Tensor& images) {
  if (images.size(2) < 3 || images.size(3) < 3) return images.sum({1, 2, 3}) * 0;
  const at::Tensor x = data::luma(images);
  const at::Tensor across = data::filtered(x, {-1, 0, 1, -2, 0, 2, -1, 0, 1}) / 4,
                   down = data::filtered(x, {-1, -2, -1, 0, 0, 0, 1, 2, 1}) / 4;
  return (across.square() + down.square()).gt(kEdge * kEdge).to(images.scalar_type()).mean({1, 2});
}

// Immerkaer, "Fast noise variance estimation" (1996), equation 3.
at::Tensor noise_level(const at::Tensor& images) {
  if (images.size(2) < 3 || images.size(3) < 3) return images.sum({1, 2, 3}) * 0;
  const at::Tensor response = data::filtered(data::luma(images), {1, -2, 1, -2, 4, -2, 1, -2, 1});
  return 255 * std::sqrt(std::numbers::pi / 2) / 6 * response.abs().mean({1, 2});
}

at::Tensor empty_share(const at::Tensor& images) {
  const at::Tensor x = data::luma(images);
  const int64_t side = std::min({kBlockSide, x.size(1), x.size(2)});
  const at::Tensor blocks = x.unfold(1, side, side).unfold(2, side, side).flatten(3);
  return blocks.std(3, /*unbiased=*/false).lt(kEmptyBlock).to(images.scalar_type()).mean({1, 2});
}

// Centres of `count` pixels between -1 and 1.
at::Tensor places(int64_t count, const at::TensorOptions& options) {
  return (at::arange(count, options) * 2 + 1) / static_cast<double>(count) - 1;
}

at::Tensor offset_from_centre(const at::Tensor& images) {
  const at::Tensor x = data::luma(images);
  const at::Tensor mass = (x - x.mean({1, 2}, true)).abs();
  const at::Tensor all = mass.sum({1, 2}) + kTiny;
  const at::Tensor right = (mass * places(x.size(2), x.options())).sum({1, 2}) / all,
                   down = (mass * places(x.size(1), x.options()).unsqueeze(1)).sum({1, 2}) / all;
  return ((right.square() + down.square()) / 2 + kTiny * kTiny).sqrt();
}

at::Tensor symmetry(const at::Tensor& images) {
  return 1 - (images - images.flip(3)).abs().mean({1, 2, 3});
}

// A ring of an eighth of the shorter side.
at::Tensor border_brightness(const at::Tensor& images) {
  const at::Tensor x = data::luma(images);
  const int64_t height = x.size(1), width = x.size(2),
                ring = std::max<int64_t>(1, std::min(height, width) / 8);
  const int64_t inner_height = std::max<int64_t>(0, height - 2 * ring),
                inner_width = std::max<int64_t>(0, width - 2 * ring);
  const at::Tensor inner = x.slice(1, ring, ring + inner_height).slice(2, ring, ring + inner_width);
  return (x.sum({1, 2}) - inner.sum({1, 2})) /
         static_cast<double>(height * width - inner_height * inner_width);
}

// The middle, half of each side, against the corners, a quarter of each side.
at::Tensor vignette(const at::Tensor& images) {
  const at::Tensor x = data::luma(images);
  const int64_t height = std::max<int64_t>(1, x.size(1) / 4),
                width = std::max<int64_t>(1, x.size(2) / 4);
  const at::Tensor middle = x.slice(1, height, std::max(height + 1, x.size(1) - height))
                                .slice(2, width, std::max(width + 1, x.size(2) - width));
  at::Tensor corners;
  for (const int64_t row : {int64_t{0}, x.size(1) - height}) {
    for (const int64_t column : {int64_t{0}, x.size(2) - width}) {
      const at::Tensor corner =
          x.slice(1, row, row + height).slice(2, column, column + width).mean({1, 2});
      corners = corners.defined() ? corners + corner : corner;
    }
  }
  return middle.numel() == 0 ? corners * 0 : middle.mean({1, 2}) - corners / 4;
}

constexpr std::array kFacts{
    ImageFact{"saturation", "0-1", 0, 1, true, "largest less smallest channel, mean over pixels",
              data::saturation},
    ImageFact{"contrast", "luma", 0, 0.5, true, "standard deviation of the luma", data::contrast},
    ImageFact{"warm_share", "0-1", 0, 1, true,
              "share of the difference between red and blue where red is larger; 0.5 grey",
              warm_share},
    ImageFact{"dominant_hue", "degrees", 0, 330, false,
              "hue with the most chroma, in sectors of 30 degrees; 0 red, 120 green, 240 blue",
              dominant_hue},
    ImageFact{"hue_share", "0-1", 0, 1, false, "share of the chroma in that sector; 0 grey",
              hue_share},
    ImageFact{"edge_density", "0-1", 0, 0.5, false,
              "share of pixels where the luma's slope (Sobel) is above 0.1", edge_density},
    ImageFact{"sharpness", "luma^2", 0, 0.2, true, "mean square of the luma's Laplacian",
              data::laplacian_energy},
    ImageFact{"noise_level", "levels of 255", 0, 30, true,
              "standard deviation of noise by Immerkaer's estimate (1996)", noise_level},
    ImageFact{"empty_share", "0-1", 0, 1, false,
              "share of blocks of 8 x 8 pixels whose luma varies by less than 0.02", empty_share},
    ImageFact{"offset_from_centre", "0-1", 0, 0.5, true,
              "how far the contrast's centre of mass is from the middle; 1 a corner",
              offset_from_centre},
    ImageFact{"symmetry", "0-1", 0.5, 1, true,
              "1 less the mean difference from the mirror image, left and right", symmetry},
    ImageFact{"border_brightness", "luma", 0, 1, true,
              "mean luma of a ring of an eighth of the shorter side", border_brightness},
    ImageFact{"vignette", "luma", -1, 1, true, "mean luma of the middle less that of the corners",
              vignette},
};

template <size_t I>
Reward fact_reward(RewardLoader&);

template <size_t I>
RewardEntry entry_of_fact() {
  const ImageFact& fact = kFacts[I];
  return {.info = {.name = fact.name,
                   .unit = fact.unit,
                   .low = fact.low,
                   .high = fact.high,
                   .differentiable = fact.differentiable,
                   .description = fact.description},
          .make = fact_reward<I>};
}

template <size_t I>
Reward fact_reward(RewardLoader&) {
  return {.info = entry_of_fact<I>().info,
          .score = [](const RewardBatch& batch) { return kFacts[I].measure(batch.images); }};
}

template <size_t... I>
std::vector<RewardEntry> entries_of_facts(std::index_sequence<I...>) {
  return {entry_of_fact<I>()...};
}

}  // namespace

const std::vector<ImageFact>& image_facts() {
  static const std::vector<ImageFact> facts(kFacts.begin(), kFacts.end());
  return facts;
}

const std::vector<RewardEntry>& image_fact_entries() {
  static const std::vector<RewardEntry> entries =
      entries_of_facts(std::make_index_sequence<kFacts.size()>());
  return entries;
}

}  // namespace rewards
