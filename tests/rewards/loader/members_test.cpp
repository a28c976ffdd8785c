#include "rewards/loader/members.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "rewards/combine/combine.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

// Three members; two images.
rewards::Reward three_members() {
  return rewards::ensemble_reward({.name = "taste"}, 3, [](const rewards::RewardBatch&) {
    return at::tensor({1.0f, 2.0f, 6.0f, 4.0f, 4.0f, 4.0f}).view({2, 3});
  });
}
const rewards::RewardBatch& two_images() {
  static const rewards::RewardBatch batch{at::zeros({2, 3, 4, 4}), {"", ""}};
  return batch;
}

TEST(EnsembleReward, IsTheMeanOfItsMembersAndKnowsTheirVariance) {
  const auto reward = three_members();
  EXPECT_TRUE(at::allclose(reward.score(two_images()), at::tensor({3.0f, 4.0f})));
  EXPECT_TRUE(at::allclose(reward.disagreement(two_images()), at::tensor({14.0f / 3, 0.0f})));
  EXPECT_EQ(reward.members(two_images()).sizes(), at::IntArrayRef({2, 3}));
}

TEST(EnsembleReward, OfRewardsStacksTheirScores) {
  const auto constant = [](float value) {
    return rewards::Reward{.info = {.name = "one"},
                           .score = [value](const rewards::RewardBatch& batch) {
                             return at::full({batch.images.size(0)}, value);
                           }};
  };
  const auto reward = rewards::ensemble_reward({.name = "both"}, {constant(1), constant(4)});
  EXPECT_EQ(reward.member_count, 2);
  EXPECT_TRUE(at::equal(reward.score(two_images()), at::tensor({2.5f, 2.5f})));
}

TEST(MemberRewards, ShareTheWeightAndFormOneGroup) {
  const auto members = rewards::member_rewards(three_members(), 6);
  ASSERT_EQ(members.size(), 3U);
  EXPECT_EQ(members[1].reward.info.name, "taste.2");
  EXPECT_EQ(members[1].weight, 2);
  EXPECT_TRUE(at::equal(members[2].reward.score(two_images()), at::tensor({6.0f, 4.0f})));
  EXPECT_TRUE(members[0].reward.disagreement);
  EXPECT_FALSE(members[1].reward.disagreement);  // the same again
  auto all = members;
  all.push_back({{.info = {.name = "other"}, .score = {}}, 1});
  EXPECT_EQ(rewards::member_groups(all), (std::vector<std::vector<int64_t>>{{0, 1, 2}, {3}}));
  EXPECT_TRUE(rewards::member_groups({all.back()}).empty());
  // The worst member, on the scale of the whole reward.
  auto options = rewards::combine_options(members);
  options.aggregate.kind = &rewards::aggregate_by_name("min");
  const auto raw = rewards::score_all(members, two_images());
  EXPECT_TRUE(at::allclose(rewards::combine(raw, {}, options).total, at::tensor({6.0f, 24.0f})));
}

TEST(MemberRewards, RefuseARewardWithoutMembers) {
  const rewards::Reward plain{.info = {.name = "brightness"}, .score = {}};
  const auto said = refusal([&] { rewards::member_rewards(plain, 1); });
  EXPECT_NE(said.find("brightness has no members"), std::string::npos) << said;
}

TEST(RewardOfMembers, ReadsTheSuffixAlone) {
  EXPECT_EQ(rewards::reward_of_members("aesthetic.members"), "aesthetic");
  EXPECT_FALSE(rewards::reward_of_members("aesthetic"));
  EXPECT_FALSE(rewards::reward_of_members(".members"));
}

TEST(ListedMembers, ComeBackAsWritten) {
  const fs::path folder = tests::fresh_folder("listed_members");
  fs::create_directories(folder / "clip");
  data::write_file(folder / "1.safetensors", "x");
  EXPECT_TRUE(rewards::listed_members(folder).empty());
  rewards::write_member_list(
      folder, {{folder / "1.safetensors", folder / "clip"}, {folder / "1.safetensors", {}}});
  const auto members = rewards::listed_members(folder);
  ASSERT_EQ(members.size(), 2U);
  EXPECT_TRUE(fs::equivalent(members[0].weights, folder / "1.safetensors"));
  EXPECT_TRUE(fs::equivalent(members[0].clip, folder / "clip"));
  EXPECT_TRUE(members[1].clip.empty());
  rewards::write_member_list(folder, {});
  EXPECT_TRUE(rewards::listed_members(folder).empty());
}

TEST(ListedMembers, NameWhatIsWrong) {
  const fs::path folder = tests::fresh_folder("listed_members");
  const auto said = [&](const std::string& text) {
    data::write_file(folder / "members.json", text);
    return refusal([&] { rewards::listed_members(folder); });
  };
  EXPECT_NE(said("{\"members\": []}").find("expected a list of 1 to 64"), std::string::npos);
  EXPECT_NE(said("{\"members\": [{}]}").find("member 1: expected an object"), std::string::npos);
  EXPECT_NE(said("{\"members\": [{\"weights\": \"gone\"}]}").find("gone is missing"),
            std::string::npos);
  EXPECT_NE(said("{\"members\": [{\"weights\": 3}]}").find("expected a path, found 3"),
            std::string::npos);
}

}  // namespace
