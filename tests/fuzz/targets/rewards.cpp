// Rewards as users write them: formulas, definitions, weights, limits; and files of statistics.

#include <ATen/ATen.h>

#include <cmath>

#include "rewards/combine/limits.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/combine/statistics.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/judge/edit_judge.hpp"
#include "rewards/judge/question.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

void formula(std::string_view input) {
  const auto expression = rewards::parse_expression(std::string(input), "input");
  const std::vector<at::Tensor> values(expression.names.size(), at::ones({2}));
  require(rewards::evaluate(expression, values).numel() == 2, "a formula has a value an image");
}

// Families of each form; making a reward is no part of parsing its definition.
void definition(std::string_view input) {
  static const rewards::FamilyEntry model{
      .name = "clip", .schemes = {"clip"}, .settings = {"act", "scale"}};
  static const rewards::FamilyEntry server{
      .name = "http", .schemes = {"http", "https"}, .scheme_is_argument = true};
  static const rewards::FamilyEntry program{.name = "program", .schemes = {"program"}};
  static const rewards::FamilyEntry sum{.name = "expression"};
  const auto spec =
      rewards::parse_reward_spec(std::string(input), {&model, &server, &program, &sum});
  require(spec.family != nullptr && !spec.name.empty() && !spec.argument.empty(),
          "a definition has its parts");
}

void limits(std::string_view input) {
  const std::string text(input);
  const std::vector<std::string> names{"aesthetic", "clip_score"};
  attempt([&] {
    for (const auto& part : rewards::parse_reward_weights(text))
      require(std::isfinite(part.weight) && part.weight != 0, "a weight is a number other than 0");
  });
  attempt([&] {
    for (const auto& cap : rewards::parse_caps(text, names))
      require(cap.low < cap.high, "a cap has room");
  });
  attempt([&] {
    for (const auto& one : rewards::parse_constraints(text, names))
      require(one.column >= 0 && one.column < 2, "a constraint is of a reward");
  });
  attempt([&] { rewards::judge_axis(text); });
  rewards::edit_axis(text);
}

void statistics(std::string_view input) {
  const auto read = rewards::read_statistics(file_of("statistics.json", input), {"aesthetic"});
  require(read.moments.count >= 2, "statistics are of two images at least");
}

}  // namespace

Targets reward_targets() {
  return {
      {.name = "formula",
       .run = formula,
       .seeds = {"0.7*clip_score + min(colourfulness, 3) - 2*jpeg_kb/100",
                 "clamp(-a^2^b, log(c), sigmoid(relu(tanh(abs(sqrt(exp(d)))))))"},
       .words = {"min(", "max(", "clamp(", "1e308", "((((", "----", "^", ","},
       .longest = 2048},
      {.name = "definition",
       .run = definition,
       .seeds = {"pick=clip:/models/x;act=gelu;scale=cosine", "mine=program:python3 scorer.py",
                 "far=http://127.0.0.1:8000/score", "mix=0.7*a + min(b, 3)"},
       .words = {"=", ";act=", "https://", "program:"},
       .longest = 512},
      {.name = "limits",
       .run = limits,
       .seeds = {"aesthetic=1,clip_score:0.5", "aesthetic=..2,clip_score=4..7", "clip_score>=25",
                 "name=How good is it?"},
       .words = {"aesthetic", "clip_score", "..", ">=", "<=", "inf", "nan", "1e999"},
       .longest = 512},
      {.name = "statistics",
       .run = statistics,
       .seeds =
           {R"({"format": "laurel reward statistics", "version": 1, "images": 8, "digest": "ab",)"
            R"( "rewards": {"aesthetic": {"mean": 5.1, "std": 0.4}}})"},
       .words = {"\"images\"", "\"std\"", "1e200", "18446744073709551615"}},
  };
}

}  // namespace fuzz
