#include "rewards/loader/reward_spec.hpp"

#include <gtest/gtest.h>

#include "rewards/custom/expression.hpp"
#include "rewards/custom/http_reward.hpp"
#include "rewards/registry/registry.hpp"
#include "rewards/scorers/clip_family.hpp"
#include "tests/support/refusal.hpp"

namespace {

rewards::RewardSpec parsed(const std::string& text) {
  return rewards::parse_reward_spec(text, rewards::reward_families());
}

TEST(RewardSpec, TellsItsFormsApart) {
  EXPECT_EQ(parsed("m=program:python3 a.py --x=1").argument, "python3 a.py --x=1");
  EXPECT_EQ(parsed("m=http://localhost:80/x").family, &rewards::kHttpFamily);
  EXPECT_EQ(parsed("m=https://localhost/x;a=b").argument, "https://localhost/x;a=b");
  EXPECT_EQ(parsed("m=a/b").family, &rewards::kExpressionFamily);
  const auto model = parsed("pick = pickscore:/m/x ; scale=cosine;act=gelu");
  EXPECT_EQ(model.family, &rewards::kPickscoreFamily);
  EXPECT_EQ(model.argument, "/m/x");
  EXPECT_EQ(model.settings.at("scale"), "cosine");
  for (const char* wrong : {"", "m", "m=", "=a", "1m=a", "m=program:", "m=pikscore:/x",
                            "m=clip:/x;color=red", "m=clip:/x;act", "m=clip:", "m=mps:/x;act=gelu"})
    EXPECT_NE(refusal([&] { parsed(wrong); }).find("define '"), std::string::npos) << wrong;
  EXPECT_NE(refusal([] { parsed("m=pikscore:/x"); }).find("mean pickscore?"), std::string::npos);
  EXPECT_LT(refusal([] { parsed("m=" + std::string(100000, 'a') + ":/x"); }).size(), 500u);
}

}  // namespace
