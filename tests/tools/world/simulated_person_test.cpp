#include "tools/world/simulated_person.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/refusal.hpp"

namespace {

// A black picture of 2 x 2 pixels whose upper right one is white. The mean colour is a quarter; the
// squared distances are 3/16 three times and 27/16 once, 36/16 in all: the white pixel has three
// quarters of the mass.
at::Tensor one_white_pixel() {
  at::Tensor image = at::zeros({1, 3, 2, 2});
  image.select(2, 0).select(2, 1).fill_(1);
  return image;
}

double fact(const at::Tensor& facts, size_t k) {
  return facts[0][static_cast<int64_t>(k)].item<double>();
}

TEST(TasteFacts, AreThoseOfOneWhitePixelByHand) {
  const at::Tensor facts = tools::taste_facts(one_white_pixel());
  EXPECT_NEAR(fact(facts, 0), 0, 1e-9);  // warm
  EXPECT_NEAR(fact(facts, 1), 0, 1e-9);  // green
  // Places are +-1/2. Above: 27/36 + 3/36 of the mass; below: 6/36.
  EXPECT_NEAR(fact(facts, 2), 0.5 * 30 / 36 - 0.5 * 6 / 36, 1e-6);  // high
  EXPECT_NEAR(fact(facts, 3), 0.5 * 30 / 36 - 0.5 * 6 / 36, 1e-6);  // right
  // The mean square of a place is 1/4 on both axes.
  EXPECT_NEAR(fact(facts, 4), std::sqrt(2 * (0.25 - 1.0 / 9)), 1e-6);  // spread
  EXPECT_NEAR(fact(facts, 5), 0.75, 1e-6);                             // bold: sqrt(36 / 16 / 4)
  EXPECT_NEAR(fact(facts, 6), 0, 1e-6);                                // upright
  EXPECT_NEAR(fact(facts, 7), 0.25, 1e-6);                             // light
}

TEST(TasteFacts, TellColoursAndStripes) {
  at::Tensor warm = at::zeros({1, 3, 4, 4});
  warm.select(1, 0).fill_(0.8);  // red
  warm.select(1, 1).fill_(0.1);
  const at::Tensor plain = tools::taste_facts(warm);
  EXPECT_NEAR(fact(plain, 0), 0.8, 1e-6);
  EXPECT_NEAR(fact(plain, 1), 0.1 - 0.4, 1e-6);
  for (const size_t k : {2, 3, 5, 6}) EXPECT_NEAR(fact(plain, k), 0, 1e-6) << k;  // no mass
  at::Tensor stripes = at::zeros({1, 3, 4, 4});
  stripes.select(3, 0).fill_(1);  // a column: steps across alone
  EXPECT_NEAR(fact(tools::taste_facts(stripes), 6), 1, 1e-6);
  EXPECT_NEAR(fact(tools::taste_facts(stripes.transpose(2, 3)), 6), -1, 1e-6);
}

TEST(TasteFacts, AreRefusedForGreyPictures) {
  EXPECT_ANY_THROW(tools::taste_facts(at::zeros({1, 1, 4, 4})));
  EXPECT_ANY_THROW(tools::person_taste(tools::draw_person(1), at::zeros({1, 3})));
}

TEST(SimulatedPerson, HasATasteOfItsOwnThatIsBounded) {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor facts = tools::taste_facts(at::rand({64, 3, 8, 8}, generator));
  for (int64_t number = 0; number < 5; ++number) {
    const auto person = tools::draw_person(number);
    EXPECT_EQ(person.weights, tools::draw_person(number).weights);
    EXPECT_NE(person.weights, tools::draw_person(number + 1).weights);
    double own = 0, most = 0;
    for (size_t k = 0; k < person.weights.size(); ++k) {
      const double weight = person.weights[k] - (k == 5 ? 0.4 : 0);
      own += weight * weight;
      most += std::abs(person.weights[k]);
    }
    EXPECT_NEAR(own, 1, 1e-9);
    EXPECT_GE(person.light, 0.25);
    EXPECT_LE(person.light, 0.85);
    const at::Tensor extreme = tools::person_taste(person, facts * 1e6);
    EXPECT_LE(extreme.abs().max().item<double>(), most + 1e-9);
  }
}

TEST(SimulatedPerson, LikesItsLightMost) {
  tools::SimulatedPerson person{.light = 0.5};
  person.weights[7] = 2;
  at::Tensor facts = at::zeros({3, tools::kTasteFactCount}, at::kDouble);
  facts.select(1, 7).copy_(at::tensor({0.35, 0.5, 0.65}, at::kDouble));
  const at::Tensor taste = tools::person_taste(person, facts);
  EXPECT_NEAR(taste[1].item<double>(), 2, 1e-9);
  EXPECT_NEAR(taste[0].item<double>(), 2 * (2 * std::exp(-1) - 1), 1e-9);
  EXPECT_NEAR(taste[2].item<double>(), taste[0].item<double>(), 1e-9);
}

TEST(AnswerOdds, AreDavidsonsByHand) {
  // Strengths 4 and 1, nu 1/2: 4, 1 and sqrt(4) / 2 = 1 of 6.
  const auto odds = tools::answer_odds(2 * std::log(4), {.temperature = 2, .tie_odds = 0.5});
  EXPECT_NEAR(odds.a, 4.0 / 6, 1e-12);
  EXPECT_NEAR(odds.b, 1.0 / 6, 1e-12);
  EXPECT_NEAR(odds.tie, 1.0 / 6, 1e-12);
  const auto other = tools::answer_odds(-2 * std::log(4), {.temperature = 2, .tie_odds = 0.5});
  EXPECT_NEAR(other.a, odds.b, 1e-12);
  EXPECT_NEAR(tools::answer_odds(1e9, {}).a, 1, 1e-12);  // does not overflow
  EXPECT_NEAR(tools::expected_consistency({2 * std::log(4)}, {.temperature = 2, .tie_odds = 0.5}),
              16.0 / 36 + 1.0 / 36 + 1.0 / 6, 1e-12);
  EXPECT_NEAR(tools::expected_rightness({-2 * std::log(4)}, {.temperature = 2, .tie_odds = 0.5}),
              4.0 / 6 + 1.0 / 12, 1e-12);
}

TEST(AnswerNoise, HasTheConsistencyThatWasAskedFor) {
  std::vector<double> differences;
  for (int i = 1; i <= 200; ++i) differences.push_back(0.01 * i * (i % 2 ? 1 : -1));
  const double temperature = tools::temperature_for(differences, 0.8, 0.2);
  const tools::AnswerNoise noise{.temperature = temperature, .tie_odds = 0.2};
  EXPECT_NEAR(tools::expected_consistency(differences, noise), 0.8, 1e-6);
  // Answers that are drawn twice agree as often as expected.
  auto generator = at::detail::createCPUGenerator(7);
  world::RandomStream chance(generator);
  double same = 0;
  const int rounds = 100;
  for (int round = 0; round < rounds; ++round) {
    for (const double difference : differences) {
      const auto odds = tools::answer_odds(difference, noise);
      const auto first = tools::answer_of(odds, chance), second = tools::answer_of(odds, chance);
      const bool tie = first == tools::Said::kTie || second == tools::Said::kTie;
      same += first == second ? 1 : tie ? 0.5 : 0;
    }
  }
  EXPECT_NEAR(same / (rounds * static_cast<double>(differences.size())), 0.8, 0.01);
}

TEST(AnswerNoise, IsRefusedWhereNoneGivesTheConsistency) {
  const auto alike = refusal([] { tools::temperature_for({0, 0, 0}, 0.8, 0.2); });
  EXPECT_NE(alike.find("--consistency 0.8"), std::string::npos) << alike;
  EXPECT_NE(refusal([] { tools::temperature_for({}, 0.8, 0.2); }), "");
  EXPECT_NE(refusal([] { tools::temperature_for({1, 2}, 0.5, 0.2); }), "");  // less than chance
}

}  // namespace
