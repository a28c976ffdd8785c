// bon-curve's ensembles.

#include "tools/score/proxies.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"
#include "tools/score/curve_chart.hpp"

namespace {

constexpr int64_t kPrompts = 40, kImages = 16;

// Images whose members see the gold reward with errors of their own; the first one's are large.
tools::ScoredImages drawn_images() {
  auto generator = at::detail::createCPUGenerator(5);
  const auto noise = [&](double scale) {
    return scale * at::randn({kPrompts * kImages}, generator, at::kDouble);
  };
  tools::ScoredImages images{.gold = noise(1),
                             .names = {"aesthetic.1", "aesthetic.2", "aesthetic.3", "other"},
                             .columns = {},
                             .prompts = {},
                             .members = {0, 1, 2}};
  images.columns = at::stack(
      {images.gold + noise(3), images.gold + noise(0.5), images.gold + noise(0.5), noise(1)}, 1);
  for (int64_t i = 0; i < kPrompts * kImages; ++i) images.prompts.push_back(i / kImages);
  return images;
}

double gold_of_best(const tools::ScoredImages& images, const std::string& proxy) {
  const auto curve =
      tools::curve_of(tools::parse_proxies(proxy, images)[0], images, {.k = 0.5, .nominal = 0.5});
  EXPECT_EQ(curve.back().n, kImages);
  return curve.back().gold;
}

// The mean gold of each prompt's image with the highest score, in a plain loop.
double gold_of_highest(const at::Tensor& score, const tools::ScoredImages& images) {
  const auto rows = score.view({kPrompts, kImages}).argmax(1, true);
  return images.gold.view({kPrompts, kImages}).gather(1, rows).mean().item<double>();
}

TEST(Proxies, GoldIsReorderedWithEachEnsemble) {
  // A published evaluation sorts the answers by the ensemble's score and leaves the gold scores in
  // the first member's order: all its curves are then that member's.
  const auto images = drawn_images();
  const auto z = tools::standardised_members(images);
  const double single = gold_of_best(images, "aesthetic.1"), mean = gold_of_best(images, "mean"),
               least = gold_of_best(images, "min");
  EXPECT_NEAR(single, gold_of_highest(images.columns.select(1, 0), images), 1e-12);
  EXPECT_NEAR(mean, gold_of_highest(z.mean(1), images), 1e-12);
  EXPECT_NEAR(least, gold_of_highest(std::get<0>(z.min(1)), images), 1e-12);
  EXPECT_NEAR(gold_of_best(images, "uncertainty"),
              gold_of_highest(z.mean(1) - 0.5 * z.var(1, false), images), 1e-12);
  EXPECT_GT(mean, single + 0.2);
  EXPECT_GT(std::abs(mean - least), 0.01);
}

TEST(Proxies, RobustIsTheBestWorstCaseOfItsMixtures) {
  auto images = drawn_images();
  auto generator = at::detail::createCPUGenerator(6);
  images.columns.select(1, 0).copy_(at::randn({kPrompts * kImages}, generator, at::kDouble));
  const auto z = tools::standardised_members(images);
  const int64_t nominal = (z - z.mean(1, true)).square().mean(0).argmin().item<int64_t>();
  double highest = -1e9, gold = 0;
  for (int64_t m = 0; m < 3; ++m) {
    const auto score = 0.5 * z.select(1, nominal) + 0.5 * z.select(1, m);
    const auto rows = score.view({kPrompts, kImages}).argmax(1, true);
    const auto gains =  // of each member, on the images selected
        z.view({kPrompts, kImages, 3})
            .gather(1, rows.unsqueeze(2).expand({kPrompts, 1, 3}))
            .flatten(0, 1)
            .mean(0);
    const double value = 0.5 * gains[nominal].item<double>() + 0.5 * gains.min().item<double>();
    if (value <= highest) continue;
    highest = value;
    gold = gold_of_highest(score, images);
  }
  EXPECT_NEAR(gold_of_best(images, "robust"), gold, 1e-12);
}

TEST(Proxies, AreMinusTheirPromptsMeanInDeviations) {
  const auto z = tools::standardised_members(drawn_images()).view({kPrompts, kImages, 3});
  EXPECT_LT(z.mean(1).abs().max().item<double>(), 1e-12);
  EXPECT_NEAR(z.var(1, true).mean().item<double>(), 1, 1e-9);
}

TEST(Proxies, NameWhatIsNotThere) {
  auto images = drawn_images();
  const auto said = [&](const std::string& list) {
    return refusal([&] { tools::parse_proxies(list, images); });
  };
  EXPECT_NE(said("none").find("found 'none'"), std::string::npos);
  EXPECT_NE(said(" , ").find("at least one reward"), std::string::npos);
  images.members.clear();
  EXPECT_NE(said("min").find("expected scores of members"), std::string::npos);
}

TEST(MemberColumns, AreThoseOfOneReward) {
  EXPECT_EQ(tools::member_columns({"a.1", "b", "a.2", "hpsv2.1"}, ""),
            (std::vector<int64_t>{0, 2}));
  EXPECT_TRUE(tools::member_columns({"hpsv2.1", "b"}, "").empty());
  EXPECT_EQ(tools::member_columns({"a.1", "a.2", "b.1", "b.2"}, "b"), (std::vector<int64_t>{2, 3}));
  const auto said = refusal([] { tools::member_columns({"a.1", "a.2", "b.1", "b.2"}, ""); });
  EXPECT_NE(said.find("rewards with members (a, b)"), std::string::npos) << said;
}

TEST(CurveChart, DrawsALineForEachCurve) {
  const std::vector<rewards::BestOfPoint> points{{.n = 1, .kl = 0, .gold = 1},
                                                 {.n = 2, .kl = 0.2, .gold = 2}};
  const std::string svg = tools::curve_chart({{"min", points}, {"a<b", points}}, "oracle");
  EXPECT_NE(svg.find(">min</text>"), std::string::npos);
  EXPECT_NE(svg.find(">a&lt;b</text>"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  size_t lines = 0;
  for (size_t at = svg.find("<polyline"); at != std::string::npos;
       at = svg.find("<polyline", at + 1))
    ++lines;
  EXPECT_EQ(lines, 2U);
}

}  // namespace
