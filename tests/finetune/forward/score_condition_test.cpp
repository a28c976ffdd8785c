#include "finetune/forward/score_condition.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "finetune/run/score_prompt.hpp"
#include "tests/support/refusal.hpp"

namespace {

using finetune::ImageChoice;

std::vector<ImageChoice> two_choices() {
  return {{.prompt = "p", .a = "1.png", .b = "2.png", .p = 1, .weight = 2},
          {.prompt = "q", .a = "3.png", .b = "4.png", .p = 0.2, .weight = 1}};
}

at::Tensor rows(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).view({-1, 2});
}

TEST(ScorePrompt, ScoresAreCutToTheirRangeAndComeFirst) {
  const finetune::ScoreScale scale{2, 11};
  EXPECT_EQ(finetune::score_of(scale, 2), 1);
  EXPECT_EQ(finetune::score_of(scale, 4.4), 3);
  EXPECT_EQ(finetune::score_of(scale, 11), 10);
  EXPECT_EQ(finetune::score_of(scale, -100), 1);
  EXPECT_EQ(finetune::score_of(scale, 100), 10);
  EXPECT_EQ(finetune::score_prompt(7, "a red circle"), "score 7, a red circle");
}

TEST(ScorePrompt, IsTheTextOfAConditionedChoice) {
  finetune::ChoiceData data{.choices = two_choices(), .a = {0, 2}, .b = {1, 3}, .latents = {}};
  data.latents = at::zeros({4, 1, 1, 1});
  data.choices[1].score = 7;
  const auto batch = finetune::choice_batch(data, {0, 1});
  EXPECT_EQ(batch.prompts[0].text, "p");
  EXPECT_EQ(batch.prompts[2].text, "score 7, q");
  EXPECT_EQ(batch.prompts[3].text, "score 7, q");
}

// The defect of a published variant: it changed the prompt and left the answers in their places, so
// that the better one was preferred at the worse one's score, too.
TEST(WithScores, AtTheOtherScoreTheChoiceIsTurnedRound) {
  const auto result = finetune::with_scores(two_choices(), rows({10, 1, 4, 7}));
  EXPECT_EQ(result.left_out, 0);
  EXPECT_EQ(result.scale.low, 1);
  EXPECT_EQ(result.scale.high, 10);
  ASSERT_EQ(result.choices.size(), 4u);
  const auto expect = [&](size_t i, int64_t score, double p, double weight) {
    EXPECT_EQ(result.choices[i].score, score) << i;
    EXPECT_DOUBLE_EQ(result.choices[i].p, p) << i;
    EXPECT_EQ(result.choices[i].weight, weight) << i;
    EXPECT_EQ(result.choices[i].a, two_choices()[i / 2].a) << i;
  };
  expect(0, 10, 1, 2);
  expect(1, 1, 0, 2);
  expect(2, 7, 0.2, 1);
  expect(3, 4, 0.8, 1);
}

TEST(WithScores, LeavesOutWhatTheScoresDoNotOrder) {
  auto choices = two_choices();
  choices.push_back({.prompt = "tie", .a = "1.png", .b = "2.png", .p = 0.5});
  choices.push_back({.prompt = "equal", .a = "1.png", .b = "2.png", .p = 1});
  choices.push_back({.prompt = "against", .a = "1.png", .b = "2.png", .p = 1});
  choices.push_back({.prompt = "like", .a = "1.png", .b = {}, .p = 1});
  choices.push_back({.prompt = "failed", .a = "1.png", .b = "2.png", .p = 1});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto result =
      finetune::with_scores(choices, rows({10, 1, 4, 7, 9, 2, 5.1, 5.2, 2, 8, 9, nan, nan, 3}));
  EXPECT_EQ(result.left_out, 5);
  EXPECT_EQ(result.choices.size(), 4u);
}

TEST(WithScores, RefusesEqualRewardsAndChoicesThatAllContradict) {
  const auto said = [](const at::Tensor& rewards) {
    return refusal([&] { finetune::with_scores(two_choices(), rewards); });
  };
  EXPECT_NE(said(rows({1, 1, 1, 1})).find("rewards differ"), std::string::npos);
  EXPECT_NE(said(rows({1, 9, 9, 1})).find("agree with the choice"), std::string::npos);
  EXPECT_THROW(finetune::with_scores(two_choices(), rows({1, 2})), c10::Error);
}

}  // namespace
