#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/sampling/gaussian_step.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/golden.hpp"

namespace fs = std::filesystem;

namespace {

using diffusion::Prediction;
using diffusion::Sampler;
using diffusion::sampler_of_flag;
using diffusion::SamplerOptions;
using diffusion::Spacing;

const fs::path kGolden = golden::folder();

// The stand-in network of golden/make_schedulers.py.
at::Tensor network(const at::Tensor& x, double t) {
  return 0.3 * x + 0.5 * at::sin(3 * x + t / 1000);
}

diffusion::SchedulerConfig config_of(const nlohmann::json& row) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_samplers.json";
  std::ofstream(path) << data::to_text(row["config"]);  // unlike write_file, not forced to disk
  auto config = diffusion::read_scheduler_config(path);
  config.steps_offset = row["config"].value("steps_offset", 1);  // the pipeline's 1 aside
  return config;
}

struct Trajectory {
  std::vector<double> timesteps;   // [calls]
  std::vector<at::Tensor> states;  // [calls + 1], each [B, C, H, W]
};

Trajectory trajectory_of(const diffusion::NoiseSchedule& schedule, const SamplerOptions& options) {
  std::vector<double> scales;
  for (const auto& call : diffusion::sampler_table(schedule, options).calls)
    scales.push_back(call.input_scale);
  Trajectory seen;
  const auto denoiser = [&](const at::Tensor& x, double t) {
    seen.states.push_back(x / scales[seen.timesteps.size()]);
    seen.timesteps.push_back(t);
    return network(x, t);
  };
  auto generators = diffusion::image_generators({11, 12});
  const at::Tensor noise = diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU);
  seen.states.push_back(diffusion::sample(denoiser, noise, schedule, generators, options));
  return seen;
}

// The largest error of a state, each as a part of its largest value. Sampling from sigma 4096 (zero
// terminal SNR) is forgiven what diffusers' own fp32 sums round there.
double relative_error(const Trajectory& seen, const at::Tensor& states, bool zero_snr) {
  double worst = 0;
  const double rounding = zero_snr ? 1e-7 * states[0].abs().max().item<double>() : 0;
  for (int64_t k = 0; k < states.size(0); ++k) {
    const double scale = states[k].abs().max().item<double>();
    const double error =
        (seen.states[static_cast<size_t>(k)] - states[k]).abs().max().item<double>();
    worst = std::max(worst, (error - rounding) / scale);
  }
  return worst;
}

// States: 1e-5 relative. Run with --gtest_output=json:FILE for the largest error of each sampler.
TEST(Samplers, EveryStepEqualsDiffusers) {
  const auto golden = data::read_safetensors(kGolden / "schedulers.safetensors");
  const auto rows = data::read_json(kGolden / "schedulers.json");
  ASSERT_GT(rows.size(), 440u);
  std::map<std::string, double> worst;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto config = config_of(rows[i]);
    const SamplerOptions options{
        .sampler = config.sampler, .steps = rows[i]["steps"], .eta = rows[i]["eta"], .on_step = {}};
    const auto schedule = diffusion::make_schedule(config, rows[i].value("image_tokens", 0));
    const auto seen = trajectory_of(schedule, options);
    const at::Tensor timesteps = golden.tensors.at(std::to_string(i) + ".timesteps");
    const at::Tensor states =
        golden.tensors.at(std::to_string(i) + ".states");  // [calls + 1, B, C, H, W]
    ASSERT_EQ(seen.states.size(), static_cast<size_t>(states.size(0))) << data::to_text(rows[i]);
    for (int64_t k = 0; k < timesteps.size(0); ++k) {
      EXPECT_NEAR(seen.timesteps[static_cast<size_t>(k)], timesteps[k].item<double>(), 1e-3)
          << "call " << k << " of " << data::to_text(rows[i]);
    }
    const double error = relative_error(seen, states, config.rescale_betas_zero_snr);
    SCOPED_TRACE(data::to_text(rows[i]));
    ::golden::expect_agreement("scheduler " + config.class_name, error, 1e-5);
    double& so_far = worst[config.sampler->flag];
    so_far = std::max(so_far, error);
  }
  for (const auto& [name, error] : worst)
    RecordProperty(name, std::to_string(error * 1e6) + " e-6");
  for (const Sampler* sampler : diffusion::samplers())
    EXPECT_TRUE(worst.contains(sampler->flag)) << "no golden row of " << sampler->flag;
}

