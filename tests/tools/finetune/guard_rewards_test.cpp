#include "tools/finetune/guard_rewards.hpp"

#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"
#include "tools/cli/reward_options.hpp"

namespace {

using Names = std::vector<std::string>;

Names chosen(const Names& trained,
             const std::string& guard_rewards,
             const Names& evaluated,
             bool synthetic,
             const std::string& mode = "auto",
             const Names& definitions = {}) {
  tools::TrainingCommand command;
  for (const auto& name : trained) command.trained_rewards.push_back({name, 1});
  command.guard_rewards = guard_rewards;
  command.sources.define = definitions;
  std::vector<rewards::RewardWeight> also;
  for (const auto& name : evaluated) also.push_back({name, 1});
  return tools::choose_guard_rewards(command, mode, also,
                                     tools::reward_sources(command.sources, at::kCPU), synthetic);
}

TEST(GuardRewards, ShareNoWeightsWithWhatIsTrained) {
  EXPECT_EQ(chosen({"aesthetic", "clip_score"}, "auto", {"oracle"}, true),
            (Names{"clip_score@judge", "social"}));
  EXPECT_EQ(chosen({"social"}, "auto", {}, true),
            (Names{"aesthetic", "clip_score", "clip_score@judge", "lvlm"}));
  EXPECT_EQ(chosen({"clip_score@judge"}, "auto", {}, true),
            (Names{"aesthetic", "clip_score", "social", "lvlm"}));
  EXPECT_EQ(chosen({"brightness"}, "auto", {}, true),
            (Names{"aesthetic", "clip_score", "clip_score@judge", "social", "lvlm"}));
  EXPECT_EQ(chosen({"mix"}, "auto", {}, true, "auto", {"mix=0.5*social + brightness"}),
            (Names{"aesthetic", "clip_score", "clip_score@judge", "lvlm"}));
}

TEST(GuardRewards, OfARealModelAreThoseThatWereNamed) {
  EXPECT_EQ(chosen({"aesthetic"}, "auto", {}, false), Names{});
  EXPECT_EQ(chosen({"aesthetic"}, "auto", {"social", "brightness", "oracle"}, false),
            Names{"social"});
  const std::string server = "far=http://127.0.0.1:1/score";
  EXPECT_EQ(chosen({"aesthetic"}, "auto", {}, false, "auto", {server}), Names{});
  EXPECT_EQ(chosen({"aesthetic"}, "auto", {"far"}, false, "auto", {server}), Names{"far"});
}

TEST(GuardRewards, AreThoseOfTheOptionWhereItNamesSome) {
  EXPECT_EQ(chosen({"aesthetic"}, "lvlm,oracle", {}, true), (Names{"lvlm", "oracle"}));
  EXPECT_EQ(chosen({"aesthetic"}, "", {}, true), Names{});
  EXPECT_EQ(chosen({"aesthetic"}, "auto", {}, true, "off"), Names{});
  EXPECT_EQ(chosen({}, "auto", {"oracle"}, true), Names{});
  EXPECT_NE(refusal([] { chosen({"aesthetic"}, "socail", {}, true); }).find("did you mean social"),
            std::string::npos);
}

}  // namespace
