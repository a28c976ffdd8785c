#include "data/world/oracle.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "data/base/shape.hpp"

namespace world {
namespace {

constexpr int kSide = static_cast<int>(kCanvas);
constexpr double kSmoothing = 0.8;       // pixels, against noise
constexpr double kLeastContrast = 0.14;  // distance in RGB from the background of an object
constexpr int kSpeck = 30;               // square pixels; the smallest drawn shape has 114
constexpr size_t kMostObjects = 6;
constexpr double kWorstOutline =
    0.42;  // mismatch, as a share of the area, above which a kind is unknown
constexpr double kGoodOutline = 0.1;      // mismatch below which no stronger blur is tried
constexpr double kLeastSaturation = 0.3;  // a greyer object has no colour word
constexpr double kFarthestTone = 0.25;    // distance in RGB from the middle of a tone's range

using Pixel = cv::Vec3f;  // r, g, b

double norm(const Pixel& pixel) { return std::sqrt(pixel.dot(pixel)); }

// [3, H, W] tensor -> 64x64 pixels, smoothed.
cv::Mat_<Pixel> to_pixels(const at::Tensor& image) {
  const at::Tensor rows = image.detach()
                              .to(at::kCPU, at::kFloat)
                              .nan_to_num(0)
                              .clamp(0, 1)
                              .permute({1, 2, 0})
                              .contiguous();
  const cv::Mat view(static_cast<int>(rows.size(0)), static_cast<int>(rows.size(1)), CV_32FC3,
                     const_cast<float*>(rows.const_data_ptr<float>()));
  cv::Mat_<Pixel> pixels;
  if (view.rows == kSide && view.cols == kSide) {
    view.copyTo(pixels);
  } else {
    cv::resize(view, pixels, {kSide, kSide}, 0, 0,
               view.rows > kSide ? cv::INTER_AREA : cv::INTER_LINEAR);
  }
  cv::GaussianBlur(pixels, pixels, {5, 5}, kSmoothing);
  return pixels;
}

// The background: a linear function of the position for each channel.
struct Plane {
  Pixel middle, across, down;  // colour at the centre; its change from edge to edge
  Pixel at(int x, int y) const { return middle + across * place(x) + down * place(y); }
  static float place(int i) { return (static_cast<float>(i) + 0.5f) / kSide - 0.5f; }
};

Pixel border_median(const cv::Mat_<Pixel>& pixels) {
  std::array<std::vector<float>, 3> values;
  for (int i = 0; i < kSide; ++i) {
    for (const Pixel& pixel :
         {pixels(0, i), pixels(kSide - 1, i), pixels(i, 0), pixels(i, kSide - 1)}) {
      for (int channel = 0; channel < 3; ++channel)
        values[static_cast<size_t>(channel)].push_back(pixel[channel]);
    }
  }
  Pixel median;
  for (int channel = 0; channel < 3; ++channel) {
    auto& list = values[static_cast<size_t>(channel)];
    std::nth_element(list.begin(), list.begin() + kSide * 2, list.end());
    median[channel] = list[kSide * 2];
  }
  return median;
}

// Least squares over the pixels within `reach` of `guess`.
Plane fit_plane(const cv::Mat_<Pixel>& pixels, const Plane& guess, double reach) {
  cv::Matx33d normal = cv::Matx33d::eye() * 1e-6;
  cv::Matx33d moments = cv::Matx33d::zeros();  // row: 1, across, down; column: channel
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const Pixel& pixel = pixels(y, x);
      if (norm(pixel - guess.at(x, y)) > reach) continue;
      const std::array<double, 3> terms = {1, Plane::place(x), Plane::place(y)};
      for (int row = 0; row < 3; ++row) {
        for (int column = 0; column < 3; ++column) {
          normal(row, column) +=
              terms[static_cast<size_t>(row)] * terms[static_cast<size_t>(column)];
          moments(row, column) += terms[static_cast<size_t>(row)] * pixel[column];
        }
      }
    }
  }
  const cv::Matx33d solved = normal.inv() * moments;
  const auto row = [&](int index) {
    return Pixel(static_cast<float>(solved(index, 0)), static_cast<float>(solved(index, 1)),
                 static_cast<float>(solved(index, 2)));
  };
  return {row(0), row(1), row(2)};
}

Plane find_background(const cv::Mat_<Pixel>& pixels) {
  const Plane flat = {border_median(pixels), Pixel(), Pixel()};
  return fit_plane(pixels, fit_plane(pixels, flat, 0.2), 0.12);
}