TEST(Samplers, AlphaBarsEqualDiffusers) {
  const auto golden = data::read_safetensors(kGolden / "schedulers.safetensors");
  for (const char* kind : {"linear", "scaled_linear", "squaredcos_cap_v2"}) {
    for (const bool zero : {false, true}) {
      diffusion::SchedulerConfig config;
      config.beta_schedule = kind;
      config.rescale_betas_zero_snr = zero;
      config.prediction_type = Prediction::kV;
      const auto bars = diffusion::make_schedule(config).alphas_cumprod;
      const at::Tensor expected =
          golden.tensors.at(std::string("alphas_cumprod.") + kind + (zero ? ".1" : ".0"));
      for (int64_t k = 0; k < expected.size(0); ++k) {
        const double value = expected[k].item<double>();
        EXPECT_NEAR(bars[static_cast<size_t>(37 * k)], value, 1e-6 * value)
            << kind << zero << " " << k;
      }
    }
  }
}

TEST(Samplers, DdpmIsDdimWithEtaOneWhereTheStepsAgree) {
  diffusion::SchedulerConfig config;
  const auto schedule = diffusion::make_schedule(config);
  const auto ddpm =
      trajectory_of(schedule, {.sampler = sampler_of_flag("ddpm"), .steps = 10, .on_step = {}});
  const auto ddim = trajectory_of(
      schedule, {.sampler = sampler_of_flag("ddim"), .steps = 10, .eta = 1.0, .on_step = {}});
  for (size_t k = 0; k < 10; ++k)
    EXPECT_TRUE(at::allclose(ddpm.states[k], ddim.states[k], 1e-4, 1e-5)) << k;
}

TEST(Samplers, ADdimSampleIsItsChainOfSteps) {
  const auto schedule = diffusion::make_schedule({});
  const auto seen =
      trajectory_of(schedule, {.steps = 6, .eta = 1.0, .sigma_min = 0.05, .on_step = {}});
  auto generators = diffusion::image_generators({11, 12});
  at::Tensor x = diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU);
  for (const auto& step : diffusion::ddim_steps(schedule, 6, 1.0, 0.05)) {
    const at::Tensor output = network(x, step.timestep);
    x = diffusion::ddim_sample(step, Prediction::kEpsilon, output, x,
                               diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU))
            .next;
  }
  EXPECT_TRUE(at::equal(seen.states.back(), x));
}

TEST(Samplers, DeterministicOnesNeedNoGenerators) {
  const auto schedule = diffusion::make_schedule({});
  const at::Tensor noise = at::ones({1, 1, 2, 3});
  for (const Sampler* sampler : diffusion::samplers()) {
    const SamplerOptions options{.sampler = sampler, .steps = 4, .on_step = {}};
    std::vector<at::Generator> none;
    if (diffusion::draws_noise(options)) {
      EXPECT_THROW(diffusion::sample(network, noise, schedule, none, options), c10::Error);
    } else {
      EXPECT_EQ(diffusion::sample(network, noise, schedule, none, options).sizes(), noise.sizes());
    }
  }
}

TEST(Samplers, APerfectNetworkEndsAtTheTruth) {
  const at::Tensor truth = at::full({1, 1, 2, 3}, 0.7);
  const auto perfect = [&](const at::Tensor&, double) { return truth; };
  for (const Sampler* sampler : diffusion::samplers()) {
    diffusion::SchedulerConfig config;
    config.prediction_type = Prediction::kSample;
    config.set_alpha_to_one = true;
    auto generators = diffusion::image_generators({3});
    const at::Tensor noise = diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU);
    const at::Tensor x0 =
        diffusion::sample(perfect, noise, diffusion::make_schedule(config), generators,
                          {.sampler = sampler, .steps = 8, .on_step = {}});
    // TCD and DEIS end at timestep 0, whose noise is 0.029; LCM keeps a part of x.
    const std::string flag = sampler->flag;
    const bool nearly = flag == "tcd" || flag == "deis" || flag == "lcm";
    EXPECT_TRUE(at::allclose(x0, truth, 0, nearly ? 0.1 : 1e-5)) << flag;
  }
}

