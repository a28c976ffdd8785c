#include "diffusion/sampling/value_guidance.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "diffusion/sampling/random_noise.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

namespace {

using diffusion::Prediction;

diffusion::NoiseSchedule schedule_of(Prediction prediction) {
  diffusion::SchedulerConfig config;
  config.prediction_type = prediction;
  return diffusion::make_schedule(config);
}

at::Tensor network(const at::Tensor& x, double timestep) {
  return 0.3 * x + 0.5 * at::sin(3 * x + timestep / 1000);
}

at::Tensor state() { return at::arange(2 * 4 * 3 * 3, at::kDouble).view({2, 4, 3, 3}).sin(); }

diffusion::Predicted said_by(const diffusion::Denoiser& denoiser,
                             const diffusion::NoiseSchedule& schedule,
                             double timestep) {
  return diffusion::predict(schedule.config.prediction_type,
                            diffusion::level_between(schedule, timestep),
                            denoiser(state(), timestep), state());
}

// The value is the sum: its slope is 1 everywhere, of length 6 in a row of 36.
at::Tensor ones(const at::Tensor& x0) { return at::ones_like(x0); }

TEST(ValueGuidance, MovesEpsilonByAShareOfItsLengthByHand) {
  for (const Prediction prediction : {Prediction::kEpsilon, Prediction::kV, Prediction::kSample}) {
    const auto schedule = schedule_of(prediction);
    const double t = 300, share = 0.2;
    const auto level = diffusion::level_between(schedule, t);
    const auto plain = said_by(network, schedule, t),
               led = said_by(diffusion::value_guided(network, schedule, ones, {.share = share}),
                             schedule, t);
    const double damped = share * level.signal * level.signal;  // 1 / (1 + noise^2 / signal^2)
    const at::Tensor lengths = plain.epsilon.flatten(1).norm(2, {1}, true).view({2, 1, 1, 1});
    EXPECT_TRUE(at::allclose(led.epsilon, plain.epsilon - damped * lengths / 6, 1e-9, 1e-9));
    // So x0 moves up the slope, and x stays what the two make.
    EXPECT_TRUE((led.x0 > plain.x0).all().item<bool>());
    EXPECT_TRUE(
        at::allclose(level.signal * led.x0 + level.noise * led.epsilon, state(), 1e-9, 1e-9));
  }
}

TEST(ValueGuidance, ARowWithoutAUsableSlopeStaysAsItIs) {
  const auto schedule = schedule_of(Prediction::kEpsilon);
  const auto slope = [](const at::Tensor& x0) {
    at::Tensor all = at::zeros_like(x0);
    all[1].fill_(std::numeric_limits<double>::quiet_NaN());
    return all;
  };
  const at::Tensor plain = network(state(), 500),
                   led = diffusion::value_guided(network, schedule, slope, {.share = 0.5})(state(),
                                                                                           500);
  EXPECT_TRUE(at::allclose(led, plain, 1e-9, 1e-9));
}

// epsilon = w x, so that x0 = (1 - noise w) x / signal: through the network the slope of the sum of
// x0 is (1 - noise w) / signal in each element, and without its derivative 1 everywhere.
TEST(ValueGuidance, TheJacobianIsThatOfTheNetworkByHand) {
  const auto schedule = schedule_of(Prediction::kEpsilon);
  const double t = 300, share = 0.2;
  const auto level = diffusion::level_between(schedule, t);
  const at::Tensor w = at::linspace(-1, 1, 36, at::kDouble).view({1, 4, 3, 3});
  const auto scaled = [w](const at::Tensor& x, double) { return w * x; };
  const at::Tensor led = diffusion::value_guided(scaled, schedule, ones,
                                                 {.share = share, .jacobian = true})(state(), t);
  const at::Tensor slope = (1 - level.noise * w) / level.signal;
  const at::Tensor plain = w * state();
  const at::Tensor lengths = plain.flatten(1).norm(2, {1}, true).view({2, 1, 1, 1});
  const double damped = share * level.signal * level.signal;
  EXPECT_TRUE(at::allclose(led, plain - damped * lengths * slope / slope.norm(), 1e-9, 1e-9));
  EXPECT_FALSE(led.requires_grad());
}

// x ~ N(0, 1) at the end, seen as x_t = signal x + noise e: the network's x0 is signal x_t, and
// what is left of the end's variance is noise^2. For the value -k x^2 / 2, log E[exp(value)] has
// the slope of the plug-in over 1 + k noise^2: for k = 1 / signal^2 that is the damping.
TEST(ValueGuidance, TheDampingIsThatOfAQuadraticValue) {
  for (const double t : {100.0, 500.0, 900.0}) {
    const auto level = diffusion::level_between(schedule_of(Prediction::kEpsilon), t);
    const double signal = level.signal, spread = level.noise * level.noise, x0 = 0.7;
    const double k = 1 / (signal * signal);
    // log E[exp(-k x^2 / 2)] over N(m, v), by its closed form, and its slope in m by differences.
    const auto log_mean = [&](double m) { return -k * m * m / (2 * (1 + k * spread)); };
    const double slope = (log_mean(x0 + 1e-5) - log_mean(x0 - 1e-5)) / 2e-5;
    const double plug_in = -k * x0;
    const double damping = 1 / (1 + spread / (signal * signal));
    EXPECT_NEAR(slope / plug_in, damping, 1e-6) << t;
    // What value_guided does at a share of 1: the move's length over epsilon's.
    const auto led = said_by(
        diffusion::value_guided(network, schedule_of(Prediction::kEpsilon), ones, {.share = 1}),
        schedule_of(Prediction::kEpsilon), t);
    const auto plain = said_by(network, schedule_of(Prediction::kEpsilon), t);
    EXPECT_NEAR(((led.epsilon - plain.epsilon).norm() / plain.epsilon.norm()).item<double>(),
                damping, 1e-6);
  }
}

// Chains whose rows are exchanged on the way equal the chain of the row that went on, until fresh
// noise parts them.
TEST(Select, TheRowsThatGoOnAreThoseOfTheirOwnChain) {
  const auto schedule = schedule_of(Prediction::kEpsilon);
  for (const diffusion::Sampler* sampler : diffusion::samplers()) {
    diffusion::SamplerOptions options{.sampler = sampler, .steps = 6};
    if (diffusion::draws_noise(options)) continue;
    const auto run =
        [&](const std::function<at::Tensor(const diffusion::SamplerCallState&)>& select) {
          auto generators = diffusion::image_generators({11, 12});
          const at::Tensor noise = diffusion::draw_noise(generators, {4, 3, 3}, at::kCPU);
          options.select = select;
          return diffusion::sample(network, noise, schedule, generators, options);
        };
    const at::Tensor apart = run({});
    int64_t seen = 0;
    const at::Tensor copied = run([&](const diffusion::SamplerCallState& state) {
      EXPECT_EQ(state.call, seen++);
      EXPECT_EQ(state.x0.sizes(), at::IntArrayRef({2, 4, 3, 3}));
      return state.call == 3 ? at::tensor({1, 1}, at::kLong) : at::Tensor();
    });
    EXPECT_TRUE(at::equal(copied[0], apart[1])) << sampler->flag;
    EXPECT_TRUE(at::equal(copied[1], apart[1])) << sampler->flag;
    const at::Tensor same = run([](const diffusion::SamplerCallState&) {
      return at::tensor({0, 1}, at::kLong);
    });
    EXPECT_TRUE(at::equal(same, apart)) << sampler->flag;
  }
}

TEST(Select, CopiesPartWithTheNextNoise) {
  const auto schedule = schedule_of(Prediction::kEpsilon);
  const diffusion::SamplerOptions options{
      .sampler = &diffusion::kDdim, .steps = 6, .eta = 1, .select = [](const auto& state) {
        return state.call == 2 ? at::tensor({1, 1}, at::kLong) : at::Tensor();
      }};
  auto generators = diffusion::image_generators({11, 12});
  const at::Tensor noise = diffusion::draw_noise(generators, {4, 3, 3}, at::kCPU);
  const at::Tensor ends = diffusion::sample(network, noise, schedule, generators, options);
  EXPECT_GT((ends[0] - ends[1]).abs().max().item<double>(), 1e-3);
}

// A chain whose output is moved, weighted by the ratios of its steps, is the chain without the
// move: the weights are 1 on average, and the weighted ends have its mean. 6,000 chains of one
// value; the last call is not moved, since no state follows it.
TEST(LogRatio, WeightsAMovedChainBackToTheOtherOne) {
  const auto schedule = schedule_of(Prediction::kEpsilon);
  diffusion::SamplerOptions options{.sampler = &diffusion::kDdim, .steps = 5, .eta = 1};
  const int64_t count = 6000;
  std::vector<uint64_t> seeds;
  for (int64_t i = 0; i < count; ++i) seeds.push_back(static_cast<uint64_t>(i));
  const auto run = [&](const diffusion::Denoiser& denoiser) {
    auto generators = diffusion::image_generators(seeds);
    const at::Tensor noise = diffusion::draw_noise(generators, {1, 1, 1}, at::kCPU);
    return diffusion::sample(denoiser, noise.to(at::kDouble), schedule, generators, options)
        .flatten();
  };
  const diffusion::Denoiser base = [](const at::Tensor& x, double) { return 0.8 * x; };
  const at::Tensor plain = run(base);
  at::Tensor unmoved, weights = at::zeros({count}, at::kDouble);
  int64_t call = 0;
  options.unmoved = [&] { return unmoved; };
  options.select = [&](const diffusion::SamplerCallState& state) {
    EXPECT_EQ(state.log_ratio.defined(), state.call > 0);
    if (state.log_ratio.defined()) weights += state.log_ratio;
    return at::Tensor();
  };
  const at::Tensor moved = run([&](const at::Tensor& x, double t) {
    unmoved = base(x, t);
    return ++call < 5 ? unmoved + 0.15 : unmoved;
  });
  const at::Tensor w = weights.exp();
  const auto error = [&](const at::Tensor& values) {
    return values.std().item<double>() / std::sqrt(static_cast<double>(count));
  };
  EXPECT_GT((moved.mean() - plain.mean()).abs().item<double>(), 5 * error(plain));
  EXPECT_NEAR(w.mean().item<double>(), 1, 4 * error(w));
  EXPECT_NEAR((w * moved).mean().item<double>(), plain.mean().item<double>(),
              4 * (error(w * moved) + error(plain)));
}

}  // namespace
