#include "rewards/custom/expression.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/registry/registry.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"

namespace {

double value(const std::string& text, double a = 0, double b = 0) {
  const auto expression = rewards::parse_expression(text, "test");
  std::vector<at::Tensor> values;
  for (const auto& name : expression.names)
    values.push_back(at::full({1}, name == "a" ? a : b, at::kDouble));
  return rewards::evaluate(expression, values).item<double>();
}

TEST(Expression, HasTheUsualOrderOfOperations) {
  EXPECT_DOUBLE_EQ(value("0.7*a + min(b, 3) - 2*a/100", 10, 5), 7 + 3 - 0.2);
  EXPECT_DOUBLE_EQ(value("a - b - 1", 10, 4), 5);
  EXPECT_DOUBLE_EQ(value("-a^2", 3), -9);
  EXPECT_DOUBLE_EQ(value("2^a^2", 3), 512);
  EXPECT_DOUBLE_EQ(value("a / b / 2", 12, 3), 2);
  EXPECT_DOUBLE_EQ(value("(a + b) * -2", 1, 2), -6);
  EXPECT_DOUBLE_EQ(value("max(a, b, 1e1)", 3, 4), 10);
  EXPECT_DOUBLE_EQ(value("clamp(a, 0, 1) + relu(b) + abs(b)", 7, -2), 3);
  EXPECT_NEAR(value("sigmoid(a) + tanh(a) + exp(a) + log(b) + sqrt(b)", 0, 4),
              0.5 + 0 + 1 + std::log(4) + 2, 1e-12);
}

TEST(Expression, NamesAreFactsOnceEach) {
  const auto expression = rewards::parse_expression("hpsv2.1 + clip_score*hpsv2.1", "test");
  EXPECT_EQ(expression.names, (std::vector<std::string>{"hpsv2.1", "clip_score"}));
}

TEST(Expression, WordsArePartOfAName) {
  const auto expression =
      rewards::parse_expression("clip:\"a (red) circle\" - 0.5*clip:\"photo\" + clip", "test");
  EXPECT_EQ(expression.names,
            (std::vector<std::string>{"clip:\"a (red) circle\"", "clip:\"photo\"", "clip"}));
  EXPECT_EQ(rewards::formula_part(expression.names[0]).reward, "clip");
  EXPECT_EQ(rewards::formula_part(expression.names[0]).words, "a (red) circle");
  EXPECT_EQ(rewards::formula_part("clip").words, std::nullopt);
}

TEST(Expression, WordsReplaceThePrompt) {
  rewards::RewardSources sources;
  sources.given["length"] = {
      .info = {.name = "length", .needs_prompt = true}, .score = [](const auto& batch) {
        at::Tensor lengths = at::empty({batch.images.size(0)});
        for (int64_t i = 0; i < lengths.size(0); ++i)
          lengths[i] = static_cast<double>(batch.prompts.at(static_cast<size_t>(i)).size());
        return lengths;
      }};
  sources.definitions = {"x=length:\"seven77\" - length", "y=length:\"a: b\"",
                         "z=brightness:\"words\""};
  const rewards::RewardBatch batch{.images = at::zeros({2, 3, 4, 4}), .prompts = {"one", "three"}};
  EXPECT_TRUE(at::equal(rewards::make_reward("x", sources).score(batch),
                        at::tensor({4.0, 2.0}, at::kFloat)));
  const auto alone = rewards::make_reward("y", sources);
  EXPECT_FALSE(alone.info.needs_prompt);
  EXPECT_TRUE(at::equal(alone.score({.images = batch.images, .prompts = {}}),
                        at::tensor({4.0, 4.0}, at::kFloat)));
  EXPECT_NE(refusal([&] { rewards::make_reward("z", sources); }).find("brightness reads no prompt"),
            std::string::npos);
}

TEST(Expression, FaultsAreSaidWithTheirPlace) {
  const std::vector<std::pair<const char*, const char*>> faults = {
      {"", "expected a number, a name or '('"},
      {"a +", "place 4: expected a number"},
      {"(a", "expected ')'"},
      {"a b", "expected an operator or the end, found 'b'"},
      {"a + 1e39", "place 5: expected a number of at most 3.4e38, found '1e39'"},
      {"median(a, 2)", "expected one of the functions abs"},
      {"min(a)", "min with 2 or more arguments"},
      {"clamp(a, 1)", "clamp with 3 arguments"},
      {"clip:\"red", "place 5: expected words between two quotation marks"},
      {"clip:\"\"", "expected words between two quotation marks"},
      {"1 + 2", "expected the name of a reward"},
      {"a $ 2", "found '$ 2'"}};
  for (const auto& [text, expected] : faults) {
    const std::string said = refusal([&, t = text] { rewards::parse_expression(t, "reward x"); });
    EXPECT_NE(said.find(expected), std::string::npos) << text << ": " << said;
    EXPECT_TRUE(said.starts_with("reward x: '")) << said;
  }
  const std::string deep = std::string(500, '(') + "a" + std::string(500, ')');
  EXPECT_NE(refusal([&] { rewards::parse_expression(deep, "x"); }).find("fewer brackets"),
            std::string::npos);
}

TEST(Expression, GradientsFlowThroughIt) {
  const auto expression =
      rewards::parse_expression("0.7*a^2 + min(b, 3) - sigmoid(a*b)/2 + log(a)", "test");
  const auto f = [&](const at::Tensor& x) {
    return rewards::evaluate(expression, {x.select(0, 0), x.select(0, 1)}).sum();
  };
  EXPECT_LT(gradient_error(f, at::tensor({1.0, 2.0, 0.5, 4.0}, at::kDouble).view({2, 2})), 1e-6);
}

TEST(Expression, LongAndDeepOnesAreRefused) {
  const auto repeated = [](const std::string& text, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  const auto said = [](const std::string& text) {
    return refusal([&] { rewards::parse_expression(text, "m"); });
  };
  EXPECT_NE(said("a" + repeated("^2", 40000)).find("10000 characters, found 80001"),
            std::string::npos);
  EXPECT_NE(said("a" + repeated("^2", 400)).find("fewer powers"), std::string::npos);
  EXPECT_NE(said("a" + repeated("+1", 2000)).find("at most 1000 numbers"), std::string::npos);
  EXPECT_NE(said(repeated("(", 300) + "a").find("fewer brackets"), std::string::npos);
  EXPECT_LT(said("a" + repeated("+1", 2000)).size(), 400u);
  const auto long_one = rewards::parse_expression("a" + repeated("+1", 400), "m");
  EXPECT_EQ(rewards::evaluate(long_one, {at::ones({1})}).item<float>(), 401);
}

TEST(ExpressionReward, IsMadeOfRegisteredRewards) {
  rewards::RewardSources sources;
  sources.definitions = {"mix=2*brightness - jpeg_kb/100", "twice = 2*mix"};
  const auto mix = rewards::make_reward("mix", sources);
  const at::Tensor images = at::full({1, 3, 16, 16}, 0.5);
  const double kb =
      rewards::make_reward("jpeg_incompressibility", {}).score({images, {}}).item<double>();
  EXPECT_NEAR(mix.score({images, {}}).item<double>(), 1 - kb / 100, 1e-5);
  EXPECT_FALSE(mix.info.differentiable);
  EXPECT_FALSE(mix.info.needs_prompt);
  EXPECT_LT(mix.info.low, -1);
  EXPECT_GT(mix.info.high, 1);
  EXPECT_NEAR(rewards::make_reward("twice", sources).score({images, {}}).item<double>(),
              2 * (1 - kb / 100), 1e-5);
  sources.definitions = {"bright=relu(brightness)"};
  EXPECT_TRUE(rewards::make_reward("bright", sources).info.differentiable);
}

TEST(ExpressionReward, IsCheckedBeforeARun) {
  rewards::RewardSources sources;
  const auto said = [&](const std::vector<std::string>& definitions) {
    sources.definitions = definitions;
    return refusal([&] { rewards::make_reward("mix", sources); });
  };
  EXPECT_NE(said({"mix=2*brightnes"}).find("did you mean brightness?"), std::string::npos);
  EXPECT_NE(said({"mix=log(0*brightness - 1)"}).find("not a finite number anywhere"),
            std::string::npos);
  EXPECT_NE(said({"mix=a+1", "a=mix"}).find("leads back to itself"), std::string::npos);
  EXPECT_NE(said({"mix=brightness", "mix=brightness"}).find("given twice"), std::string::npos);
}

}  // namespace
