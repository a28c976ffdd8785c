#include "data/world/scene.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "data/world/caption.hpp"
#include "data/world/random_stream.hpp"

namespace world {
namespace {

constexpr double kMargin = 2;  // pixels between a shape and the edge of the canvas
constexpr double kGap = 5;     // pixels between two shapes
constexpr int kPlacingAttempts = 60;

Rgb random_shade(const HsvRange& range, RandomStream& random) {
  return to_rgb({random.uniform(range.hue - range.hue_half, range.hue + range.hue_half) + 360,
                 random.uniform(range.saturation_min, range.saturation_max),
                 random.uniform(range.value_min, range.value_max)});
}

Background random_background(RandomStream& random) {
  Background background;
  background.tone = static_cast<Tone>(random.below(kTones));
  background.rgb = random_shade(kToneRanges[static_cast<size_t>(background.tone)], random);
  if (random.chance(0.5)) {
    background.slope_x = random.uniform(-0.1, 0.1);
    background.slope_y = random.uniform(-0.1, 0.1);
  }
  if (random.chance(0.3)) {
    background.texture = random.uniform(0.004, 0.015);
    background.waves_x = random.uniform(0.1, 0.5);
    background.waves_y = random.uniform(0.1, 0.5);
    background.phase = random.uniform(0, 6.28);
  }
  return background;
}

Object random_object(RandomStream& random, bool want_held_out, bool allow_held_out) {
  Object object;
  do {
    object.kind = static_cast<Kind>(random.below(kKinds));
    object.colour = static_cast<Colour>(random.below(kColours));
  } while (held_out(object.colour, object.kind) ? !allow_held_out : want_held_out);
  return object;
}

void choose_look(Object& object, Size size, RandomStream& random) {
  object.size = size;
  object.scale = size == Size::kSmall ? random.uniform(kSmallMin, kSmallMax)
                                      : random.uniform(kLargeMin, kLargeMax);
  object.rgb = random_shade(kColourRanges[static_cast<size_t>(object.colour)], random);
  object.shading = random.chance(0.5) ? random.uniform(0, 0.12) : 0;
}

bool near_a_line(double place) {
  return std::abs(place - kThird) < kGuard || std::abs(kCanvas - kThird - place) < kGuard;
}

bool ambiguous(double difference) {
  return std::abs(std::abs(difference) - kApart) < kRelationGuard;
}

bool fits(const std::vector<Object>& objects, size_t index) {
  const Object& object = objects[index];
  if (near_a_line(object.x) || near_a_line(object.y)) return false;
  for (size_t other = 0; other < index; ++other) {
    const double dx = object.x - objects[other].x, dy = object.y - objects[other].y;
    const double clear = far_reach(object.kind, object.scale) +
                         far_reach(objects[other].kind, objects[other].scale) + kGap;
    if (std::hypot(dx, dy) < clear || ambiguous(dx) || ambiguous(dy)) return false;
  }
  return true;
}

// One coordinate in a third of the canvas (0, 1, 2), or anywhere.
double random_coordinate(double reach, std::optional<int64_t> third, RandomStream& random) {
  const double low = reach + kMargin, high = kCanvas - reach - kMargin;
  if (!third) return random.uniform(low, high);
  const std::array<double, 4> lines = {low, kThird + kGuard, kCanvas - kThird + kGuard, high};
  const auto cell = static_cast<size_t>(*third);
  return random.uniform(lines[cell], lines[cell + 1] - (cell < 2 ? 2 * kGuard : 0));
}

bool place_objects(std::vector<Object>& objects, RandomStream& random) {
  const bool alone = objects.size() == 1;  // every place then has the same probability
  for (size_t index = 0; index < objects.size(); ++index) {
    bool placed = false;
    for (int attempt = 0; attempt < kPlacingAttempts && !placed; ++attempt) {
      Object& object = objects[index];
      const double reach = far_reach(object.kind, object.scale);
      const auto third = [&] {
        return alone ? std::optional<int64_t>(random.below(3)) : std::nullopt;
      };
      object.x = random_coordinate(reach, third(), random);
      object.y = random_coordinate(reach, third(), random);
      placed = fits(objects, index);
    }
    if (!placed) return false;
  }
  return true;
}

int64_t random_count(RandomStream& random) {
  const double draw = random.uniform(0, 1);
  return draw < 0.5 ? 1 : draw < 0.84 ? 2 : 3;
}

std::vector<Object> random_objects(int64_t count, Split split, RandomStream& random) {
  const bool unseen = split == Split::kUnseen;
  const int64_t special = random.below(count);
  std::vector<Object> objects;
  for (int64_t index = 0; index < count; ++index)
    objects.push_back(random_object(random, unseen && index == special, unseen));
  if (count > 1 && random.chance(0.15)) {  // two or three equal objects
    const Object alike = objects[static_cast<size_t>(special)];
    for (Object& object : objects) object = alike;
  }
  const int64_t large =
      count < 3 ? -1 : random.below(2 * kMaxObjects);  // at most one of three is large
  for (int64_t index = 0; index < count; ++index) {
    const bool is_large = count < 3 ? random.chance(0.5) : index == large;
    choose_look(objects[static_cast<size_t>(index)], is_large ? Size::kLarge : Size::kSmall,
                random);
  }
  return objects;
}

Scene random_scene(RandomStream& random, Split split) {
  Scene scene;
  scene.background = random_background(random);
  const int64_t count = random_count(random);
  do {
    scene.objects = random_objects(count, split, random);
  } while (!place_objects(scene.objects, random));
  return scene;
}

void draw_background(const Background& background, float* pixels) {
  constexpr int64_t plane = kCanvas * kCanvas;
  std::array<double, kCanvas> wave_x, wave_y;
  for (size_t i = 0; i < wave_x.size(); ++i) {
    wave_x[i] = std::sin(background.waves_x * static_cast<double>(i) + background.phase);
    wave_y[i] = std::sin(background.waves_y * static_cast<double>(i) + 2 * background.phase);
  }
  for (int64_t y = 0; y < kCanvas; ++y) {
    for (int64_t x = 0; x < kCanvas; ++x) {
      const double across = (static_cast<double>(x) + 0.5) / kCanvas - 0.5;
      const double down = (static_cast<double>(y) + 0.5) / kCanvas - 0.5;
      const double light =
          background.slope_x * across + background.slope_y * down +
          background.texture * wave_x[static_cast<size_t>(x)] * wave_y[static_cast<size_t>(y)];
      float* pixel = pixels + y * kCanvas + x;
      pixel[0] = static_cast<float>(std::clamp(background.rgb.r + light, 0.0, 1.0));
      pixel[plane] = static_cast<float>(std::clamp(background.rgb.g + light, 0.0, 1.0));
      pixel[2 * plane] = static_cast<float>(std::clamp(background.rgb.b + light, 0.0, 1.0));
    }
  }
}

void draw_object(const Object& object, float* pixels) {
  constexpr int64_t plane = kCanvas * kCanvas;
  const double reach = far_reach(object.kind, object.scale) + 1;
  const auto first = [&](double centre) {
    return std::max<int64_t>(0, static_cast<int64_t>(centre - reach));
  };
  const auto last = [&](double centre) {
    return std::min<int64_t>(kCanvas - 1, static_cast<int64_t>(centre + reach));
  };
  for (int64_t y = first(object.y); y <= last(object.y); ++y) {
    for (int64_t x = first(object.x); x <= last(object.x); ++x) {
      const double dx = static_cast<double>(x) + 0.5 - object.x;
      const double dy = static_cast<double>(y) + 0.5 - object.y;
      const double distance = outline_distance(object.kind, object.scale, dx, dy);
      const double cover = std::clamp(0.5 - distance, 0.0, 1.0);
      if (cover <= 0) continue;
      const double light = 1 - object.shading * (0.5 + dy / (2 * reach));
      float* pixel = pixels + y * kCanvas + x;
      const auto blend = [&](float& value, double colour) {
        value = static_cast<float>((1 - cover) * value + cover * light * colour);
      };
      blend(pixel[0], object.rgb.r);
      blend(pixel[plane], object.rgb.g);
      blend(pixel[2 * plane], object.rgb.b);
    }
  }
}

void draw(const Scene& scene, float* pixels) {
  draw_background(scene.background, pixels);
  for (const Object& object : scene.objects) draw_object(object, pixels);
}

}  // namespace

Scene random_scene(at::Generator& generator, Split split) {
  RandomStream random(generator);
  return random_scene(random, split);
}

bool well_placed(const Scene& scene) {
  for (size_t index = 0; index < scene.objects.size(); ++index) {
    const Object& object = scene.objects[index];
    const double low = far_reach(object.kind, object.scale) + kMargin, high = kCanvas - low;
    const bool inside = object.x >= low && object.x <= high && object.y >= low && object.y <= high;
    if (!inside || !fits(scene.objects, index)) return false;
  }
  return true;
}

at::Tensor render(const Scene& scene) {
  at::Tensor image = at::empty({3, kCanvas, kCanvas}, at::kFloat);  // image: [3, 64, 64]
  draw(scene, image.mutable_data_ptr<float>());
  return image;
}

SceneBatch random_batch(int64_t count, Split split, at::Generator& generator) {
  TORCH_CHECK(count > 0, "random_batch: count must be positive, got ", count);
  SceneBatch batch;
  batch.images = at::empty({count, 3, kCanvas, kCanvas}, at::kFloat);
  float* pixels = batch.images.mutable_data_ptr<float>();
  for (int64_t index = 0; index < count; ++index) {
    const Scene scene = random_scene(generator, split);
    draw(scene, pixels + index * 3 * kCanvas * kCanvas);
    batch.captions.push_back(caption(scene, generator));
  }
  return batch;
}

}  // namespace world