TEST(Samplers, ProgressIsReportedAfterEachCall) {
  const auto schedule = diffusion::make_schedule({});
  const struct {
    const char* flag;
    int64_t calls;
  } kCases[] = {{"euler", 3}, {"pndm", 4}, {"heun", 5}, {"unipc", 3}, {"ddim", 3}, {"dpm++sde", 5}};
  for (const auto& row : kCases) {
    std::vector<int64_t> seen, expected;
    for (int64_t i = 1; i <= row.calls; ++i) expected.push_back(i);
    const SamplerOptions options{.sampler = sampler_of_flag(row.flag),
                                 .steps = 3,
                                 .on_step = [&](int64_t done) { seen.push_back(done); }};
    trajectory_of(schedule, options);
    EXPECT_EQ(seen, expected) << row.flag;
    EXPECT_EQ(diffusion::network_calls(schedule, options), row.calls);
  }
}

TEST(Samplers, TooManyStepsAreRefused) {
  const auto schedule = diffusion::make_schedule({});
  for (const Sampler* sampler : diffusion::samplers()) {
    for (const int64_t steps : {int64_t{0}, int64_t{1001}}) {
      const SamplerOptions options{.sampler = sampler, .steps = steps, .on_step = {}};
      EXPECT_THROW(diffusion::network_calls(schedule, options), data::BadInput) << sampler->flag;
    }
  }
}

