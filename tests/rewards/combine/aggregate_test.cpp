#include "rewards/combine/aggregate.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/refusal.hpp"

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

at::Tensor rows(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}
double at_row(const at::Tensor& x, int64_t i) { return x[i].item<double>(); }

TEST(RankWithin, CountsInsideTheGroupAndSharesTies) {
  // Group 0: 5, 1, 5, NaN; group 1: -3.
  const at::Tensor x = rows({5, 1, -3, 5, kNan}, 1);
  const at::Tensor ranks = data::rank_within(x, {0, 0, 1, 0, 0}).squeeze(1);
  EXPECT_DOUBLE_EQ(at_row(ranks, 0), 2.5 / 3);
  EXPECT_DOUBLE_EQ(at_row(ranks, 1), 1.0 / 3);
  EXPECT_DOUBLE_EQ(at_row(ranks, 2), 1);
  EXPECT_DOUBLE_EQ(at_row(ranks, 3), 2.5 / 3);
  EXPECT_TRUE(std::isnan(at_row(ranks, 4)));
  const at::Tensor scaled = data::rank_within(x * 100 - 7, {0, 0, 1, 0, 0}).squeeze(1);
  EXPECT_TRUE(scaled.slice(0, 0, 4).equal(ranks.slice(0, 0, 4)));
  EXPECT_THROW(data::rank_within(x, {0, 1}), c10::Error);
}

TEST(IdsOfTexts, NumberAsTheyFirstOccur) {
  EXPECT_EQ(data::ids_of_texts({"b", "a", "b"}), (std::vector<int64_t>{0, 1, 0}));
}

TEST(RunningMoments, PiecesGiveTheWhole) {
  const at::Tensor x = rows({1, 10, 2, 10, 6, 10, kNan, 10, 7, 10}, 2);
  data::RunningMoments moments;
  data::update(moments, x.slice(0, 0, 2));
  data::update(moments, x.slice(0, 2, 5));
  EXPECT_EQ(moments.count, 4);  // the row with a NaN is left out
  EXPECT_DOUBLE_EQ(at_row(moments.mean, 0), 4);
  EXPECT_DOUBLE_EQ(at_row(moments.squares, 0), 9 + 4 + 4 + 9);
  const at::Tensor z = data::standardised(moments, x);
  EXPECT_NEAR(z[0][0].item<double>(), -3 / std::sqrt(26.0 / 4), 1e-12);
  EXPECT_EQ(z[0][1].item<double>(), 0);  // never varied
  EXPECT_TRUE(std::isnan(z[3][0].item<double>()));
  EXPECT_THROW(data::standardised({}, x), c10::Error);
}

TEST(Statistics, AreWrittenReadAndTiedToTheirData) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_statistics.json";
  const at::Tensor x = rows({1, 5, 3, 9}, 2);
  const auto measured = data::measure_statistics({"a", "b"}, x);
  data::write_file(path, data::statistics_text(measured));
  const auto read = data::read_statistics(path, {"b", "a"});  // asked in another order
  EXPECT_EQ(read.digest, measured.digest);
  EXPECT_EQ(measured.digest.size(), 64u);
  EXPECT_NE(data::measure_statistics({"a", "b"}, x + 1e-9).digest, measured.digest);
  EXPECT_NEAR(data::standardised(read.moments, rows({11, 4}, 2))[0][0].item<double>(), 2, 1e-12);
  EXPECT_NEAR(data::standardised(read.moments, rows({11, 4}, 2))[0][1].item<double>(), 2, 1e-12);
  EXPECT_NE(refusal([&] { data::read_statistics(path, {"c"}); }).find("mean and std of c"),
            std::string::npos);
  data::write_file(path, "{}");
  EXPECT_NE(refusal([&] { data::read_statistics(path, {"a"}); }).find("--save-statistics"),
            std::string::npos);
  EXPECT_NE(refusal([] { data::measure_statistics({"a"}, rows({1}, 1)); }).find("at least two"),
            std::string::npos);
}

