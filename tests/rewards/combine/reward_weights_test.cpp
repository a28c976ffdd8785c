#include "rewards/combine/reward_weights.hpp"

#include <gtest/gtest.h>

#include "data/base/error.hpp"

namespace {

std::string message_of(const std::string& specification) {
  try {
    rewards::parse_reward_weights(specification);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(ParseRewardWeights, NamesAndWeightsInOrder) {
  const auto weights = rewards::parse_reward_weights(
      "aesthetic=1, clip_score:0.5,jpeg_compressibility=-2e-1,oracle");
  ASSERT_EQ(weights.size(), 4u);
  EXPECT_EQ(weights[1].name, "clip_score");
  EXPECT_EQ(weights[1].weight, 0.5);
  EXPECT_EQ(weights[2].weight, -0.2);
  EXPECT_EQ(weights[3].name, "oracle");
  EXPECT_EQ(weights[3].weight, 1);
}

TEST(ParseRewardWeights, RefusesWhatIsNotAWeight) {
  EXPECT_NE(message_of("").find("found nothing"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=").find("found ''"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=two").find("'two'"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=nan").find("nan"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=0").find("other than 0"), std::string::npos);
  EXPECT_NE(message_of("a=1,,b=1").find("NAME"), std::string::npos);
  EXPECT_NE(message_of("a=1,b=2,a=3").find("twice"), std::string::npos);
}

}  // namespace
