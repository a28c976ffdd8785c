#pragma once

// A simulated person who chooses between pictures (synthetic). The taste is a formula of the pixels
// that is none of laurel's rewards, and captions do not fix it.

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "data/world/random_stream.hpp"

namespace tools {

// What a taste is made of. `mass` is the squared distance of a pixel's colour from the picture's
// mean colour; places run from -1 to 1.
inline constexpr std::array kTasteFacts{
    "warm",     // mean of R - B
    "green",    // mean of G - (R + B) / 2
    "high",     // centre of the mass, upwards
    "right",    // centre of the mass, to the right
    "spread",   // root mean square distance of the mass from its centre
    "bold",     // square root of the mean mass
    "upright",  // steps across less steps down, as a share of both, of the mass's square root
    "light",    // mean luma (BT.709)
};
constexpr int64_t kTasteFactCount = static_cast<int64_t>(kTasteFacts.size());

// The facts themselves. images: [B, 3, H, W] in [0, 1]; -> [B, 8]. Without mass: 0.
at::Tensor taste_facts(const at::Tensor& images);

struct SimulatedPerson {
  int64_t number = 0;
  std::array<double, kTasteFacts.size()> weights{};
  double light = 0.5;  // the mean luma that is liked most
};
// Weights: normal, then of norm 1; 0.4 is added to that of "bold", which all people like. light:
// uniform in [0.25, 0.85]. Equal numbers are the same person. number: >= 0
SimulatedPerson draw_person(int64_t number);

// sum_k weight_k f_k, with f = tanh((fact - mean) / (1.5 deviation)) of what the embedded model
// draws, and for "light" 2 exp(-((luma - light) / 0.15)^2) - 1: no fact earns more beyond what is
// usual. facts: [B, 8] -> [B]
at::Tensor person_taste(const SimulatedPerson& person, const at::Tensor& facts);

// How somebody answers: Davidson's model (1970, eq. 2.3) with strengths exp(taste / temperature).
struct AnswerNoise {
  double temperature = 1;  // > 0, in units of the taste
  double tie_odds = 0.2;   // Davidson's nu: equal pictures are called equal in nu / (2 + nu)
};
struct AnswerOdds {
  double a = 0, b = 0, tie = 0;  // sum to 1
};
// difference: the taste of a less that of b
AnswerOdds answer_odds(double difference, const AnswerNoise& noise);

// How often the same answer is given again, a tie beside a decision counting half (as
// rewards::own_consistency): the mean of a^2 + b^2 + tie.
double expected_consistency(const std::vector<double>& differences, const AnswerNoise& noise);
// How often the better picture is preferred, a tie counting half.
double expected_rightness(const std::vector<double>& differences, const AnswerNoise& noise);

// The temperature at which answers about these differences are given again in `consistency` of
// cases. Throws BadInput when no difference is other than 0, or none reaches that consistency.
double temperature_for(const std::vector<double>& differences, double consistency, double tie_odds);

enum class Said { kA, kB, kTie };
Said answer_of(const AnswerOdds& odds, world::RandomStream& chance);

}  // namespace tools
