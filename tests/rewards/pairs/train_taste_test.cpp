#include "rewards/pairs/train_taste.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

using rewards::kTied;
using rewards::kWonA;
using rewards::kWonB;
using rewards::TasteAnswer;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Pairs of pictures with N(0, I) embeddings of width 6 and a reward that follows the first entry;
// the taste is 2 x the first entry + `own` x the second. Answers are drawn from the model without
// ties.
struct Drawn {
  rewards::TasteData data;
  at::Tensor taste;  // [I] the noise-free scores
};
Drawn drawn_choices(int64_t pairs, double own, uint64_t seed = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  Drawn drawn;
  drawn.data.embeddings = at::randn({2 * pairs, 6}, generator, at::kDouble);
  drawn.data.scores = 5 + 3 * drawn.data.embeddings.slice(1, 0, 1);
  drawn.data.rewards = {"generic"};
  drawn.data.people = {"Ann"};
  drawn.taste = 2 * drawn.data.embeddings.select(1, 0) + own * drawn.data.embeddings.select(1, 1);
  const at::Tensor chance = at::rand({pairs}, generator, at::kDouble);
  for (int64_t i = 0; i < pairs; ++i) {
    for (int64_t k : {2 * i, 2 * i + 1}) {
      drawn.data.images.push_back(k);
      drawn.data.prompts.push_back(-1);
    }
    const double z = (drawn.taste[2 * i] - drawn.taste[2 * i + 1]).item<double>();
    const bool a = chance[i].item<double>() < 1 / (1 + std::exp(-z));
    drawn.data.answers.push_back({2 * i, 2 * i + 1, a ? kWonA : kWonB});
  }
  return drawn;
}

TEST(TrainTaste, FeaturesHaveUnitVariance) {
  const auto data = drawn_choices(30, 0).data;
  const at::Tensor scores = at::cat({data.scores, at::full({60, 1}, 4.0, at::kDouble)}, 1);
  const auto features = rewards::taste_features(data.embeddings, scores, data.prompts);
  EXPECT_EQ(features.values.size(1), 6 + 2 + 1);
  const at::Tensor variance = features.values.square().mean(0);
  EXPECT_NEAR(variance.slice(0, 0, 6).sum().item<double>(), 1, 1e-9);
  EXPECT_NEAR(variance[6].item<double>(), 1, 1e-9);
  EXPECT_EQ(variance[7].item<double>(), 0);  // scores that do not vary
  EXPECT_LT(features.values.mean(0).abs().max().item<double>(), 1e-9);
}

TEST(TrainTaste, FeaturesAreScaledByWhatDiffersWithinAPrompt) {
  // Two prompts far apart; inside each, the images are 0.1 to either side along the first axis.
  const at::Tensor embeddings =
      at::tensor({0.1, 5.0, -0.1, 5.0, 0.1, -5.0, -0.1, -5.0}, at::kDouble).view({4, 2});
  const at::Tensor scores = at::tensor({102.0, 98.0, 2.0, -2.0}, at::kDouble).unsqueeze(1);
  const auto features = rewards::taste_features(embeddings, scores, {0, 0, 1, 1});
  EXPECT_NEAR(features.embedding_scale, 0.1, 1e-12);
  EXPECT_NEAR(features.score_scale.item<double>(), 2, 1e-12);
  const at::Tensor difference = features.values[0] - features.values[1];
  EXPECT_TRUE(at::allclose(difference, at::tensor({2.0, 0.0, 2.0, 0.0}, at::kDouble)));
  // Each image of a prompt of its own: deviations are those of all.
  EXPECT_NEAR(rewards::taste_features(embeddings, scores, {0, 1, 2, 3}).embedding_scale,
              std::sqrt(25.01), 1e-12);
}

TEST(TrainTaste, LikesAreMeasuredFromALevel) {
  auto data = drawn_choices(2, 0).data;
  data.answers = {{0, 1, kTied}, {2, -1, kWonB, 0, 3}};
  const auto features = rewards::taste_features(data.embeddings, data.scores, data.prompts);
  const auto rows = rewards::comparisons_of(data, features);
  EXPECT_TRUE(at::allclose(rows.differences[0], features.values[0] - features.values[1]));
  EXPECT_TRUE(at::equal(rows.differences[1].slice(0, 0, 7), features.values[2].slice(0, 0, 7)));
  EXPECT_GT(rows.differences[1][7].item<double>(), 1);  // the ridge hardly weighs it
  EXPECT_EQ(rows.differences[0][7].item<double>(), 0);
  EXPECT_TRUE(rows.may_tie[0].item<bool>());
  EXPECT_FALSE(rows.may_tie[1].item<bool>());
  EXPECT_EQ(rows.weights[1].item<double>(), 3);
}

