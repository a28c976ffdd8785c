#include "tools/write_reward/contact_sheet.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/format.hpp"
#include "data/images/contact_sheet.hpp"
#include "data/images/draw_text.hpp"
#include "data/images/image_io.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kTileSide = 160, kTilesInRow = 5;        // pixels; pictures
constexpr int64_t kCanvasHeight = 128, kLabelHeight = 24;  // the text's size goes by the canvas

// The picture in the middle of a grey square, shrunk or enlarged to fit.  -> [3, side, side]
at::Tensor tile_of(const at::Tensor& image) {
  const int64_t height = image.size(1), width = image.size(2), longer = std::max(height, width);
  const auto fitted = [&](int64_t size) { return std::max<int64_t>(1, size * kTileSide / longer); };
  const at::Tensor small =
      data::resize(image, fitted(height), fitted(width),
                   longer > kTileSide ? data::ResizeKind::kArea : data::ResizeKind::kBicubic);
  at::Tensor tile = at::full({3, kTileSide, kTileSide}, 0.5);
  tile.narrow(1, (kTileSide - small.size(1)) / 2, small.size(1))
      .narrow(2, (kTileSide - small.size(2)) / 2, small.size(2))
      .copy_(small);
  return tile;
}

at::Tensor labelled(const fs::path& file, int64_t number, double value) {
  const std::string text = data::formatted("%lld: %.3g", static_cast<long long>(number), value);
  const at::Tensor label = data::draw_text(at::zeros({3, kCanvasHeight, kTileSide}), text)
                               .narrow(1, kCanvasHeight / 2 - 3 * kLabelHeight / 4, kLabelHeight);
  return at::cat({tile_of(data::read_image(file)), label}, 1);
}

}  // namespace

Extremes extremes_of(const at::Tensor& values, int64_t most) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < values.size(0); ++i) {
    if (std::isfinite(values[i].item<double>())) rows.push_back(i);
  }
  std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
    return values[a].item<double>() > values[b].item<double>();
  });
  const auto count =
      static_cast<std::ptrdiff_t>(std::min<size_t>(static_cast<size_t>(most), rows.size() / 2));
  return {.best = {rows.begin(), rows.begin() + count},
          .worst = {rows.rbegin(), rows.rbegin() + count}};
}

void write_contact_sheet(const fs::path& path,
                         const std::vector<fs::path>& files,
                         const at::Tensor& values) {
  const Extremes extremes = extremes_of(values, kTilesInRow);
  std::vector<at::Tensor> tiles;
  for (const auto& row : {extremes.best, extremes.worst}) {
    for (const int64_t i : row)
      tiles.push_back(labelled(files[static_cast<size_t>(i)], i + 1, values[i].item<double>()));
  }
  const auto columns = static_cast<int64_t>(extremes.best.size());
  if (columns > 0) data::write_png(path, data::contact_sheet(at::stack(tiles), columns));
}

}  // namespace tools
