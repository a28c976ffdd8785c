#include "finetune/forward/gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "finetune/datasets/timesteps.hpp"
#include "finetune/forward/methods/imitation.hpp"
#include "finetune/forward/methods/nft.hpp"
#include "finetune/forward/methods/preference.hpp"

namespace {

using finetune::ForwardMethod;

// A network of a few parameters in double: tanh(a x) + b[prompt].
struct TinyNetwork {
  at::Tensor a, b;
  explicit TinyNetwork(double slope)
      : a(at::full({2, 1, 1}, slope, at::kDouble)),
        b(at::linspace(-0.2, 0.3, 4, at::kDouble).clone()) {}
  finetune::NoiseNetwork predictor() const {
    return [*this](const at::Tensor& x, const at::Tensor&, const std::vector<int64_t>& prompts) {
      return (a * x).tanh() + b.index_select(0, at::tensor(prompts, at::kLong)).view({-1, 1, 1, 1});
    };
  }
};

struct Fixture {
  diffusion::NoiseSchedule schedule = diffusion::make_schedule({});
  TinyNetwork network{0.6}, other{0.5};
  at::Generator generator = at::detail::createCPUGenerator(8);
  finetune::CleanImages images{
      at::randn({6, 2, 3, 3}, generator, at::kDouble), {0, 0, 0, 1, 1, 2}, 3};
  finetune::RatedImages rated{at::tensor({1.0, 3.0, 2.0, 5.0, 4.0, 0.0}, at::kDouble),
                              {0, 0, 0, 1, 1, 2},
                              {11, 12, 13, 14, 15, 16},
                              1.0};

  Fixture() {
    network.a.requires_grad_(true);
    network.b.requires_grad_(true);
  }
  finetune::ForwardPass pass(const ForwardMethod& method, int64_t batch, double gamma = 5) const {
    const bool compares = method.compares_with_start || method.compares_with_average;
    const at::Tensor all = at::arange(1000, at::kLong);
    return {.network = network.predictor(),
            .compared = compares ? other.predictor() : finetune::NoiseNetwork(),
            .weights = finetune::min_snr_weights(schedule, all, gamma).to(at::kDouble),
            .x0_scales = finetune::x0_error_scales(schedule),
            .schedule = schedule,
            .batch = batch};
  }
  finetune::NoiseDraws draws(const finetune::ForwardLabels& labels) {
    std::vector<int64_t> groups;
    for (const int64_t row : labels.rows)
      groups.push_back(images.prompts[static_cast<size_t>(row)]);
    return finetune::draw_noises(groups, 3, 1000, 0.3, generator);
  }
  std::vector<at::Tensor> take_gradient() {
    const std::vector<at::Tensor> found{network.a.grad().clone(), network.b.grad().clone()};
    network.a.mutable_grad() = at::Tensor();
    network.b.mutable_grad() = at::Tensor();
    return found;
  }
  // d / d parameters of the loss as autograd has it: the objective's own value on all scalars at
  // once, whose derivative by each scalar is its weight.
  std::vector<at::Tensor> whole_gradient(const ForwardMethod& method,
                                         const finetune::ForwardLabels& labels,
                                         const finetune::NoiseDraws& draws) {
    std::vector<finetune::NoisedEntry> entries;
    for (int64_t row = 0; row < draws.rows(); ++row) {
      for (int64_t s = 0; s < draws.count(); ++s)
        entries.push_back({labels.rows[static_cast<size_t>(row)], row, s});
    }
    const auto batch = finetune::noised_batch(schedule, images, draws, entries, at::kCPU);
    const auto made = pass(method, 1000);
    const at::Tensor weight = made.weights.index_select(0, batch.t);
    const at::Tensor compared = other.predictor()(batch.x, batch.t, batch.prompts);
    auto scalars = method.scalars(
        {network.predictor()(batch.x, batch.t, batch.prompts), compared, batch.target});
    finetune::ForwardInput input;
    const std::vector<int64_t> shape{draws.rows(), draws.count()};
    for (auto& scalar : scalars) {
      scalar = (weight * scalar).view(shape);
      input.now.push_back(scalar.detach());
    }
    input.compared = (weight * finetune::squared_error(compared, batch.target)).view(shape);
    input.x0_scale = made.x0_scales.index_select(0, batch.t).view(shape);
    input.labels = labels;
    input.dimensions = 18;
    const double entries_summed =
        method.couples_rows ? 1 : static_cast<double>(draws.rows() * draws.count());
    const auto weights = method.objective(input).weights;
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (size_t i = 0; i < scalars.size(); ++i)
      sum = sum + (scalars[i] * weights[i]).sum() / entries_summed;
    sum.backward();
    return take_gradient();
  }
};

std::vector<ForwardMethod> kinds() {
  finetune::RwrConfig rwr;
  rwr.distance_coefficient = 0.2;
  finetune::DpoConfig by_draw;
  by_draw.logit_of_mean = false;
  return {finetune::raft_method(),  finetune::rwr_method(rwr),     finetune::nft_method(),
          finetune::dpo_method(),   finetune::dpo_method(by_draw), finetune::kto_method(),
          finetune::simpo_method(), finetune::ipo_method()};
}

TEST(ForwardGradient, IsThatOfTheWholeLossWhateverTheMicroBatch) {
  for (const auto& method : kinds()) {
    Fixture fixture;
    const auto labels = method.labels(fixture.rated);
    const auto draws = fixture.draws(labels);
    const auto expected = fixture.whole_gradient(method, labels, draws);
    for (const int64_t batch : {1, 4, 1000}) {
      const auto figures =
          finetune::add_forward_gradient(method, fixture.pass(method, batch), fixture.images,
                                         labels, draws, finetune::whole(draws.rows()));
      EXPECT_EQ(figures.numel(), static_cast<int64_t>(method.figures.size()));
      const auto found = fixture.take_gradient();
      for (size_t i = 0; i < 2; ++i) {
        const double scale = expected[i].abs().max().item<double>();
        EXPECT_GT(scale, 0) << method.name;
        EXPECT_LT((found[i] - expected[i]).abs().max().item<double>(), 1e-10 * scale)
            << method.name << ", " << batch << " at once";
      }
    }
  }
}

// The loss itself by autograd, without the objective's weights: two images of a DPO pair.
TEST(ForwardGradient, OfDpoIsThatOfItsFormula) {
  Fixture fixture;
  finetune::DpoConfig config;
  config.beta = 0.7;
  config.margin = 0.1;
  const auto method = finetune::dpo_method(config);
  finetune::ForwardLabels labels;
  labels.rows = {4, 1};
  labels.pairs = {{.a = 0, .b = 1, .p = 0.8}};
  const auto draws = finetune::draw_noises({0, 0}, 3, 1000, 0, fixture.generator);
  auto pass = fixture.pass(method, 2, 0);
  finetune::add_forward_gradient(method, pass, fixture.images, labels, draws, finetune::whole(2));
  const auto found = fixture.take_gradient();
  std::vector<at::Tensor> q;
  for (int64_t row = 0; row < 2; ++row) {
    const int64_t image = labels.rows[static_cast<size_t>(row)];
    const auto batch =
        finetune::noised_batch(fixture.schedule, fixture.images, draws,
                               {{image, row, 0}, {image, row, 1}, {image, row, 2}}, at::kCPU);
    const auto error = [&](const TinyNetwork& network) {
      return (network.predictor()(batch.x, batch.t, batch.prompts) - batch.target).square().sum() /
             3;
    };
    q.push_back(-0.35 * (error(fixture.network) - error(fixture.other)));
  }
  const at::Tensor z = q[0] - q[1];
  (-0.8 * at::log_sigmoid(z - 0.1) - 0.2 * at::log_sigmoid(-z - 0.1)).backward();
  const auto expected = fixture.take_gradient();
  for (size_t i = 0; i < 2; ++i)
    EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-10, 1e-14)) << found[i] << expected[i];
}