TEST(TrainTaste, ASoftLabelIsTwoAnswersByHand) {
  rewards::TasteData data;
  data.answers = {{0, 1, kWonB, 0, 2, 0.75, 0.5}, {0, 1, kTied, 0, 1, 0.5}, {0, 1, kWonA}};
  const auto all = rewards::with_opposites(data).answers;
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].outcome, kWonB);
  EXPECT_EQ(all[0].weight, 1.5);
  EXPECT_EQ(all[3].outcome, kWonA);
  EXPECT_EQ(all[3].weight, 0.5);
  EXPECT_EQ(all[3].margin, 0.5);
  EXPECT_EQ(all[1].weight, 1);  // a tie stays as it is, and so does a sure answer
  EXPECT_EQ(all[2].weight, 1);
}

// Of ten answers about one pair nine are a: as one answer of weight 10 with p = 0.9.
TEST(TrainTaste, ASoftLabelFitsAsItsShareOfAnswersDoes) {
  auto drawn = drawn_choices(30, 1).data;
  rewards::TasteData repeated = drawn, soft = drawn;
  repeated.answers.clear();
  for (size_t i = 0; i < drawn.answers.size(); ++i) {
    const TasteAnswer& answer = drawn.answers[i];
    soft.answers[i].weight = 10;
    soft.answers[i].p = 0.9;
    for (int k = 0; k < 10; ++k) {
      repeated.answers.push_back(answer);
      if (k == 9) repeated.answers.back().outcome = 1 - answer.outcome;
    }
  }
  const rewards::Ridges ridges{.shared = 1};
  EXPECT_TRUE(at::allclose(rewards::fit_taste(soft, ridges).weight,
                           rewards::fit_taste(repeated, ridges).weight, 1e-7, 1e-9));
  const auto trained = rewards::train_taste(soft, 3);
  EXPECT_EQ(trained.held_out.numel(), 30);  // an answer is measured once
  EXPECT_EQ(rewards::agreement_with(trained.held_out, soft.answers).pairs, 30);
}

TEST(TrainTaste, AMarginDrivesThePreferredApart) {
  auto data = drawn_choices(60, 1).data;
  const rewards::Ridges ridges{.shared = 1};
  const auto lead = [&] {  // mean difference of the scores, winner less loser
    const auto taste = rewards::fit_taste(data, ridges);
    const auto z = rewards::taste_scores(taste, 0, data.embeddings, data.scores);
    double sum = 0;
    for (const auto& answer : data.answers)
      sum += (answer.outcome == kWonA ? 1 : -1) * (z[answer.a] - z[answer.b]).item<double>();
    return sum / 60;
  };
  const double before = lead();
  for (auto& answer : data.answers) answer.margin = 1;
  EXPECT_GT(lead(), before);
}

TEST(TrainTaste, BeatsTheGenericRewardWhereTheTasteDiffers) {
  // The reward sees 2 of (2, 3): its angle to the taste is atan(3/2) = 56 degrees, so it agrees
  // with the noise-free taste on 1 - 56/180 = 69 % of pairs. The fit of 8 numbers to 300 answers
  // with z of deviation 5.1 has the information 300 x 2 x 0.07 = 43 across the taste, so an angle
  // of about sqrt(7/43)/3.6 = 0.11 rad, 4 %: 96 %. 0.85 is between the two.
  const auto drawn = drawn_choices(300, 3);
  const auto trained = rewards::train_taste(drawn.data, 5);
  EXPECT_EQ(trained.folds.count, 5);
  const auto fresh = drawn_choices(1000, 3, 2);
  const auto scores =
      rewards::taste_scores(trained.taste, 0, fresh.data.embeddings, fresh.data.scores);
  const auto agreed = [&](const at::Tensor& of) {
    const auto pairs = of.view({1000, 2}), truth = fresh.taste.view({1000, 2});
    return (pairs.select(1, 0) - pairs.select(1, 1))
        .sign()
        .eq((truth.select(1, 0) - truth.select(1, 1)).sign())
        .to(at::kDouble)
        .mean()
        .item<double>();
  };
  EXPECT_GT(agreed(scores), 0.85);
  EXPECT_LT(agreed(fresh.data.scores.select(1, 0)), 0.75);
  EXPECT_NEAR(rewards::taste_scores(trained.taste, 0, drawn.data.embeddings, drawn.data.scores)
                  .mean()
                  .item<double>(),
              0, 1e-9);
}

TEST(TrainTaste, HeldOutAgreementIsThatOfFreshPairs) {
  const auto trained = rewards::train_taste(drawn_choices(300, 3).data, 5);
  const auto held_out =
      rewards::agreement_with(trained.held_out, drawn_choices(300, 3).data.answers);
  EXPECT_EQ(held_out.pairs, 300);
  const auto fresh = drawn_choices(2000, 3, 2).data;
  const auto scores =
      rewards::taste_scores(trained.taste, 0, fresh.embeddings, fresh.scores).view({2000, 2});
  const auto on_fresh =
      rewards::agreement_with(scores.select(1, 0) - scores.select(1, 1), fresh.answers);
  EXPECT_LT(held_out.share.low, on_fresh.share.value + 0.02);
  EXPECT_GT(held_out.share.high, on_fresh.share.value - 0.02);
}

