#include "data/world/edit.hpp"

#include <algorithm>
#include <cmath>

#include "data/world/edit_text.hpp"

namespace world {
namespace {

constexpr int kTries = 12;          // edits to try per scene
constexpr double kEdge = 2;         // pixels between an added shape and the canvas's edge
constexpr double kLeastStep = 0.2;  // distance in RGB between the old and the new background

// Rare, because a wrong background changes more than anything else that an edit should keep.
constexpr double kOtherBackground = 0.3;

template <typename Value>
Value any(int64_t count, RandomStream& random) {
  return static_cast<Value>(random.below(count));
}

double plain_scale(Size size) {
  return size == Size::kSmall ? (kSmallMin + kSmallMax) / 2 : (kLargeMin + kLargeMax) / 2;
}

Rgb shade(Colour colour) { return middle(kColourRanges[static_cast<size_t>(colour)]); }

// The middle of the third (left, centre or right) that a place means along one axis.
double middle_of_third(bool low, bool high, double reach) {
  const double centre = low ? kThird / 2 : high ? kCanvas - kThird / 2 : kCanvas / 2.0;
  return std::clamp(centre, reach + kEdge, kCanvas - reach - kEdge);
}

Object new_object(const Edit& edit) {
  Object object;
  object.kind = edit.kind;
  object.colour = edit.colour;
  object.size = edit.size;
  object.scale = plain_scale(edit.size);
  object.rgb = shade(edit.colour);
  const double reach = far_reach(object.kind, object.scale);
  const Place place = edit.place;
  const auto among = [&](std::initializer_list<Place> places) {
    return std::find(places.begin(), places.end(), place) != places.end();
  };
  object.x = middle_of_third(among({Place::kLeft, Place::kTopLeft, Place::kBottomLeft}),
                             among({Place::kRight, Place::kTopRight, Place::kBottomRight}), reach);
  object.y =
      middle_of_third(among({Place::kTop, Place::kTopLeft, Place::kTopRight}),
                      among({Place::kBottom, Place::kBottomLeft, Place::kBottomRight}), reach);
  return object;
}

void move(Object& object, Direction direction) {
  if (direction == Direction::kLeft) object.x -= kStep;
  if (direction == Direction::kRight) object.x += kStep;
  if (direction == Direction::kUp) object.y -= kStep;
  if (direction == Direction::kDown) object.y += kStep;
}

bool distinct(const Scene& scene) {
  for (size_t one = 0; one < scene.objects.size(); ++one) {
    for (size_t other = 0; other < one; ++other) {
      if (scene.objects[one].kind == scene.objects[other].kind &&
          scene.objects[one].colour == scene.objects[other].colour)
        return false;
    }
  }
  return true;
}

bool is_held_out(const Object& object) { return held_out(object.colour, object.kind); }

bool holds_held_out(const Scene& scene) {
  return std::any_of(scene.objects.begin(), scene.objects.end(), is_held_out);
}

// Whether the scene has what the edit needs and the edit changes it visibly: a swap of two shapes
// of the same colour and size would change little more than their outlines.
bool possible(const Scene& source, const Edit& edit) {
  const size_t count = source.objects.size();
  switch (edit.operation) {
    case EditOperation::kRecolour:
      return source.objects[edit.object].colour != edit.colour;
    case EditOperation::kAdd:
      return count < static_cast<size_t>(kMaxObjects);
    case EditOperation::kRemove:
      return count > 1;
    case EditOperation::kResize:
      return source.objects[edit.object].size != edit.size;
    case EditOperation::kSwap:
      return source.objects[edit.object].colour != source.objects[edit.other].colour;
    case EditOperation::kBackground: {
      const Rgb& old = source.background.rgb;
      const Rgb fresh = middle(kToneRanges[static_cast<size_t>(edit.tone)]);
      return std::hypot(old.r - fresh.r, old.g - fresh.g, old.b - fresh.b) > kLeastStep;
    }
    case EditOperation::kMove:
      break;
  }
  return true;
}

Edit draw_edit(EditOperation operation, size_t count, RandomStream& random) {
  Edit edit;
  edit.operation = operation;
  edit.object = static_cast<size_t>(random.below(static_cast<int64_t>(count)));
  edit.other = static_cast<size_t>(random.below(static_cast<int64_t>(count)));
  edit.colour = any<Colour>(kColours, random);
  edit.kind = any<Kind>(kKinds, random);
  edit.size = any<Size>(kSizes, random);
  edit.place = any<Place>(kPlaces, random);
  edit.direction = any<Direction>(kDirections, random);
  edit.tone = any<Tone>(kTones, random);
  return edit;
}

bool sound(const Scene& source, const Edit& edit) {
  if (!possible(source, edit)) return false;
  const Scene target = apply(source, edit);
  return distinct(target) && well_placed(target);
}

}  // namespace

Scene apply(const Scene& source, const Edit& edit) {
  Scene scene = source;
  const auto erased = scene.objects.begin() + static_cast<int64_t>(edit.object);
  switch (edit.operation) {
    case EditOperation::kRecolour:
      erased->colour = edit.colour;
      erased->rgb = shade(edit.colour);
      break;
    case EditOperation::kMove:
      move(*erased, edit.direction);
      break;
    case EditOperation::kAdd:
      scene.objects.push_back(new_object(edit));
      break;
    case EditOperation::kRemove:
      scene.objects.erase(erased);
      break;
    case EditOperation::kResize:
      erased->size = edit.size;
      erased->scale = plain_scale(edit.size);
      break;
    case EditOperation::kSwap:
      std::swap(erased->x, scene.objects[edit.other].x);
      std::swap(erased->y, scene.objects[edit.other].y);
      break;
    case EditOperation::kBackground:
      scene.background.tone = edit.tone;
      scene.background.rgb = middle(kToneRanges[static_cast<size_t>(edit.tone)]);
      break;
  }
  return scene;
}

Split split_of(const Scene& source, const Edit& edit) {
  const auto held = [&](size_t object) { return is_held_out(source.objects[object]); };
  const bool new_colour = edit.operation == EditOperation::kRecolour &&
                          held_out(edit.colour, source.objects[edit.object].kind);
  const bool unseen = edit.operation == EditOperation::kAdd ? held_out(edit.colour, edit.kind)
                      : edit.operation == EditOperation::kBackground ? holds_held_out(source)
                      : edit.operation == EditOperation::kSwap
                          ? held(edit.object) || held(edit.other)
                          : held(edit.object) || new_colour;
  return unseen ? Split::kUnseen : Split::kSeen;
}

SceneEdit random_edit(at::Generator& generator, Split split) {
  RandomStream random(generator);
  const auto operation = any<EditOperation>(kOperations, random);
  while (true) {
    const bool held = split == Split::kUnseen && random.chance(0.5);
    const Scene source = random_scene(generator, held ? Split::kUnseen : Split::kSeen);
    if (!distinct(source)) continue;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const Edit edit = draw_edit(operation, source.objects.size(), random);
      if (split_of(source, edit) == split && sound(source, edit))
        return {source, edit, apply(source, edit)};
    }
  }
}

std::optional<Edit> other_edit(const SceneEdit& drawn, RandomStream& random) {
  for (int attempt = 0; attempt < 4 * kTries; ++attempt) {
    const Edit edit =
        draw_edit(any<EditOperation>(kOperations, random), drawn.source.objects.size(), random);
    if (edit.operation == EditOperation::kBackground && !random.chance(kOtherBackground)) continue;
    const bool elsewhere = subject(drawn.source, edit) != subject(drawn.source, drawn.edit) &&
                           edit.operation != EditOperation::kSwap &&
                           split_of(drawn.source, edit) == Split::kSeen;
    if (elsewhere && sound(drawn.source, edit)) return edit;
  }
  return std::nullopt;
}

}  // namespace world