struct Segments {
  cv::Mat_<float> contrast;  // distance in RGB from the background
  cv::Mat_<int> labels;      // 0: background
  cv::Mat_<int> stats;       // [label, cv::CC_STAT_*]
  int count = 0;             // labels, with the background
};

// A pixel belongs to an object when its contrast is above half of the largest contrast nearby.
Segments segment(const cv::Mat_<Pixel>& pixels, const Plane& background) {
  Segments segments;
  segments.contrast.create(kSide, kSide);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x)
      segments.contrast(y, x) = static_cast<float>(norm(pixels(y, x) - background.at(x, y)));
  }
  cv::Mat_<float> nearby;
  cv::dilate(segments.contrast, nearby, cv::Mat::ones(5, 5, CV_8U));
  const cv::Mat mask = (segments.contrast > 0.5 * nearby) & (segments.contrast > kLeastContrast);
  cv::Mat centres;
  segments.count =
      cv::connectedComponentsWithStats(mask, segments.labels, segments.stats, centres, 4, CV_32S);
  return segments;
}

// The mean colour of the third of a segment with the largest contrast.
Pixel core_colour(const cv::Mat_<Pixel>& pixels, const Segments& segments, int label) {
  std::vector<float> contrasts;
  const auto each = [&](const auto& visit) {
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        if (segments.labels(y, x) == label) visit(x, y);
      }
    }
  };
  each([&](int x, int y) { contrasts.push_back(segments.contrast(y, x)); });
  const auto cut = contrasts.begin() + static_cast<int64_t>(contrasts.size() * 2 / 3);
  std::nth_element(contrasts.begin(), cut, contrasts.end());
  Pixel sum;
  float count = 0;
  each([&](int x, int y) {
    if (segments.contrast(y, x) < *cut) return;
    sum += pixels(y, x);
    count += 1;
  });
  return sum * (1 / count);
}

// The coverage of each pixel around a segment: 0 is the background's colour, 1 the core's.
struct Cover {
  cv::Rect window;
  cv::Mat_<float> share;
  double area = 0, x = 0, y = 0;  // square pixels; centre of mass in pixels of the canvas
};

Cover find_cover(const cv::Mat_<Pixel>& pixels,
                 const Plane& background,
                 const Segments& segments,
                 int label,
                 const Pixel& core) {
  constexpr int margin = 3;
  const auto stat = [&](int which) { return segments.stats(label, which); };
  const cv::Rect box(stat(cv::CC_STAT_LEFT) - margin, stat(cv::CC_STAT_TOP) - margin,
                     stat(cv::CC_STAT_WIDTH) + 2 * margin, stat(cv::CC_STAT_HEIGHT) + 2 * margin);
  Cover cover;
  cover.window = box & cv::Rect(0, 0, kSide, kSide);
  cover.share = cv::Mat_<float>::zeros(cover.window.size());
  for (int row = 0; row < cover.window.height; ++row) {
    for (int column = 0; column < cover.window.width; ++column) {
      const int x = cover.window.x + column, y = cover.window.y + row;
      if (segments.labels(y, x) != label && segments.labels(y, x) != 0) continue;
      const Pixel base = background.at(x, y), way = core - base;
      const float share = std::clamp((pixels(y, x) - base).dot(way) / way.dot(way), -0.2f, 1.1f);
      cover.share(row, column) = share;
      cover.area += share;
      cover.x += share * (x + 0.5);
      cover.y += share * (y + 0.5);
    }
  }
  cover.x /= cover.area;
  cover.y /= cover.area;
  return cover;
}

// A blurred shape, scaled in strength so that it fits a cover best.
struct ShapeFit {
  double mismatch = 0;  // a share of the area
  double scale = 0;     // pixels
};

cv::Mat_<float> draw_cover(const Cover& cover, Kind kind, double scale, double blur) {
  cv::Mat_<float> drawn(cover.window.size());
  for (int row = 0; row < drawn.rows; ++row) {
    for (int column = 0; column < drawn.cols; ++column) {
      const double dx = cover.window.x + column + 0.5 - cover.x;
      const double dy = cover.window.y + row + 0.5 - cover.y;
      drawn(row, column) =
          static_cast<float>(std::clamp(0.5 - outline_distance(kind, scale, dx, dy), 0.0, 1.0));
    }
  }
  cv::GaussianBlur(drawn, drawn, {0, 0}, blur, blur, cv::BORDER_CONSTANT);
  return drawn;
}