TEST(Aggregate, EachKindByHand) {
  const at::Tensor x = rows({1, 2, 6, 4, 4, 4}, 3);
  const auto first = [&](const char* name, double k = 1, double tau = 1) {
    return at_row(data::aggregate(x, {data::aggregate_by_name(name), tau, k}), 0);
  };
  EXPECT_DOUBLE_EQ(first("sum"), 9);
  EXPECT_DOUBLE_EQ(first("mean"), 3);
  EXPECT_DOUBLE_EQ(first("min"), 1);
  EXPECT_NEAR(first("soft_min", 1, 1e-3), 1, 2e-3);
  EXPECT_NEAR(first("soft_min", 1, 1e6), 3, 1e-5);
  EXPECT_NEAR(first("soft_min"), -std::log((std::exp(-1) + std::exp(-2) + std::exp(-6)) / 3),
              1e-12);
  // deviations -2, -1, 3: the population's variance is 14 / 3
  EXPECT_NEAR(first("mean_std", 2), 3 - 2 * std::sqrt(14.0 / 3), 1e-12);
  EXPECT_NEAR(first("uncertainty", 0.5), 3 - 0.5 * 14 / 3, 1e-12);
  for (const char* name : {"mean", "min", "soft_min", "mean_std", "uncertainty"})
    EXPECT_NEAR(at_row(data::aggregate(x, {data::aggregate_by_name(name), 1, 1}), 1), 4, 1e-12)
        << name;  // members that agree
  EXPECT_NE(refusal([] { data::aggregate_by_name("max"); }).find("found max"), std::string::npos);
  EXPECT_THROW(data::aggregate(x, {data::Aggregate::kSoftMin, 0, 1}), c10::Error);
}

TEST(Caps, LimitWhatThereIsToEarn) {
  const auto caps = data::parse_caps("b=..2, a=-1..1", {"a", "b", "c"});
  const at::Tensor x = data::capped(rows({5, 5, 5, -5, -5, -5}, 3), caps);
  EXPECT_TRUE(x.equal(rows({1, 2, 5, -1, -5, -5}, 3)));
  for (const char* wrong : {"a", "a=2", "d=..2", "a=x..2", "a=3..2"})
    EXPECT_NE(refusal([&] { data::parse_caps(wrong, {"a"}); }).find("caps: '"), std::string::npos)
        << wrong;
}

TEST(Constraints, MultipliersRiseWhileViolatedAndFallToZero) {
  const auto constraints = data::parse_constraints("b>=4,a<=1", {"a", "b"});
  ASSERT_EQ(constraints.size(), 2u);
  const at::Tensor x = rows({0, 1, 2, 3}, 2), spreads = at::tensor({1.0, 2.0}, at::kDouble);
  // Means 1 and 2: b misses 4 by 2 (one spread), a stands at its bound.
  const at::Tensor once =
      data::stepped_multipliers(at::zeros({2}, at::kDouble), constraints, x, spreads, 0.5);
  EXPECT_DOUBLE_EQ(at_row(once, 0), 0.5);
  EXPECT_DOUBLE_EQ(at_row(once, 1), 0);
  const at::Tensor terms = data::constraint_terms(once, constraints, x, spreads);
  EXPECT_DOUBLE_EQ(at_row(terms, 1), 0.5 * 3 / 2);
  const at::Tensor back = data::stepped_multipliers(once, constraints, x + 20, spreads, 0.5);
  EXPECT_DOUBLE_EQ(at_row(back, 0), 0);         // well satisfied: never below 0
  EXPECT_DOUBLE_EQ(at_row(back, 1), 0.5 * 20);  // a is now far above 1
  for (const char* wrong : {"a", "a>1", "c>=1", "a>=x"})
    EXPECT_NE(refusal([&] {
                data::parse_constraints(wrong, {"a", "b"});
              }).find("constraints: '"),
              std::string::npos)
        << wrong;
}

}  // namespace