TEST(TrainTaste, LearnsNothingFromShuffledAnswers) {
  auto data = drawn_choices(200, 3).data;
  auto generator = at::detail::createCPUGenerator(9);
  const at::Tensor coins = at::rand({200}, generator);
  for (int64_t i = 0; i < 200; ++i)
    data.answers[static_cast<size_t>(i)].outcome = coins[i].item<double>() < 0.5 ? kWonA : kWonB;
  const auto trained = rewards::train_taste(data, 3);
  const auto held_out = rewards::agreement_with(trained.held_out, data.answers);
  EXPECT_LT(held_out.share.low, 0.5);
  EXPECT_GE(trained.ridges.shared, 10);  // a strong one
}

TEST(TrainTaste, LikesAloneTeachATaste) {
  // Of 400 pictures those whose taste is above 2 are liked, 30 % of them: a level that is not 0.
  auto drawn = drawn_choices(200, 3);
  drawn.data.answers.clear();
  for (int64_t i = 0; i < 400; ++i)
    drawn.data.answers.push_back({i, -1, drawn.taste[i].item<double>() > 2 ? kWonA : kWonB});
  const auto trained = rewards::train_taste(drawn.data, 3);
  const auto fresh = drawn_choices(500, 3, 2);
  const auto scores =
      rewards::taste_scores(trained.taste, 0, fresh.data.embeddings, fresh.data.scores);
  // Without noise the 400 answers leave an angle far below 0.3 rad, whose correlation is 0.95.
  EXPECT_GT(rewards::spearman(scores, fresh.taste), 0.95);
}

TEST(TrainTaste, TwoPeopleOfOppositeTasteAreToldApart) {
  auto first = drawn_choices(150, 3).data;
  first.people = {"Ann", "Bob"};
  for (size_t i = 0; i < first.answers.size(); i += 2) {
    auto& answer = first.answers[i];
    answer.person = 1;
    answer.outcome = 1 - answer.outcome;
  }
  const auto trained = rewards::train_taste(first, 3);
  EXPECT_EQ(trained.taste.people, first.people);
  EXPECT_TRUE(std::isfinite(trained.ridges.own));
  const at::Tensor ann = trained.taste.weight[1], bob = trained.taste.weight[2];
  EXPECT_LT(ann.dot(bob).item<double>(), 0);
  EXPECT_GT(rewards::agreement_with(trained.held_out, first.answers, 1).share.value, 0.6);
}

TEST(TrainTaste, AlikePeopleShareEverything) {
  auto data = drawn_choices(100, 3).data;
  data.people = {"Ann", "Bob"};
  for (size_t i = 0; i < data.answers.size(); i += 2) data.answers[i].person = 1;
  const auto trained = rewards::train_taste(data, 3);
  const at::Tensor ann = trained.taste.weight[1], bob = trained.taste.weight[2];
  EXPECT_GT((ann.dot(bob) / (ann.norm() * bob.norm())).item<double>(), 0.7);
}

TEST(TrainTaste, IsDeterministic) {
  const auto data = drawn_choices(60, 1).data;
  const auto one = rewards::train_taste(data, 2), other = rewards::train_taste(data, 2);
  EXPECT_TRUE(at::equal(one.taste.weight, other.taste.weight));
  EXPECT_TRUE(at::equal(one.held_out, other.held_out));
}

TEST(TrainTaste, AgreementByHand) {
  const std::vector<TasteAnswer> answers = {{0, 1, kWonA}, {0, 1, kWonB},  {0, 1, kTied},
                                            {0, 1, kWonA}, {0, -1, kWonA}, {0, 1, kWonB, 1}};
  const at::Tensor difference = at::tensor({1.0, 1.0, 1.0, 0.0, 1.0, kNaN}, at::kDouble);
  const auto found = rewards::agreement_with(difference, answers);
  EXPECT_EQ(found.pairs, 3);  // no tie, no like, no NaN
  EXPECT_NEAR(found.share.value, 1.5 / 3, 1e-12);
  EXPECT_EQ(rewards::agreement_with(difference, answers, 1).pairs, 0);
}

TEST(TrainTaste, ConsistencyByHand) {
  const std::vector<TasteAnswer> answers = {{0, 1, kWonA},    {1, 0, kWonB},   // the same again
                                            {2, 3, kWonA},    {3, 2, kWonA},   // the opposite
                                            {4, 5, kTied},    {4, 5, kWonA},   // a tie, a choice
                                            {0, 1, kWonB, 1}, {6, 7, kWonA}};  // asked once
  const auto found = rewards::own_consistency(answers);
  EXPECT_EQ(found.pairs, 3);
  EXPECT_NEAR(found.share.value, 1.5 / 3, 1e-12);
}

}  // namespace
