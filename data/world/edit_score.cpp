#include "data/world/edit_score.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/base/shape.hpp"
#include "data/world/edit_text.hpp"
#include "data/world/grammar.hpp"

namespace world {
namespace {

using PixelColour = std::array<float, 3>;

constexpr float kAlike = 0.15f;     // distance in RGB below which two clean colours look alike
constexpr double kSoftOutline = 1;  // pixels on both sides of an outline that are not counted
constexpr double kMaxScore = 5;

float distance(const PixelColour& one, const PixelColour& other) {
  const float r = one[0] - other[0], g = one[1] - other[1], b = one[2] - other[2];
  return std::sqrt(r * r + g * g + b * b);
}

float distance(const PixelColour& pixel, const Ramp& ramp) {
  float along = 0, length = 0;
  for (size_t c = 0; c < 3; ++c) {
    along += (pixel[c] - ramp.from[c]) * (ramp.to[c] - ramp.from[c]);
    length += (ramp.to[c] - ramp.from[c]) * (ramp.to[c] - ramp.from[c]);
  }
  const float share = length > 0 ? std::clamp(along / length, 0.0f, 1.0f) : 0;
  PixelColour nearest = ramp.from;
  for (size_t c = 0; c < 3; ++c) nearest[c] += share * (ramp.to[c] - ramp.from[c]);
  return distance(pixel, nearest);
}

// Access to the pixels of a [3, N, N] picture.
class Pixels {
 public:
  explicit Pixels(const at::Tensor& image)
      : rows_(image.detach().to(at::kCPU, at::kFloat).nan_to_num(0).clamp(0, 1).contiguous()),
        data_(rows_.const_data_ptr<float>()),
        plane_(static_cast<size_t>(rows_.size(1) * rows_.size(2))) {}
  size_t count() const { return plane_; }
  PixelColour operator[](size_t i) const {
    return {data_[i], data_[i + plane_], data_[i + 2 * plane_]};
  }

