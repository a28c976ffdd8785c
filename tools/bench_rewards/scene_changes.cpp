#include "tools/bench_rewards/scene_changes.hpp"

#include <optional>
#include <set>
#include <utility>

#include "data/world/edit.hpp"

namespace tools {
namespace {

constexpr int kTriesOfAKind = 40;

using world::Edit;
using world::EditOperation;
using world::RandomStream;
using world::Scene;
using Changed = std::optional<Scene>;  // none where the scene does not allow the change

template <typename Value>
Value any_of(int64_t count, RandomStream& random) {
  return static_cast<Value>(random.below(count));
}

size_t any_object(const Scene& scene, RandomStream& random) {
  return any_of<size_t>(static_cast<int64_t>(scene.objects.size()), random);
}

Changed recoloured(const Scene& scene, RandomStream& random) {
  return world::apply(scene, {.operation = EditOperation::kRecolour,
                              .object = any_object(scene, random),
                              .colour = any_of<world::Colour>(world::kColours, random)});
}

Changed reshaped(const Scene& scene, RandomStream& random) {
  Scene changed = scene;
  changed.objects[any_object(scene, random)].kind = any_of<world::Kind>(world::kKinds, random);
  return changed;
}

Changed resized(const Scene& scene, RandomStream& random) {
  return world::apply(scene, {.operation = EditOperation::kResize,
                              .object = any_object(scene, random),
                              .size = any_of<world::Size>(world::kSizes, random)});
}

Changed displaced(const Scene& scene, RandomStream& random) {
  return world::apply(scene, {.operation = EditOperation::kMove,
                              .object = any_object(scene, random),
                              .direction = any_of<world::Direction>(world::kDirections, random)});
}

Changed with_other_background(const Scene& scene, RandomStream& random) {
  return world::apply(scene, {.operation = EditOperation::kBackground,
                              .tone = any_of<world::Tone>(world::kTones, random)});
}

Changed with_another_object(const Scene& scene, RandomStream& random) {
  if (scene.objects.size() >= static_cast<size_t>(world::kMaxObjects)) return std::nullopt;
  return world::apply(scene, {.operation = EditOperation::kAdd,
                              .colour = any_of<world::Colour>(world::kColours, random),
                              .kind = any_of<world::Kind>(world::kKinds, random),
                              .size = any_of<world::Size>(world::kSizes, random),
                              .place = any_of<world::Place>(world::kPlaces, random)});
}

Changed without_an_object(const Scene& scene, RandomStream& random) {
  if (scene.objects.size() < 2) return std::nullopt;
  return world::apply(scene,
                      {.operation = EditOperation::kRemove, .object = any_object(scene, random)});
}

Changed with_places_exchanged(const Scene& scene, RandomStream& random) {
  const size_t one = any_object(scene, random), other = any_object(scene, random);
  if (one == other) return std::nullopt;
  return world::apply(scene, {.operation = EditOperation::kSwap, .object = one, .other = other});
}

Changed with_colours_exchanged(const Scene& scene, RandomStream& random) {
  const size_t one = any_object(scene, random), other = any_object(scene, random);
  if (scene.objects[one].kind == scene.objects[other].kind) return std::nullopt;
  Scene changed = scene;
  std::swap(changed.objects[one].colour, changed.objects[other].colour);
  std::swap(changed.objects[one].rgb, changed.objects[other].rgb);
  return changed;
}

struct SceneChange {
  const char* name;
  Changed (*draw)(const Scene& scene, RandomStream& random);
};

const std::vector<SceneChange>& scene_changes() {
  static const std::vector<SceneChange> rows{{"colour", recoloured},
                                             {"shape", reshaped},
                                             {"size", resized},
                                             {"place", displaced},
                                             {"relation", with_places_exchanged},
                                             {"binding", with_colours_exchanged},
                                             {"background", with_other_background},
                                             {"added", with_another_object},
                                             {"missing", without_an_object}};
  return rows;
}

// Equal for scenes that show the same.
std::vector<double> contents_of(const Scene& scene) {
  std::vector<double> contents{static_cast<double>(scene.background.tone), scene.background.rgb.r};
  for (const auto& object : scene.objects)
    contents.insert(contents.end(),
                    {static_cast<double>(object.kind), static_cast<double>(object.colour),
                     object.rgb.r, object.scale, object.x, object.y});
  return contents;
}

}  // namespace

std::vector<ChangedScene> changed_scenes(const Scene& source,
                                         size_t most,
                                         RandomStream& random,
                                         const std::function<bool(const Scene&)>& keep) {
  std::set<std::vector<double>> known{contents_of(source)};
  std::vector<std::vector<ChangedScene>> by_kind;
  for (const auto& change : scene_changes()) {
    auto& own = by_kind.emplace_back();
    for (int attempt = 0; attempt < kTriesOfAKind && own.size() < most; ++attempt) {
      auto scene = change.draw(source, random);
      if (!scene || !well_placed(*scene) || !keep(*scene)) continue;
      if (known.insert(contents_of(*scene)).second) own.push_back({std::move(*scene), change.name});
    }
  }
  std::vector<ChangedScene> changed;
  for (size_t round = 0; round < most; ++round) {
    for (auto& own : by_kind) {
      if (round < own.size() && changed.size() < most) changed.push_back(std::move(own[round]));
    }
  }
  return changed;
}

}  // namespace tools
