#pragma once

// Changes of a scene of the built-in world, each of one kind of claim that a caption can make.

#include <functional>
#include <string>
#include <vector>

#include "data/world/random_stream.hpp"
#include "data/world/scene.hpp"

namespace tools {

struct ChangedScene {
  world::Scene scene;
  std::string change;  // "colour", "shape", "binding", ..
};

// Up to `most` random changes of the source that `keep` accepts, of distinct scenes, one of each
// kind first. All are well placed.
std::vector<ChangedScene> changed_scenes(const world::Scene& source,
                                         size_t most,
                                         world::RandomStream& random,
                                         const std::function<bool(const world::Scene&)>& keep);

}  // namespace tools