// The exact denoiser of a Gaussian of mean m, [2, 1, 1], and variance 1. The reward is the first
// channel: every method's step raises that mean, from the mean at which the images were drawn.
TEST(ForwardGradient, LeadsTheMeanOfAGaussianTowardsTheReward) {
  for (const auto& method : kinds()) {
    Fixture fixture;
    const at::Tensor start = at::zeros({2, 1, 1}, at::kDouble);
    const at::Tensor mean = start.clone().requires_grad_(true);
    const auto denoiser = [&](const at::Tensor& m) {
      return [&fixture, m](const at::Tensor& x, const at::Tensor& t, const std::vector<int64_t>&) {
        const auto level = diffusion::levels_at(fixture.schedule, t, x);
        return level.noise * (x - level.signal * m);
      };
    };
    finetune::RatedImages rated{{}, {}, {}, 1.0};
    fixture.images = {at::randn({64, 2, 1, 1}, fixture.generator, at::kDouble), {}, 8};
    rated.rewards = fixture.images.latents.select(1, 0).flatten().contiguous();
    for (int64_t i = 0; i < 64; ++i) {
      rated.prompt_ids.push_back(i / 8);
      rated.seeds.push_back(static_cast<uint64_t>(i));
    }
    fixture.images.prompts = rated.prompt_ids;
    const auto labels = method.labels(rated);
    const auto draws = fixture.draws(labels);
    auto pass = fixture.pass(method, 1000);
    pass.network = denoiser(mean);
    if (pass.compared) pass.compared = denoiser(start);
    finetune::add_forward_gradient(method, pass, fixture.images, labels, draws,
                                   finetune::whole(draws.rows()));
    EXPECT_LT(mean.grad()[0].item<double>(), 0) << method.name;
    EXPECT_LT(mean.grad()[1].abs().item<double>(), -mean.grad()[0].item<double>()) << method.name;
  }
}

TEST(ForwardGradient, RefusesDrawsOfOtherRows) {
  Fixture fixture;
  const auto method = finetune::raft_method();
  const auto labels = method.labels(fixture.rated);
  auto draws = finetune::draw_noises({0}, 3, 1000, 0, fixture.generator);
  EXPECT_THROW(finetune::add_forward_gradient(method, fixture.pass(method, 2), fixture.images,
                                              labels, draws, finetune::whole(1)),
               c10::Error);
}

}  // namespace