std::string message_of(const diffusion::SchedulerConfig& config, const SamplerOptions& options) {
  try {
    diffusion::network_calls(diffusion::make_schedule(config), options);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Samplers, WhatCannotRunSaysWhy) {
  diffusion::SchedulerConfig config;
  config.original_inference_steps = 10;
  const auto refused = [&](const char* flag, int64_t steps, double eta, const char* why) {
    const std::string message = message_of(
        config, {.sampler = sampler_of_flag(flag), .steps = steps, .eta = eta, .on_step = {}});
    EXPECT_NE(message.find(why), std::string::npos) << message;
  };
  refused("lcm", 11, 0, "original_inference_steps = 10");
  refused("tcd", 11, 0, "original_inference_steps = 10");
  refused("tcd", 4, -0.1, "eta: expected a value in [0, 1], found -0.1");
  refused("ddim", 4, 1.5, "eta: expected a value in [0, 1], found 1.5");
  config.skip_prk_steps = false;
  refused("pndm", 3, 0, "expected 4 or more");
  config.solver_order = 3;
  refused("dpm++2m_sde", 8, 0, "solver_order: expected 1 or 2");
  config.lower_order_final = false;
  refused("unipc", 8, 0, "lower_order_final");
  config.rescale_betas_zero_snr = true;
  config.prediction_type = Prediction::kV;
  config.timestep_spacing = Spacing::kTrailing;
  config.skip_prk_steps = true;
  refused("pndm", 8, 0, "zero signal");
}

// A table's numbers worked out on paper.
TEST(Samplers, TablesByHand) {
  diffusion::SchedulerConfig config;
  const auto schedule = diffusion::make_schedule(config);
  const auto table_of = [&](const char* flag, int64_t steps) {
    return diffusion::sampler_table(
        schedule, {.sampler = sampler_of_flag(flag), .steps = steps, .on_step = {}});
  };
  const auto lcm = table_of("lcm", 2).calls;
  EXPECT_EQ(lcm[0].timestep, 999);
  EXPECT_EQ(lcm[1].timestep, 499);
  const double bar = schedule.alphas_cumprod[499];
  EXPECT_NEAR(lcm[0].from_noise, std::sqrt(1 - bar), 1e-12);
  EXPECT_NEAR(lcm[0].from_start, std::sqrt(bar) * 0.25 / (9990.0 * 9990 + 0.25), 1e-15);
  EXPECT_EQ(lcm[1].from_noise, 0);
  const auto heun = table_of("heun", 2).calls;  // from sigma 14.6 to 0.029, then to 0
  ASSERT_EQ(heun.size(), 3u);
  EXPECT_EQ(heun[1].start_from_x, 0);
  EXPECT_EQ(heun[1].start_from_start, 1);
  EXPECT_EQ(heun[1].from_estimates[0], heun[0].from_estimates[0] / 2);
  EXPECT_EQ(heun[1].from_estimates[1], heun[0].from_estimates[0] / 2);
  const auto pndm = table_of("pndm", 4).calls;
  ASSERT_EQ(pndm.size(), 5u);
  EXPECT_EQ(pndm[1].timestep, pndm[2].timestep);
  EXPECT_EQ(pndm[1].from_estimates[0], pndm[1].from_estimates[1]);
  EXPECT_NEAR(pndm[2].from_estimates[2] / pndm[2].from_estimates[0], -1.0 / 3, 1e-12);
  EXPECT_EQ(pndm[2].from_estimates[1], 0);  // the repeated call is not kept
}

// The third-order step from sigma to sigma' weighs the epsilons so that any polynomial of second
// degree in log sigma is integrated exactly.
TEST(Samplers, DeisIntegratesPolynomialsInLogSigma) {
  diffusion::SchedulerConfig config;
  config.solver_order = 3;
  const auto schedule = diffusion::make_schedule(config);
  const SamplerOptions options{.sampler = sampler_of_flag("deis"), .steps = 6, .on_step = {}};
  const auto sigmas = diffusion::sigma_levels(schedule, options).sigmas;
  const auto call = diffusion::sampler_table(schedule, options).calls[3];
  ASSERT_EQ(call.from_estimates.size(), 3u);
  const auto antiderivative = [](int degree, double sigma) {
    const double l = std::log(sigma);
    return sigma * (degree == 0 ? 1 : degree == 1 ? l - 1 : l * l - 2 * l + 2);
  };
  const double signal = 1 / std::sqrt(1 + sigmas[4] * sigmas[4]);
  for (const int degree : {0, 1, 2}) {
    double sum = 0;
    for (size_t k = 0; k < 3; ++k)
      sum += call.from_estimates[k] * std::pow(std::log(sigmas[3 - k]), degree);
    const double exact = antiderivative(degree, sigmas[4]) - antiderivative(degree, sigmas[3]);
    EXPECT_NEAR(sum, signal * exact, 1e-12) << degree;
  }
}

TEST(Samplers, QuantilesOfTheBetaDistribution) {
  for (const double p : {0.0, 0.01, 0.3, 0.5, 0.9, 1.0}) {
    EXPECT_NEAR(diffusion::beta_quantile(p, 1), p, 1e-12);  // uniform
    const double arcsine = std::pow(std::sin(M_PI * p / 2), 2);
    EXPECT_NEAR(diffusion::beta_quantile(p, 0.5), arcsine, 1e-12);
  }
  EXPECT_NEAR(diffusion::beta_quantile(0.3, 0.6), 0.23401700393, 1e-10);  // scipy's
}

// Where the whole chain is drawn: the same image whichever others are in its batch.
TEST(Samplers, AnImageHasItsOwnNoise) {
  const auto schedule = diffusion::make_schedule({});
  for (const Sampler* sampler : diffusion::samplers()) {
    const SamplerOptions options{
        .sampler = sampler, .steps = 4, .eta = sampler->has_eta ? 0.3 : 0, .on_step = {}};
    auto alone = diffusion::image_generators({12});
    const at::Tensor noise = diffusion::draw_noise(alone, {1, 2, 3}, at::kCPU);
    const at::Tensor one = diffusion::sample(network, noise, schedule, alone, options);
    const at::Tensor both = trajectory_of(schedule, options).states.back();
    EXPECT_TRUE(at::allclose(one[0], both[1], 1e-6, 1e-6)) << sampler->flag;
  }
}

TEST(Noise, EachImageHasItsOwnStream) {
  auto together = diffusion::image_generators({1, 2}), alone = diffusion::image_generators({2});
  for (int draw = 0; draw < 2; ++draw) {
    const at::Tensor both = diffusion::draw_noise(together, {4, 8, 8}, at::kCPU);
    EXPECT_TRUE(at::equal(both.slice(0, 1), diffusion::draw_noise(alone, {4, 8, 8}, at::kCPU)));
    EXPECT_FALSE(at::equal(both[0], both[1]));
  }
  EXPECT_THROW(diffusion::draw_noise(alone, {8, 8}, at::kCPU), c10::Error);
}

}  // namespace
