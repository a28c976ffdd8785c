#include "tools/sample/guides/kinds.hpp"

#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"
#include "tools/sample/guides/competition.hpp"
#include "tools/sample/guides/gradient.hpp"
#include "tools/sample/guides/noise_search.hpp"

namespace {

TEST(GuideKinds, AreReadByName) {
  EXPECT_TRUE(tools::parse_guide("").empty());
  const auto guide = tools::parse_guide("gradient=0.25,particles=4");
  EXPECT_EQ(tools::value_of(guide, tools::kParticlesGuide), 4);
  EXPECT_EQ(tools::value_of(guide, tools::kGradientGuide), 0.25);
  EXPECT_EQ(tools::value_of(guide, tools::kNoiseGuide), 0);
  EXPECT_EQ(tools::candidates_of(guide), 4);
  EXPECT_EQ(tools::candidates_of(tools::parse_guide("gradient=0.25")), 1);
  EXPECT_EQ(tools::candidates_of(tools::parse_guide("noise=12")), 12);
  for (const auto* kind : tools::guide_kinds())
    EXPECT_EQ(tools::parse_guide(kind->example).front().kind, kind);
}

TEST(GuideKinds, ThatCannotBeReadAreRefused) {
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"particle=4",
            "expected some of particles=4, per_step=4, noise=8, gradient=0.1, found "
            "'particle=4'"},
           {"particles", "found 'particles'"},
           {"particles=1", "particles: expected a whole number from 2 to 256, found '1'"},
           {"particles=2.5", "found '2.5'"},
           {"per_step=x", "per_step: expected a whole number from 2 to 256, found 'x'"},
           {"noise=1", "noise: expected a whole number from 2 to 10000, found '1'"},
           {"gradient=nan", "gradient: expected a number above 0"},
           {"gradient=0.1,gradient=0.2", "expected gradient once, found it twice"},
           {"noise=4,particles=4", "expected noise or particles, found both"},
           {"particles=4,", "found ''"}})
    EXPECT_NE(refusal([&, t = text] { tools::parse_guide(t); }).find(expected), std::string::npos)
        << text << refusal([&, t = text] { tools::parse_guide(t); });
}

TEST(GuideKinds, SamplesThatCompeteStayInOneBatch) {
  const auto particles = tools::parse_guide("particles=4"), noise = tools::parse_guide("noise=4");
  EXPECT_EQ(tools::guided_batch(particles, 10), 8);
  EXPECT_EQ(tools::guided_batch(particles, 3), 4);
  EXPECT_EQ(tools::guided_batch(noise, 3), 3);
  EXPECT_EQ(tools::guided_batch({}, 3), 3);
}

TEST(GuideKinds, ASearchHasRounds) {
  tools::GuideConfig config;
  config.round = 4;
  EXPECT_EQ(tools::round_of(tools::parse_guide("noise=12"), config), 4);
  EXPECT_EQ(tools::round_of(tools::parse_guide("noise=3"), config), 3);
  EXPECT_EQ(tools::round_of(tools::parse_guide("particles=12"), config), 12);
}

TEST(GuideKinds, TheCandidatesAreTheBestOfWhat) {
  int64_t best_of = 1;
  tools::resolve_candidates(tools::parse_guide("gradient=0.1"), best_of);
  EXPECT_EQ(best_of, 1);
  tools::resolve_candidates(tools::parse_guide("per_step=3"), best_of);
  EXPECT_EQ(best_of, 3);
  EXPECT_NE(refusal([&] {
              tools::resolve_candidates(tools::parse_guide("noise=3"), best_of);
            }).find("--best_of: the best of the guide's samples is written"),
            std::string::npos);
}

}  // namespace
