#include "data/world/flat_world.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/world/edit_text.hpp"
#include "data/world/grammar.hpp"

namespace world {
namespace {

constexpr std::array<Colour, 6> kFlatColours = {Colour::kRed,  Colour::kYellow, Colour::kGreen,
                                                Colour::kCyan, Colour::kBlue,   Colour::kPurple};
constexpr std::array<Kind, 4> kFlatKinds = {Kind::kCircle, Kind::kSquare, Kind::kTriangle,
                                            Kind::kDiamond};
constexpr std::array<Tone, 3> kFlatTones = {Tone::kWhite, Tone::kGrey, Tone::kBlack};
constexpr int64_t kFlatStep = 2;              // shift of a disturbed object, pixels
constexpr float kFlatGrey = 128.0f / 255.0f;  // exact in 8 bits

std::array<float, 3> corner(Colour colour) {
  switch (colour) {
    case Colour::kYellow:
      return {1, 1, 0};
    case Colour::kGreen:
      return {0, 1, 0};
    case Colour::kCyan:
      return {0, 1, 1};
    case Colour::kBlue:
      return {0, 0, 1};
    case Colour::kPurple:
      return {1, 0, 1};
    default:
      return {1, 0, 0};
  }
}

std::array<float, 3> grey(Tone tone) {
  const float value = tone == Tone::kWhite ? 1 : tone == Tone::kGrey ? kFlatGrey : 0;
  return {value, value, value};
}

bool covers(const FlatObject& object, int64_t x, int64_t y) {
  const int64_t dx = x - object.x, dy = y - object.y, reach = object.reach;
  if (std::max(std::abs(dx), std::abs(dy)) > reach) return false;
  switch (object.kind) {
    case Kind::kCircle:
      return dx * dx + dy * dy <= reach * reach + (reach + 1) / 2;
    case Kind::kTriangle:
      return std::abs(dx) <= (dy + reach) / 2;
    case Kind::kDiamond:
      return std::abs(dx) + std::abs(dy) <= reach;
    default:
      return true;
  }
}

template <typename Value, size_t N>
Value any(const std::array<Value, N>& values, RandomStream& random) {
  return values[static_cast<size_t>(random.below(N))];
}

template <typename Value, size_t N>
Value another(const std::array<Value, N>& values, Value than, RandomStream& random) {
  Value value = than;
  while (value == than) value = any(values, random);
  return value;
}

bool inside(const FlatObject& object) {
  const auto fits = [&](int64_t at) {
    return at >= object.reach && at < kFlatCanvas - object.reach;
  };
  return fits(object.x) && fits(object.y);
}

// At least one empty pixel is between the boxes.
bool apart(const FlatObject& one, const FlatObject& other) {
  const int64_t clear = one.reach + other.reach + 2;
  return std::abs(one.x - other.x) >= clear || std::abs(one.y - other.y) >= clear;
}

FlatScene random_flat_scene(RandomStream& random) {
  FlatScene scene;
  auto& [one, other] = scene.objects;
  scene.background = any(kFlatTones, random);
  do {
    for (FlatObject& object : scene.objects) {
      object.kind = any(kFlatKinds, random);
      object.colour = any(kFlatColours, random);
      object.reach = 2 + random.below(2);
      object.x = random.below(kFlatCanvas);
      object.y = random.below(kFlatCanvas);
    }
  } while (one.kind == other.kind || one.colour == other.colour || !inside(one) || !inside(other) ||
           !apart(one, other));
  return scene;
}

bool is_held_out(const FlatObject& object) { return held_out(object.colour, object.kind); }

// Seen: no held-out combination before or after the edit. Unseen: the edited object is one.
bool belongs(const FlatEdit& edit, Split split) {
  const FlatObject& before = edit.source.objects[edit.object];
  const FlatObject& after = edit.target.objects[edit.object];
  const bool edited = is_held_out(before) || is_held_out(after);
  if (split == Split::kUnseen) return edited;
  return !edited && !is_held_out(edit.source.objects[1 - edit.object]);
}

}  // namespace

FlatEdit random_flat_edit(RandomStream& random, Split split) {
  const bool recolour = random.chance(0.5);
  FlatEdit edit;
  do {
    edit.source = edit.target = random_flat_scene(random);
    edit.object = static_cast<size_t>(random.below(2));
    edit.operation = recolour ? EditOperation::kRecolour : EditOperation::kRemove;
    FlatObject& object = edit.target.objects[edit.object];
    const Colour taken = edit.source.objects[1 - edit.object].colour, old = object.colour;
    while (recolour && (object.colour == old || object.colour == taken))
      object.colour = any(kFlatColours, random);
    edit.target.shown[edit.object] = recolour;
  } while (!belongs(edit, split));
  return edit;
}

FlatScene disturb_flat(const FlatEdit& edit, RandomStream& random) {
  FlatScene scene = edit.source;
  const size_t which = 1 - edit.object;
  FlatObject& other = scene.objects[which];
  const FlatObject before = other;
  switch (random.below(4)) {
    case 0:
      other.colour = another(kFlatColours, other.colour, random);
      break;
    case 1:
      scene.shown[which] = false;
      break;
    case 2:
      (random.chance(0.5) ? other.x : other.y) += random.chance(0.5) ? kFlatStep : -kFlatStep;
      if (!inside(other) || !apart(other, scene.objects[edit.object])) {
        other = before;
        scene.shown[which] = false;
      }
      break;
    default:
      scene.background = another(kFlatTones, scene.background, random);
  }
  return scene;
}

at::Tensor render_flat(const FlatScene& scene) {
  at::Tensor image = at::empty({3, kFlatCanvas, kFlatCanvas}, at::kFloat);
  auto pixels = image.accessor<float, 3>();
  for (int64_t y = 0; y < kFlatCanvas; ++y) {
    for (int64_t x = 0; x < kFlatCanvas; ++x) {
      std::array<float, 3> colour = grey(scene.background);
      for (size_t i = 0; i < scene.objects.size(); ++i) {
        if (scene.shown[i] && covers(scene.objects[i], x, y))
          colour = corner(scene.objects[i].colour);
      }
      for (int64_t c = 0; c < 3; ++c) pixels[c][y][x] = colour[static_cast<size_t>(c)];
    }
  }
  return image;
}

std::string instruction(const FlatEdit& edit) {
  const FlatObject& object = edit.target.objects[edit.object];
  if (edit.operation == EditOperation::kRemove) return "remove the " + name(object.kind);
  return "make the " + name(object.kind) + " " + name(object.colour);
}

EditView view_of(const FlatEdit& edit) {
  const FlatObject& kept = edit.source.objects[1 - edit.object];
  EditView view;
  view.source = render_flat(edit.source);
  view.target = render_flat(edit.target);
  view.owner.assign(kFlatCanvas * kFlatCanvas, 0);
  for (int64_t i = 0; i < kFlatCanvas * kFlatCanvas; ++i) {
    if (covers(kept, i % kFlatCanvas, i / kFlatCanvas)) view.owner[static_cast<size_t>(i)] = 1;
  }
  view.kept = {"the " + name(kept.kind)};
  view.subject = "the " + name(edit.source.objects[edit.object].kind);
  view.verb = past_participle(edit.operation);
  view.blemish = "noisy";
  for (const Colour colour : kFlatColours) view.palette.push_back({corner(colour), corner(colour)});
  for (const Tone tone : kFlatTones) view.palette.push_back({grey(tone), grey(tone)});
  view.kept_area = 40;
  view.worst_distance = 0.17;
  return view;
}

}  // namespace world