// Blur weakens the colour of a ring, so that its cover overstates its area: strength and scale are
// estimated together.
ShapeFit fit_kind(const Cover& cover, Kind kind, double blur) {
  constexpr double weakest = 0.5;
  double strength = 1;
  ShapeFit fit;
  for (int round = 0; round < 2; ++round) {
    fit.scale = std::sqrt(cover.area / (strength * area(kind, 1)));
    const cv::Mat_<float> drawn = draw_cover(cover, kind, fit.scale, blur);
    strength = std::clamp(drawn.dot(cover.share) / drawn.dot(drawn), weakest, 1 / weakest);
    fit.mismatch = cv::norm(cover.share, strength * drawn, cv::NORM_L1) / cover.area;
  }
  return fit;
}

void name_kind(const Cover& cover, DetectedObject& sight) {
  double best = kWorstOutline;
  for (const double blur : {kSmoothing, 1.4, 2.1}) {
    if (best < kGoodOutline) break;
    for (int64_t index = 0; index < kKinds; ++index) {
      const ShapeFit fit = fit_kind(cover, static_cast<Kind>(index), blur);
      if (fit.mismatch >= best) continue;
      best = fit.mismatch;
      sight.kind = static_cast<Kind>(index);
      sight.scale = fit.scale;
    }
  }
  if (!sight.kind) sight.scale = std::sqrt(cover.area / area(Kind::kCircle, 1));
  sight.size = sight.scale < kSizeBoundary ? Size::kSmall : Size::kLarge;
}

double hue_distance(double one, double other) {
  const double difference = std::abs(std::fmod(one - other + 720, 360));
  return std::min(difference, 360 - difference);
}

std::optional<Colour> name_colour(const Rgb& rgb) {
  const Hsv hsv = to_hsv(rgb);
  if (hsv.saturation < kLeastSaturation) return std::nullopt;
  const auto beyond = [&](const HsvRange& range) {
    return hue_distance(hsv.hue, range.hue) - range.hue_half;
  };
  const auto nearest =
      std::min_element(kColourRanges.begin(), kColourRanges.end(),
                       [&](const auto& a, const auto& b) { return beyond(a) < beyond(b); });
  return static_cast<Colour>(nearest - kColourRanges.begin());
}

std::optional<Tone> name_tone(const Pixel& colour) {
  double best = kFarthestTone;
  std::optional<Tone> tone;
  for (size_t index = 0; index < kToneRanges.size(); ++index) {
    const Rgb wanted = middle(kToneRanges[index]);
    const double distance =
        std::hypot(colour[0] - wanted.r, colour[1] - wanted.g, colour[2] - wanted.b);
    if (distance >= best) continue;
    best = distance;
    tone = static_cast<Tone>(index);
  }
  return tone;
}

DetectedObject look(const cv::Mat_<Pixel>& pixels,
                    const Plane& background,
                    const Segments& segments,
                    int label) {
  DetectedObject sight;
  const Pixel core = core_colour(pixels, segments, label);
  sight.rgb = {core[0], core[1], core[2]};
  sight.colour = name_colour(sight.rgb);
  const Cover cover = find_cover(pixels, background, segments, label, core);
  sight.x = cover.x;
  sight.y = cover.y;
  name_kind(cover, sight);
  return sight;
}

}  // namespace

SceneReading read_scene(const at::Tensor& image) {
  data::check_shape(image, {3, -1, -1}, "read_scene: image");
  const cv::Mat_<Pixel> pixels = to_pixels(image);
  const Plane background = find_background(pixels);
  const Segments segments = segment(pixels, background);
  std::vector<int> labels;
  for (int label = 1; label < segments.count; ++label) {
    if (segments.stats(label, cv::CC_STAT_AREA) >= kSpeck) labels.push_back(label);
  }
  std::sort(labels.begin(), labels.end(), [&](int a, int b) {
    return segments.stats(a, cv::CC_STAT_AREA) > segments.stats(b, cv::CC_STAT_AREA);
  });
  labels.resize(std::min(labels.size(), kMostObjects));
  SceneReading reading;
  reading.background = name_tone(background.middle);
  for (const int label : labels)
    reading.objects.push_back(look(pixels, background, segments, label));
  return reading;
}

Match caption_match(const at::Tensor& image, const std::string& caption) {
  return match(parse_caption(caption), read_scene(image));
}

std::vector<Match> caption_matches(const at::Tensor& images,
                                   const std::vector<std::string>& captions) {
  data::check_shape(images, {static_cast<int64_t>(captions.size()), 3, -1, -1},
                    "caption_matches: images");
  std::vector<Match> matches;
  for (size_t index = 0; index < captions.size(); ++index)
    matches.push_back(caption_match(images[static_cast<int64_t>(index)], captions[index]));
  return matches;
}

}  // namespace world
