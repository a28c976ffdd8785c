#include "tools/world/simulated_person.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/shape.hpp"
#include "data/images/pixel_measures.hpp"

namespace tools {
namespace {

constexpr double kLeastMass = 1e-9;
constexpr double kSharedBold = 0.4;
constexpr double kLightWidth = 0.15;
constexpr double kSquash = 1.5;
constexpr size_t kBoldFact = 5, kLightFact = 7;

// Mean and deviation of each fact over pictures that the embedded model draws of seen captions.
struct UsualFact {
  double mean, deviation;
};
constexpr std::array<UsualFact, kTasteFacts.size()> kUsualFacts{{{0, 0.17},
                                                                 {0.01, 0.04},
                                                                 {0.05, 0.17},
                                                                 {0.02, 0.18},
                                                                 {0.51, 0.14},
                                                                 {0.26, 0.08},
                                                                 {-0.01, 0.023},
                                                                 {0.59, 0.27}}};

// Centres of `count` pixels between -1 and 1.
at::Tensor pixel_places(int64_t count, const at::TensorOptions& options) {
  return (at::arange(count, options) * 2 + 1) / static_cast<double>(count) - 1;
}

// Squared distance from the mean colour. images: [B, 3, H, W] -> [B, H, W]
at::Tensor colour_mass(const at::Tensor& images) {
  return (images - images.mean({2, 3}, true)).square().sum(1);
}

// x: [B, H, W], the mass's square root -> [B]
at::Tensor uprightness(const at::Tensor& x) {
  const at::Tensor across = (x.slice(2, 1) - x.slice(2, 0, -1)).abs().sum({1, 2}),
                   down = (x.slice(1, 1) - x.slice(1, 0, -1)).abs().sum({1, 2});
  return (across - down) / (across + down + kLeastMass);
}

}  // namespace

at::Tensor taste_facts(const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "taste_facts: images");
  const at::Tensor x = images.to(at::kDouble);
  const at::Tensor colour = x.mean({2, 3});  // [B, 3]
  const at::Tensor mass = colour_mass(x), all = mass.sum({1, 2}) + kLeastMass;
  const at::Tensor across = pixel_places(x.size(3), x.options()),
                   down = pixel_places(x.size(2), x.options()).unsqueeze(1);
  const at::Tensor right = (mass * across).sum({1, 2}) / all, low = (mass * down).sum({1, 2}) / all;
  const at::Tensor away =
      (across - right.view({-1, 1, 1})).square() + (down - low.view({-1, 1, 1})).square();
  return at::stack({colour.select(1, 0) - colour.select(1, 2),
                    colour.select(1, 1) - (colour.select(1, 0) + colour.select(1, 2)) / 2, -low,
                    right, ((mass * away).sum({1, 2}) / all).sqrt(), mass.mean({1, 2}).sqrt(),
                    uprightness(mass.sqrt()), data::luma(x).mean({1, 2})},
                   1);
}

SimulatedPerson draw_person(int64_t number) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(number));
  const at::Tensor drawn = at::randn({kTasteFactCount}, generator, at::kDouble);
  const at::Tensor weights = drawn / drawn.norm();
  SimulatedPerson person{.number = number};
  for (size_t k = 0; k < person.weights.size(); ++k)
    person.weights[k] = weights[static_cast<int64_t>(k)].item<double>();
  person.weights[kBoldFact] += kSharedBold;
  person.light = world::RandomStream(generator).uniform(0.25, 0.85);
  return person;
}

at::Tensor person_taste(const SimulatedPerson& person, const at::Tensor& facts) {
  data::check_shape(facts, {-1, kTasteFactCount}, "person_taste: facts");
  at::Tensor taste = at::zeros({facts.size(0)}, facts.options());
  for (size_t k = 0; k < kUsualFacts.size(); ++k) {
    const at::Tensor fact = facts.select(1, static_cast<int64_t>(k));
    const at::Tensor liked =
        k == kLightFact
            ? 2 * (-((fact - person.light) / kLightWidth).square()).exp() - 1
            : ((fact - kUsualFacts[k].mean) / (kSquash * kUsualFacts[k].deviation)).tanh();
    taste = taste + person.weights[k] * liked;
  }
  return taste;
}

AnswerOdds answer_odds(double difference, const AnswerNoise& noise) {
  const double z = difference / noise.temperature;
  // Relative to the stronger picture, so that nothing overflows.
  const double weaker = std::exp(-std::abs(z)), tie = noise.tie_odds * std::exp(-std::abs(z) / 2);
  const double all = 1 + weaker + tie;
  return z >= 0 ? AnswerOdds{1 / all, weaker / all, tie / all}
                : AnswerOdds{weaker / all, 1 / all, tie / all};
}

double expected_consistency(const std::vector<double>& differences, const AnswerNoise& noise) {
  double sum = 0;
  for (const double difference : differences) {
    const AnswerOdds odds = answer_odds(difference, noise);
    sum += odds.a * odds.a + odds.b * odds.b + odds.tie;
  }
  return sum / static_cast<double>(differences.size());
}

double expected_rightness(const std::vector<double>& differences, const AnswerNoise& noise) {
  double sum = 0;
  for (const double difference : differences) {
    const AnswerOdds odds = answer_odds(std::abs(difference), noise);
    sum += odds.a + odds.tie / 2;
  }
  return sum / static_cast<double>(differences.size());
}

double temperature_for(const std::vector<double>& differences,
                       double consistency,
                       double tie_odds) {
  double low = -14, high = 14;  // natural logarithms
  const auto at = [&](double logarithm) {
    return expected_consistency(differences,
                                {.temperature = std::exp(logarithm), .tie_odds = tie_odds});
  };
  if (differences.empty() || !(at(low) >= consistency && at(high) < consistency))
    throw data::BadInput(data::formatted(
        "--consistency %g: no noise of answers gives it on these %zu pairs (without noise it is "
        "%.3f, by chance %.3f); name another, or pictures that differ",
        consistency, differences.size(), differences.empty() ? 0.0 : at(low),
        differences.empty() ? 0.0 : at(high)));
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (at(middle) >= consistency ? low : high) = middle;
  }
  return std::exp(low);
}

Said answer_of(const AnswerOdds& odds, world::RandomStream& chance) {
  const double drawn = chance.uniform(0, 1);
  return drawn < odds.a ? Said::kA : drawn < odds.a + odds.b ? Said::kB : Said::kTie;
}

}  // namespace tools
