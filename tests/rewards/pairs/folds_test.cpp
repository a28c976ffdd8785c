#include "rewards/pairs/folds.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using rewards::ChoiceImages;
using rewards::divide_into_folds;

void expect_apart(const rewards::Folds& folds, const std::vector<ChoiceImages>& choices) {
  for (int64_t fold = 0; fold < folds.count; ++fold) {
    std::vector<bool> measured(folds.of_image.size()), trained(folds.of_image.size());
    for (const auto& choice : choices) {
      const bool held = is_held_out(folds, choice, fold), outside = is_outside(folds, choice, fold);
      EXPECT_FALSE(held && outside);
      for (const int64_t image : {choice.a, choice.b}) {
        if (held) measured[static_cast<size_t>(image)] = true;
        if (outside) trained[static_cast<size_t>(image)] = true;
      }
    }
    for (size_t i = 0; i < measured.size(); ++i) EXPECT_FALSE(measured[i] && trained[i]);
  }
}

TEST(Folds, KeepPromptsTogether) {
  std::vector<ChoiceImages> choices;  // prompt p has images 4p .. 4p + 3
  for (int64_t p = 0; p < 6; ++p) {
    choices.push_back({4 * p, 4 * p + 1, p});
    choices.push_back({4 * p + 2, 4 * p + 3, p});
  }
  const auto folds = divide_into_folds(24, choices, 3);
  EXPECT_STREQ(folds.unit, "prompts");
  std::vector<int64_t> held(3);
  for (const auto& choice : choices) {
    EXPECT_EQ(folds.of_image[static_cast<size_t>(choice.a)],
              folds.of_image[static_cast<size_t>(4 * choice.prompt)]);
    ++held[static_cast<size_t>(folds.of_image[static_cast<size_t>(choice.b)])];
  }
  EXPECT_EQ(held, (std::vector<int64_t>{4, 4, 4}));
  expect_apart(folds, choices);
}

TEST(Folds, KeepComparedImagesTogetherWhereThereIsOnePrompt) {
  std::vector<ChoiceImages> choices;
  for (int64_t i = 0; i < 10; ++i) choices.push_back({2 * i, 2 * i + 1, 0});
  const auto folds = divide_into_folds(20, choices, 5);
  EXPECT_STREQ(folds.unit, "groups of compared images");
  for (const auto& choice : choices)
    EXPECT_EQ(folds.of_image[static_cast<size_t>(choice.a)],
              folds.of_image[static_cast<size_t>(choice.b)]);
  expect_apart(folds, choices);
}

TEST(Folds, DivideImagesThatAreAllCompared) {
  std::vector<ChoiceImages> choices;
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < i; ++j) choices.push_back({i, j, -1});
  }
  const auto folds = divide_into_folds(12, choices, 5);
  EXPECT_STREQ(folds.unit, "images");
  EXPECT_EQ(folds.count, 3);
  int64_t measured = 0;
  for (const auto& choice : choices) {
    for (int64_t fold = 0; fold < 3; ++fold) measured += is_held_out(folds, choice, fold);
  }
  EXPECT_EQ(measured, 3 * 6);  // four images a fold
  expect_apart(folds, choices);
}

TEST(Folds, AreTheSameForTheSameChoices) {
  const std::vector<ChoiceImages> choices = {{0, 1, -1}, {2, 3, -1}, {4, 5, -1}, {6, 6, -1}};
  EXPECT_EQ(divide_into_folds(8, choices, 2).of_image, divide_into_folds(8, choices, 2).of_image);
}

}  // namespace
