#include "rewards/labels/cross_fit.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace {

using rewards::cross_fitted_votes;
using rewards::LabelledPair;

constexpr int64_t kPairs = 60;

// Pair i is of prompt i and of images 2 i and 2 i + 1; its first feature decides, the second is
// noise.
at::Tensor features() {
  auto generator = at::detail::createCPUGenerator(5);
  return at::randn({kPairs, 2}, generator, at::kDouble);
}
std::vector<LabelledPair> labels_of(const at::Tensor& differences) {
  std::vector<LabelledPair> pairs;
  for (int64_t i = 0; i < differences.size(0); ++i)
    pairs.push_back({.prompt = i,
                     .a = 2 * i,
                     .b = 2 * i + 1,
                     .p = differences[i][0].item<double>() > 0 ? 1.0 : 0.0});
  return pairs;
}

TEST(CrossFit, VotesForTheTruthAgainstAWrongLabel) {
  const at::Tensor differences = features();
  auto pairs = labels_of(differences);
  const auto truth = pairs;
  for (size_t i = 0; i < pairs.size(); i += 6) pairs[i].p = 1 - pairs[i].p;
  const auto fit = cross_fitted_votes(differences, pairs, 2 * kPairs, {.members = 3});
  EXPECT_STREQ(fit.unit, "prompts");
  ASSERT_EQ(fit.votes.sizes(), (at::IntArrayRef{kPairs, 3}));
  int64_t right = 0;
  for (int64_t i = 0; i < kPairs; ++i)
    right += (fit.votes[i].mean().item<double>() > 0) == (truth[static_cast<size_t>(i)].p > 0.5);
  EXPECT_GE(right, 54);  // 90 %, where the labels have 83 %
}

TEST(CrossFit, JudgesAPairWithoutHavingSeenItsLabel) {
  const at::Tensor differences = features();
  auto pairs = labels_of(differences);
  const auto before = cross_fitted_votes(differences, pairs, 2 * kPairs, {.members = 2});
  pairs[7].p = 1 - pairs[7].p;
  const auto after = cross_fitted_votes(differences, pairs, 2 * kPairs, {.members = 2});
  EXPECT_TRUE(at::equal(before.votes[7], after.votes[7]));
  EXPECT_FALSE(at::equal(before.votes, after.votes));  // it taught those who judge others
}

TEST(CrossFit, GivesTheSameBitsForTheSameSeedAndOthersForAnother) {
  const at::Tensor differences = features();
  const auto pairs = labels_of(differences);
  const auto votes = [&](uint64_t seed) {
    return cross_fitted_votes(differences, pairs, 2 * kPairs, {.members = 2, .seed = seed}).votes;
  };
  EXPECT_TRUE(at::equal(votes(1), votes(1)));
  EXPECT_FALSE(at::equal(votes(1), votes(2)));
}

TEST(CrossFit, DoesNotDependOnTheUnitOfAFeature) {
  const at::Tensor differences = features();
  const auto pairs = labels_of(differences);
  const at::Tensor scaled = differences * at::tensor({1e4, 1e-3}, at::kDouble);
  EXPECT_TRUE(at::allclose(cross_fitted_votes(differences, pairs, 2 * kPairs, {.members = 2}).votes,
                           cross_fitted_votes(scaled, pairs, 2 * kPairs, {.members = 2}).votes,
                           1e-5, 1e-6));
}

TEST(CrossFit, LeavesPairsBetweenFoldsWithoutAVote) {
  // Every picture was compared with every other one: pictures are divided, and a pair of two folds
  // can be judged by nobody.
  std::vector<LabelledPair> pairs;
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < i; ++j) pairs.push_back({.prompt = -1, .a = i, .b = j, .p = 1});
  }
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor differences =
      at::randn({static_cast<int64_t>(pairs.size()), 1}, generator, at::kDouble).abs();
  const auto fit = cross_fitted_votes(differences, pairs, 12, {.members = 1});
  EXPECT_STREQ(fit.unit, "images");
  const auto unknown = fit.votes.isnan().sum().item<int64_t>();
  EXPECT_EQ(unknown, 36);  // 6 x 6 between two folds of six
}

TEST(CrossFit, RefusesFeaturesOfOtherPairs) {
  EXPECT_THROW(cross_fitted_votes(at::zeros({3, 1}, at::kDouble), {{.a = 0, .b = 1}}, 2, {}),
               c10::Error);
}

}  // namespace
