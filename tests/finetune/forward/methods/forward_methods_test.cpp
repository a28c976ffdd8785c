#include "finetune/forward/methods/forward_methods.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "finetune/forward/methods/imitation.hpp"
#include "finetune/forward/methods/nft.hpp"
#include "finetune/forward/methods/preference.hpp"

namespace {

using finetune::ForwardInput;
using finetune::ForwardMethod;

finetune::RatedImages rated() {
  return {at::tensor({1.0, 3.0, 2.0, 5.0, 4.0, 4.5}, at::kDouble),
          {0, 0, 0, 1, 1, 1},
          {11, 12, 13, 14, 15, 16},
          1.0};
}

// Errors of the rows that the method trains on; the network's are above the other's, so that KTO's
// zero point, which has no gradient, is 0.
ForwardInput random_input(const ForwardMethod& method) {
  auto generator = at::detail::createCPUGenerator(5);
  ForwardInput input;
  input.labels = method.labels(rated());
  input.dimensions = 7;
  const auto rows = static_cast<int64_t>(input.labels.rows.size());
  const auto uniform = [&] { return at::rand({rows, 3}, generator, at::kDouble); };
  input.compared = 1 + uniform();
  input.x0_scale = 0.5 + uniform();
  const at::Tensor output = at::zeros({1, 1}, at::kDouble);
  const size_t scalars = method.scalars({output, output, output}).size();
  for (size_t i = 0; i < scalars; ++i) input.now.push_back(2.5 + uniform());
  return input;
}

// The largest difference between the weights and central differences of the loss.
double weight_error(const ForwardMethod& method) {
  ForwardInput input = random_input(method);
  const auto weights = method.objective(input).weights;
  double worst = 0;
  for (size_t k = 0; k < input.now.size(); ++k) {
    const at::Tensor flat = input.now[k].view(-1);
    const at::Tensor weight = weights[k].reshape(-1);
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const double value = flat[i].item<double>(), h = 1e-5;
      const auto loss_at = [&](double at_value) {
        flat[i].fill_(at_value);
        return method.objective(input).figures[0].item<double>();
      };
      const double slope = (loss_at(value + h) - loss_at(value - h)) / (2 * h);
      flat[i].fill_(value);
      worst = std::max(worst, std::abs(slope - weight[i].item<double>()));
    }
  }
  return worst;
}

TEST(ForwardMethods, WeightsAreTheDerivativesOfTheLoss) {
  std::vector<ForwardMethod> methods{
      finetune::raft_method(),
      finetune::rwr_method({{.distance_coefficient = 0.3}, 0.7}),
      finetune::nft_method({.strength = 0.7, .normalise = false}),
      finetune::ipo_method(),
      finetune::simpo_method(),
  };
  finetune::DpoConfig dpo;
  dpo.margin = 0.4;
  methods.push_back(finetune::dpo_method(dpo));
  dpo.logit_of_mean = false;
  methods.push_back(finetune::dpo_method(dpo));
  finetune::KtoConfig kto;
  kto.desirable_weight = 1.5;
  methods.push_back(finetune::kto_method(kto));
  for (const auto& method : methods) EXPECT_LT(weight_error(method), 1e-8) << method.name;
}

// Sums in half precision end at 65504: losses that jump to infinity.
TEST(SquaredError, OfHalfPrecisionIsSummedInDouble) {
  const at::Tensor a = at::full({2, 4, 200, 200}, 1.5, at::kHalf), b = at::full_like(a, 0.5);
  EXPECT_TRUE(at::equal(finetune::squared_error(a, b), at::full({2}, 160000.0, at::kDouble)));
}

TEST(ForwardMethods, NamesAndFiguresFitWhatTheObjectiveGives) {
  std::set<std::string> names;
  for (const auto& method : finetune::forward_methods()) {
    names.insert(method.name);
    ForwardInput input = random_input(method);
    if (!method.compares_with_start) input.compared = at::Tensor();
    EXPECT_EQ(method.objective(input).figures.numel(), static_cast<int64_t>(method.figures.size()))
        << method.name;
    EXPECT_EQ(method.figures[0], "loss");
  }
  EXPECT_EQ(names.size(), finetune::forward_methods().size());
}

TEST(ForwardMethods, APromptWithoutASpreadTeachesNothing) {
  for (const auto& method : finetune::forward_methods()) {
    finetune::RatedImages images = rated();
    images.rewards.slice(0, 0, 3).fill_(2);
    const auto labels = method.labels(images);
    for (const int64_t row : labels.rows) EXPECT_GE(row, 3) << method.name;
    images.rewards.fill_(0);  // of a reward that counts: all lose alike
    EXPECT_TRUE(method.labels(images).rows.empty()) << method.name;
  }
}

TEST(ForwardMethods, AnImageWithoutARewardIsLeftOut) {
  for (const auto& method : finetune::forward_methods()) {
    finetune::RatedImages images = rated();
    images.rewards[4] = std::nan("");
    for (const int64_t row : method.labels(images).rows) EXPECT_NE(row, 4) << method.name;
  }
}

TEST(ForwardMethods, RefuseImagesOfDifferentNumbers) {
  for (const auto& method : finetune::forward_methods()) {
    finetune::RatedImages images = rated();
    images.seeds.pop_back();
    EXPECT_THROW(method.labels(images), c10::Error) << method.name;
    images = rated();
    images.prompt_ids.pop_back();
    EXPECT_THROW(method.labels(images), c10::Error) << method.name;
  }
}

}  // namespace