 private:
  at::Tensor rows_;
  const float* data_;
  size_t plane_;
};

struct PixelCheck {
  bool shows = false;  // the expected colour
  float distance = 0;  // to the nearest clean colour
};

PixelCheck judge(const EditView& view,
                 const PixelColour& pixel,
                 const PixelColour& wanted,
                 const PixelColour& before) {
  const bool kept = distance(wanted, before) <= kAlike;
  const float old = distance(pixel, before);
  const float away = kept ? std::min(old, distance(pixel, wanted)) : distance(pixel, wanted);
  PixelCheck check{kept || away <= old, std::min(away, old)};
  for (const Ramp& ramp : view.palette) {
    const float other = distance(pixel, ramp);
    check.distance = std::min(check.distance, other);
    if (other < away && distance(wanted, ramp) > kAlike) check.shows = false;
  }
  return check;
}

struct RegionScore {
  double all = 0, right = 0;
  void add(bool is_right) {
    all += 1;
    right += is_right;
  }
  double share() const { return all > 0 ? right / all : 1; }
};

double mean_of_best(std::vector<double>& values, double outliers) {
  const auto best = static_cast<int64_t>((1 - outliers) * static_cast<double>(values.size()));
  std::nth_element(values.begin(), values.begin() + best - 1, values.end());
  return std::accumulate(values.begin(), values.begin() + best, 0.0) / static_cast<double>(best);
}

std::string flaw_of_kept(const EditView& view, const std::vector<RegionScore>& shapes) {
  size_t worst = 0;
  for (size_t i = 1; i < shapes.size(); ++i) {
    if (shapes[i].share() < shapes[worst].share()) worst = i;
  }
  const bool shape = !shapes.empty() && shapes[worst].share() < 1;
  return (shape ? view.kept[worst] : "the background") + " changed";
}

std::array<std::string, kAxes> describe(const EditView& view,
                                        const std::array<double, kAxes>& values,
                                        const std::vector<RegionScore>& shapes) {
  std::array<std::string, kAxes> flaws = {"None", "None", "None"};
  if (values[0] < kMaxScore)
    flaws[0] = view.subject + (values[0] > 0 ? " is only partly " : " was not ") + view.verb;
  if (values[1] < kMaxScore) flaws[1] = flaw_of_kept(view, shapes);
  if (values[2] < kMaxScore)
    flaws[2] = (values[2] < 3 ? "the image is " : "the image is slightly ") + view.blemish;
  return flaws;
}

bool same(const Object& one, const Object& other) {
  return one.kind == other.kind && one.colour == other.colour && one.scale == other.scale &&
         one.x == other.x && one.y == other.y;
}

double distance_to(const Object& object, size_t pixel) {
  const auto x = static_cast<double>(pixel % kCanvas), y = static_cast<double>(pixel / kCanvas);
  return outline_distance(object.kind, object.scale, x + 0.5 - object.x, y + 0.5 - object.y);
}

std::vector<Object> kept_objects(const SceneEdit& edit) {
  std::vector<Object> kept;
  for (const Object& object : edit.source.objects) {
    const auto& after = edit.target.objects;
    if (std::any_of(after.begin(), after.end(), [&](const auto& o) { return same(o, object); }))
      kept.push_back(object);
  }
  return kept;
}

std::vector<int8_t> owners(const SceneEdit& edit, const std::vector<Object>& kept) {
  std::vector<int8_t> owner(kCanvas * kCanvas, 0);
  for (const Scene* scene : {&edit.source, &edit.target}) {
    for (const Object& object : scene->objects) {
      for (size_t pixel = 0; pixel < owner.size(); ++pixel)
        if (std::abs(distance_to(object, pixel)) < kSoftOutline) owner[pixel] = kOutline;
    }
  }
  for (size_t which = 0; which < kept.size(); ++which) {
    for (size_t pixel = 0; pixel < owner.size(); ++pixel) {
      if (owner[pixel] != kOutline && distance_to(kept[which], pixel) < 0)
        owner[pixel] = static_cast<int8_t>(which + 1);
    }
  }
  return owner;
}

PixelColour pixel_of(const Rgb& rgb, double light) {
  return {static_cast<float>(light * rgb.r), static_cast<float>(light * rgb.g),
          static_cast<float>(light * rgb.b)};
}

std::vector<Ramp> palette_of(const SceneEdit& edit) {
  std::vector<Ramp> palette;
  const auto add = [&](const Rgb& rgb, double darkest) {
    palette.push_back({pixel_of(rgb, 1), pixel_of(rgb, darkest)});
  };
  for (const HsvRange& range : kColourRanges) add(middle(range), 1);
  for (const HsvRange& range : kToneRanges) add(middle(range), 1);
  for (const Scene* scene : {&edit.source, &edit.target}) {
    for (const Object& object : scene->objects) add(object.rgb, 1 - object.shading);
  }
  return palette;
}

}  // namespace

EditView view_of(const SceneEdit& edit) {
  const std::vector<Object> kept = kept_objects(edit);
  EditView view;
  view.source = render(edit.source);
  view.target = render(edit.target);
  view.owner = owners(edit, kept);
  for (const Object& object : kept)
    view.kept.push_back("the " + name(object.colour) + " " + name(object.kind));
  view.subject = subject(edit.source, edit.edit);
  view.verb = past_participle(edit.edit.operation);
  view.palette = palette_of(edit);
  view.kept_area = kCanvas * kCanvas / 4.0;
  view.free_distance = 0.01;
  view.worst_distance = 0.08;
  view.outliers = 0.06;
  return view;
}

EditScores score_edit(const EditView& view, const at::Tensor& image) {
  data::check_shape(image, {3, view.source.size(1), view.source.size(2)}, "score_edit: image");
  const Pixels before(view.source), wanted(view.target), edited(image);
  RegionScore changed, rest;
  std::vector<RegionScore> shapes(view.kept.size());
  std::vector<double> off;
  for (size_t i = 0; i < edited.count(); ++i) {
    if (view.owner[i] == kOutline) continue;
    const PixelCheck check = judge(view, edited[i], wanted[i], before[i]);
    off.push_back(std::max(0.0, static_cast<double>(check.distance) - view.free_distance));
    const bool is_changed = distance(wanted[i], before[i]) > kAlike;
    RegionScore& tally = is_changed           ? changed
                         : view.owner[i] == 0 ? rest
                                              : shapes[static_cast<size_t>(view.owner[i] - 1)];
    tally.add(check.shows);
  }
  double kept = std::max(0.0, 1 - (rest.all - rest.right) / view.kept_area);
  for (const RegionScore& shape : shapes) kept *= shape.share();
  EditScores scores;
  scores.values = {
      kMaxScore * changed.share(), kMaxScore * kept,
      kMaxScore * std::max(0.0, 1 - mean_of_best(off, view.outliers) / view.worst_distance)};
  scores.feedback = describe(view, scores.values, shapes);
  return scores;
}

}  // namespace world
