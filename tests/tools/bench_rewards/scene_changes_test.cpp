#include "tools/bench_rewards/scene_changes.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <set>

#include "data/world/caption.hpp"
#include "data/world/match.hpp"

namespace {

TEST(SceneChanges, BreakTheCaptionOneOfEachKindFirst) {
  auto generator = at::detail::createCPUGenerator(1);
  std::set<std::string> kinds;
  for (int i = 0; i < 60; ++i) {
    const auto scene = world::random_scene(generator, world::Split::kSeen);
    const auto claims = world::parse_caption(world::caption(scene, generator));
    world::RandomStream random(generator);
    const auto changed = tools::changed_scenes(scene, 9, random, [&](const world::Scene& one) {
      return !world::match(claims, world::truth(one)).exact;
    });
    ASSERT_GE(changed.size(), 2u);
    EXPECT_LE(changed.size(), 9u);
    std::set<std::string> own;
    for (const auto& one : changed) {
      EXPECT_TRUE(world::well_placed(one.scene)) << one.change;
      EXPECT_FALSE(world::match(claims, world::truth(one.scene)).exact) << one.change;
      EXPECT_FALSE(at::equal(world::render(one.scene), world::render(scene))) << one.change;
      if (own.insert(one.change).second) kinds.insert(one.change);
    }
    EXPECT_NE(changed[0].change, changed[1].change);
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"colour", "shape", "size", "place", "relation", "binding",
                                          "background", "added", "missing"}));
}

TEST(SceneChanges, OfEqualStreamsAreEqualAndMayBeNone) {
  auto generator = at::detail::createCPUGenerator(2);
  const auto scene = world::random_scene(generator, world::Split::kSeen);
  const auto drawn = [&](bool keep) {
    auto seeded = at::detail::createCPUGenerator(3);
    world::RandomStream random(seeded);
    return tools::changed_scenes(scene, 4, random, [&](const world::Scene&) { return keep; });
  };
  const auto once = drawn(true), again = drawn(true);
  ASSERT_EQ(once.size(), 4u);
  for (size_t i = 0; i < once.size(); ++i)
    EXPECT_TRUE(at::equal(world::render(once[i].scene), world::render(again[i].scene)));
  EXPECT_TRUE(drawn(false).empty());
}

}  // namespace
