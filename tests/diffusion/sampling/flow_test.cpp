// Flow matching: its scheduler files, the times of a run, the methods and the Gaussian steps on its
// levels.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/sampling/flow_levels.hpp"
#include "diffusion/sampling/gaussian_step.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/refusal.hpp"

namespace fs = std::filesystem;

namespace {

using diffusion::FlowConfig;
using diffusion::Prediction;
using diffusion::Sampler;
using diffusion::sampler_of_flag;
using diffusion::SamplerOptions;
using diffusion::SchedulerConfig;

SchedulerConfig flow_scheduler(double shift = 1) {
  SchedulerConfig config;
  config.class_name = "FlowMatchEulerDiscreteScheduler";
  config.sampler = sampler_of_flag("euler");
  config.prediction_type = Prediction::kFlow;
  config.flow = FlowConfig{.shift = shift};
  return config;
}

diffusion::NoiseSchedule flow_schedule(double shift = 1) {
  return diffusion::make_schedule(flow_scheduler(shift));
}

at::Tensor random(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kDouble) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions(type));
}

SchedulerConfig config_from(const std::string& json) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_flow_scheduler.json";
  data::write_file(path, json);
  return diffusion::read_scheduler_config(path);
}

std::string flow_file(const std::string& keys) {
  return R"({"_class_name": "FlowMatchEulerDiscreteScheduler")" + keys + "}";
}

TEST(FlowConfig, StableDiffusion3sFileIsRead) {
  const auto config = config_from(flow_file(R"(, "num_train_timesteps": 1000, "shift": 3.0)"));
  EXPECT_EQ(config.sampler, sampler_of_flag("euler"));
  EXPECT_EQ(config.prediction_type, Prediction::kFlow);
  ASSERT_TRUE(config.flow);
  EXPECT_EQ(config.flow->shift, 3);
  EXPECT_FALSE(config.flow->use_dynamic_shifting);
  EXPECT_EQ(config_from(flow_file("")).flow->shift, 1);
}

TEST(FlowConfig, EveryKeyIsKept) {
  for (const std::string& json :
       {flow_file(R"(, "num_train_timesteps": 500, "shift": 3.0, "use_dynamic_shifting": true,
          "base_shift": 0.4, "max_shift": 1.25, "base_image_seq_len": 128, "max_image_seq_len": 8192,
          "shift_terminal": 0.02, "time_shift_type": "linear", "use_karras_sigmas": true)"),
        std::string(R"({"_class_name": "FlowMatchHeunDiscreteScheduler", "shift": 1.5})"),
        std::string(R"({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": true,
          "prediction_type": "flow_prediction", "flow_shift": 3.0, "solver_order": 3,
          "use_dynamic_shifting": true})"),
        std::string(R"({"_class_name": "DPMSolverSinglestepScheduler", "use_flow_sigmas": true,
          "prediction_type": "flow_prediction", "flow_shift": 2.0})"),
        std::string(R"({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true,
          "prediction_type": "flow_prediction", "flow_shift": 3.0, "shift_terminal": 0.1})")}) {
    const fs::path folder = fs::path(testing::TempDir()) / "laurel_flow_kept";
    diffusion::write_scheduler_config(folder, config_from(json));
    const auto written = data::read_json(folder / "scheduler_config.json");
    const auto given = data::parse_json(json);
    for (const auto& [key, value] : given.items()) EXPECT_EQ(written[key], value) << key << json;
    EXPECT_TRUE(diffusion::read_scheduler_config(folder).flow);
  }
}

TEST(FlowConfig, ItsOwnClassesHaveNoBetas) {
  const fs::path folder = fs::path(testing::TempDir()) / "laurel_flow_betas";
  diffusion::write_scheduler_config(folder, config_from(flow_file("")));
  const auto written = data::read_json(folder / "scheduler_config.json");
  EXPECT_FALSE(written.contains("beta_start"));
  EXPECT_FALSE(written.contains("prediction_type"));
  EXPECT_TRUE(written["shift_terminal"].is_null());
}

TEST(FlowConfig, WhatLaurelLacksIsRefusedByName) {
  const auto refused = [](const std::string& json, const std::string& expected) {
    const std::string message = refusal([&] { config_from(json); });
    EXPECT_NE(message.find(expected), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  const auto with = [](const char* name, const std::string& keys) {
    return R"({"_class_name": ")" + std::string(name) + R"(")" + keys + "}";
  };
  const std::string flow = R"(, "use_flow_sigmas": true, "prediction_type": "flow_prediction")";
  refused(flow_file(R"(, "invert_sigmas": true)"), "invert_sigmas: expected false");
  refused(flow_file(R"(, "stochastic_sampling": true)"), "stochastic_sampling: expected false");
  refused(flow_file(R"(, "shift": 0)"), "shift: expected a value above 0, found 0");
  refused(flow_file(R"(, "shift_terminal": 1)"), "shift_terminal: expected a value in [0, 1)");
  refused(flow_file(R"(, "time_shift_type": "cubic")"), "expected exponential or linear");
  refused(flow_file(R"(, "max_image_seq_len": 256)"), "max_image_seq_len");
  refused(flow_file(R"(, "use_karras_sigmas": true, "use_beta_sigmas": true)"), "one of");
  refused(with("EulerDiscreteScheduler", flow), "use_flow_sigmas: expected false");
  refused(with("UniPCMultistepScheduler", R"(, "use_flow_sigmas": true)"),
          "prediction_type: expected flow_prediction with use_flow_sigmas, found epsilon");
  refused(with("UniPCMultistepScheduler", R"(, "prediction_type": "flow_prediction")"),
          "expected use_flow_sigmas true");
  refused(with("UniPCMultistepScheduler", flow + R"(, "use_karras_sigmas": true)"),
          "use_karras_sigmas: expected false");
  refused(with("UniPCMultistepScheduler", flow + R"(, "final_sigmas_type": "sigma_min")"),
          "final_sigmas_type: expected zero");
}

TEST(FlowConfig, ADynamicShiftFollowsTheImagesSize) {
  FlowConfig config{.shift = 3};
  EXPECT_EQ(diffusion::shift_of(config, 0), 3);
  config.use_dynamic_shifting = true;
  EXPECT_NEAR(diffusion::shift_of(config, 256), std::exp(0.5), 1e-12);
  EXPECT_NEAR(diffusion::shift_of(config, 4096), std::exp(1.15), 1e-12);
  EXPECT_NEAR(diffusion::shift_of(config, (256 + 4096) / 2), std::exp(0.825), 1e-12);
  config.time_shift_type = "linear";
  EXPECT_NEAR(diffusion::shift_of(config, 4096), 1.15, 1e-12);
  EXPECT_NE(refusal([&] { diffusion::shift_of(config, 0); }).find("give a shift"),
            std::string::npos);
}

TEST(FlowTimes, TheSmallestTimeIsShiftedTwice) {
  const auto times = diffusion::flow_match_times(flow_schedule(3), 4);
  ASSERT_EQ(times.t.size(), 5u);
  // S(t) = 3 t / (1 + 2 t); S(0.001) = 0.003 / 1.002, and again.
  const double once = 0.003 / 1.002, twice = 3 * once / (1 + 2 * once);
  EXPECT_EQ(times.t[0], 1);
  EXPECT_NEAR(times.t[3], twice, 1e-7);
  EXPECT_NEAR(times.t[3], 0.008929, 1e-6);
  EXPECT_EQ(times.t[4], 0);
  const double middle = 1 - (1 - once) / 3;
  EXPECT_NEAR(times.t[1], 3 * middle / (1 + 2 * middle), 1e-6);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(times.timesteps[i], 1000 * times.t[i], 1e-3);
}

TEST(FlowTimes, SolversCutTimestepsToIntegers) {
  const auto times = diffusion::flow_solver_times(flow_schedule(3), 4, false);
  // 1 - linspace(1, 0.001, 5) from the back: 0.999, 0.74925, ..., shifted.
  EXPECT_NEAR(times.t[0], 3 * 0.999 / (1 + 2 * 0.999), 1e-6);
  EXPECT_EQ(times.timesteps[0], 999);
  EXPECT_NEAR(times.t[1], 3 * 0.74925 / (1 + 2 * 0.74925), 1e-6);
  EXPECT_EQ(times.timesteps[1], 899);
  const auto unipc = diffusion::flow_solver_times(flow_schedule(3), 4, true);
  EXPECT_NEAR(unipc.t[0], 1 - 1e-6, 1e-7);
  EXPECT_LT(unipc.t[0], 1);
}

TEST(FlowTimes, FallForEveryNumberOfStepsAndShift) {
  for (const double shift : {0.5, 1.0, 3.0, 12.0}) {
    for (const int64_t steps : {1, 2, 7, 50, 1000}) {
      const auto schedule = flow_schedule(shift);
      for (const auto& times : {diffusion::flow_match_times(schedule, steps),
                                diffusion::flow_solver_times(schedule, steps, false),
                                diffusion::flow_solver_times(schedule, steps, true)}) {
        ASSERT_EQ(times.timesteps.size(), static_cast<size_t>(steps));
        for (size_t i = 1; i < times.t.size(); ++i) ASSERT_LT(times.t[i], times.t[i - 1]);
        EXPECT_LE(times.t.front(), 1);
        EXPECT_EQ(times.t.back(), 0);
      }
    }
  }
}

TEST(FlowTimes, WrongStepsAndOtherSchedulesThrow) {
  for (const int64_t steps : {0, 1001}) {
    EXPECT_THROW(diffusion::flow_match_times(flow_schedule(), steps), data::BadInput);
    EXPECT_THROW(diffusion::flow_solver_times(flow_schedule(), steps, true), data::BadInput);
  }
  EXPECT_THROW(diffusion::flow_match_times(diffusion::make_schedule({}), 4), c10::Error);
}

TEST(FlowSchedule, ATimestepIsAThousandTimes) {
  const auto schedule = flow_schedule(3);  // the shift is of sampling alone
  EXPECT_NEAR(diffusion::level_at(schedule, 250).signal, 0.75, 1e-12);
  EXPECT_NEAR(diffusion::level_between(schedule, 602.5).noise, 0.6025, 1e-12);
  const at::Tensor x0 = random({2, 1, 2, 2}, 1), noise = random({2, 1, 2, 2}, 2);
  const at::Tensor t = at::tensor({250, 900});
  const at::Tensor x = diffusion::add_noise(schedule, x0, noise, t);
  EXPECT_TRUE(at::allclose(x[0], 0.75 * x0[0] + 0.25 * noise[0]));
  EXPECT_TRUE(at::allclose(x[1], 0.1 * x0[1] + 0.9 * noise[1]));
  EXPECT_TRUE(at::equal(diffusion::training_target(schedule, x0, noise, t), noise - x0));
  const auto levels = diffusion::training_levels(schedule);
  EXPECT_EQ(levels.noise.size(0), 1000);
  EXPECT_NEAR(levels.signal[400].item<double>(), 0.6, 1e-12);
  EXPECT_NEAR(diffusion::signal_to_noise_ratios(schedule)[500].item<double>(), 1, 1e-12);
}

TEST(FlowSchedule, ThePredictionMustFitTheLevels) {
  SchedulerConfig config = flow_scheduler();
  config.prediction_type = Prediction::kEpsilon;
  EXPECT_NE(refusal([&] { diffusion::make_schedule(config); }).find("expected flow_prediction"),
            std::string::npos);
  SchedulerConfig betas;
  betas.prediction_type = Prediction::kFlow;
  EXPECT_NE(refusal([&] { diffusion::make_schedule(betas); }).find("scheduler of flow matching"),
            std::string::npos);
}

TEST(FlowFamily, BetasAreRefusedWhereTheNetworkSaysAVelocity) {
  const diffusion::ModelFamily flow{.name = "Flow", .says_velocity = true};
  EXPECT_EQ(refusal([&] { diffusion::check_scheduler(flow, SchedulerConfig(), "here"); }),
            "here: scheduler: expected one of flow matching, as Flow needs "
            "(FlowMatchEulerDiscreteScheduler), found DDIMScheduler with betas; take the "
            "scheduler_config.json of the model's source");
  diffusion::check_scheduler(flow, flow_scheduler(), "here");
  diffusion::check_scheduler({.name = "Any"}, flow_scheduler(), "here");
}

std::vector<const Sampler*> flow_samplers() {
  std::vector<const Sampler*> able;
  for (const Sampler* row : diffusion::samplers()) {
    if (row->flow != nullptr) able.push_back(row);
  }
  return able;
}

// The time at which a call sees x. Solvers cut the timestep off, but their x0 is x - t v.
double time_of(const diffusion::SamplerCall& call) {
  const double slope = call.estimate.from_output;
  return slope < 0 ? -slope : call.timestep / 1000;
}

// x0 and epsilon are constants of a straight path, so every method follows it exactly.
TEST(FlowSamplers, AStraightPathEndsAtItsImage) {
  const auto schedule = flow_schedule(3);
  const at::Tensor truth = random({1, 1, 2, 3}, 5, at::kFloat);
  for (const Sampler* sampler : flow_samplers()) {
    const SamplerOptions options{.sampler = sampler, .steps = 6, .on_step = {}};
    const auto calls = diffusion::sampler_table(schedule, options).calls;
    size_t done = 0;
    const auto velocity = [&](const at::Tensor& x, double) -> at::Tensor {
      return (x - truth) / time_of(calls[done++]);
    };
    auto generators = diffusion::image_generators({3});
    const at::Tensor noise = diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU);
    const at::Tensor x0 = diffusion::sample(velocity, noise, schedule, generators, options);
    EXPECT_LT((x0 - truth).abs().max().item<double>(), 1e-4) << sampler->flag;
  }
}

TEST(FlowSamplers, DdimWithoutNoiseIsEuler) {
  const auto schedule = flow_schedule(3);
  const auto network = [](const at::Tensor& x, double t) { return at::sin(3 * x + t / 1000); };
  const auto run = [&](const char* flag) {
    auto generators = diffusion::image_generators({11});
    const at::Tensor noise = diffusion::draw_noise(generators, {2, 2, 3}, at::kCPU);
    return diffusion::sample(network, noise, schedule, generators,
                             {.sampler = sampler_of_flag(flag), .steps = 7, .on_step = {}});
  };
  EXPECT_TRUE(at::allclose(run("ddim"), run("euler"), 1e-5, 1e-6));
}

TEST(FlowSamplers, OthersAreRefusedAndThoseThatRunAreNamed) {
  const auto schedule = flow_schedule();
  size_t refused = 0;
  for (const Sampler* sampler : diffusion::samplers()) {
    if (sampler->flow != nullptr) continue;
    ++refused;
    const std::string message = refusal([&] {
      diffusion::network_calls(schedule, {.sampler = sampler, .steps = 4, .on_step = {}});
    });
    EXPECT_EQ(message, "sampling method: " + std::string(sampler->label) +
                           " does not run on a flow-matching model; take one of ddim, euler, "
                           "heun, dpm++2m, dpm++2m_sde, dpm++2s, unipc");
  }
  EXPECT_EQ(refused, 7u);
}

TEST(FlowSamplers, KarrasSigmasAreOfEulerHeunAndDdim) {
  SchedulerConfig config = flow_scheduler();
  config.sigma_schedule = diffusion::sampler_from_name("euler_karras", "").sigma_schedule;
  const auto schedule = diffusion::make_schedule(config);
  const auto calls = [&](const char* flag) {
    return diffusion::network_calls(schedule,
                                    {.sampler = sampler_of_flag(flag), .steps = 4, .on_step = {}});
  };
  EXPECT_EQ(calls("euler"), 4);
  EXPECT_NE(refusal([&] { calls("unipc"); }).find("UniPC takes no Karras sigmas"),
            std::string::npos);
}

TEST(FlowSamplers, AnImageBeginsAtTheLevelOfItsFirstCall) {
  const auto schedule = flow_schedule(3);
  const SamplerOptions options{.sampler = sampler_of_flag("euler"), .steps = 10, .on_step = {}};
  const auto times = diffusion::flow_match_times(schedule, 10);
  const at::Tensor image = random({1, 1, 2, 2}, 1), noise = random({1, 1, 2, 2}, 2);
  std::vector<at::Tensor> seen;
  const auto denoiser = [&](const at::Tensor& x, double) {
    seen.push_back(x);
    return at::zeros_like(x);
  };
  std::vector<at::Generator> none;
  diffusion::sample_from({.latents = image, .strength = 0.4}, denoiser, noise, schedule, none,
                         options);
  ASSERT_EQ(seen.size(), 4u);
  const double t = times.t[6];
  EXPECT_TRUE(at::allclose(seen[0], (1 - t) * image + t * noise, 1e-6, 1e-7));
}

// The steps of diffusion::ddim_steps on flow matching's levels.
class FlowSteps : public testing::TestWithParam<double> {};

TEST_P(FlowSteps, HaveTheMeanAndDeviationOfThePosterior) {
  const double eta = GetParam();
  const at::Tensor x0 = random({1, 1, 2, 2}, 1), epsilon = random({1, 1, 2, 2}, 2);
  const auto steps = diffusion::ddim_steps(flow_schedule(3), 10, eta, 0);
  const auto times = diffusion::flow_match_times(flow_schedule(3), 10);
  for (size_t k = 0; k < steps.size(); ++k) {
    const double t = times.t[k], next = times.t[k + 1];
    // Of q(x' | x, x0): t'^2 (1 - ((1 - t) t' / ((1 - t') t))^2).
    const double ratio = (1 - t) * next / ((1 - next) * t);
    const double sigma = eta * next * std::sqrt(1 - ratio * ratio);
    EXPECT_NEAR(steps[k].sigma, sigma, 1e-9);
    EXPECT_EQ(steps[k].timestep, times.timesteps[k]);
    const at::Tensor x = (1 - t) * x0 + t * epsilon;
    const auto drawn =
        diffusion::ddim_sample(steps[k], Prediction::kFlow, epsilon - x0, x, at::zeros_like(x));
    const at::Tensor mean =
        (1 - next) * x0 + std::sqrt(std::max(next * next - sigma * sigma, 0.0)) * epsilon;
    EXPECT_TRUE(at::allclose(drawn.mean, mean, 1e-6, 1e-7)) << k;
  }
}

TEST_P(FlowSteps, KappaIsTheSlopeOfTheMeanInTheVelocity) {
  const at::Tensor x = random({1, 1, 2, 2}, 3), v = random({1, 1, 2, 2}, 4),
                   zero = at::zeros_like(x);
  for (const auto& step : diffusion::ddim_steps(flow_schedule(3), 10, GetParam(), 0)) {
    const auto at0 = diffusion::ddim_sample(step, Prediction::kFlow, v, x, zero);
    const auto at1 = diffusion::ddim_sample(step, Prediction::kFlow, v + 1, x, zero);
    EXPECT_NEAR((at1.mean - at0.mean).mean().item<double>(), step.kappa, 1e-10);
    EXPECT_LT(step.kappa, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Eta, FlowSteps, testing::Values(0.0, 0.6, 1.0));

TEST(FlowStep, LogProbabilityByHand) {
  // From t = 0.5 to 0.25 at eta 1: ratio = 0.5 0.25 / (0.75 0.5) = 1/3, sigma = 0.25 sqrt(8) / 3,
  // the weight of epsilon sqrt(1/16 - 1/18) = 1/12. x = 2, v = 1: x0 = 1.5, epsilon = 2.5.
  const auto step = diffusion::step_between(diffusion::flow_level(0.5), diffusion::flow_level(0.25),
                                            Prediction::kFlow, 1.0, 0);
  const double sigma = std::sqrt(8.0) / 12;
  EXPECT_NEAR(step.sigma, sigma, 1e-12);
  EXPECT_NEAR(step.from_epsilon, 1.0 / 12, 1e-12);
  EXPECT_NEAR(step.kappa, -0.5 * 0.75 + 0.5 / 12, 1e-12);
  const at::Tensor x = at::full({1, 1, 1, 2}, 2.0, at::kDouble), v = at::ones_like(x);
  const double mean = 0.75 * 1.5 + 2.5 / 12;
  const at::Tensor next = at::tensor({mean, mean + 2 * sigma}, at::kDouble).view({1, 1, 1, 2});
  const auto scored = diffusion::ddim_log_prob(step, Prediction::kFlow, v, x, next);
  EXPECT_NEAR(scored.log_prob.item<double>(), -2 - 2 * (std::log(sigma) + 0.5 * std::log(2 * M_PI)),
              1e-9);
}

TEST(FlowStep, ScoringASampledStepGivesItsLogProbabilityBitForBit) {
  const at::Tensor x = random({3, 4, 8, 8}, 3, at::kFloat), v = random({3, 4, 8, 8}, 4, at::kFloat),
                   noise = random({3, 4, 8, 8}, 5, at::kFloat);
  for (const auto& step : diffusion::ddim_steps(flow_schedule(3), 10, 0.7, 0.01)) {
    const auto sampled = diffusion::ddim_sample(step, Prediction::kFlow, v, x, noise);
    const auto scored = diffusion::ddim_log_prob(step, Prediction::kFlow, v, x, sampled.next);
    EXPECT_TRUE(at::equal(sampled.log_prob, scored.log_prob));
  }
}

// x' keeps the noise of its level: with exact x0 and epsilon, x' - (1 - t') x0 has the variance
// t'^2. The tolerance is 5 standard errors of a variance of n values, t'^2 sqrt(2 / n).
TEST(FlowStep, TheNextStateHasTheNoiseOfItsLevel) {
  const int64_t n = 200000;
  const at::Tensor x0 = at::full({1, 1, 1, n}, 0.3, at::kDouble), epsilon = random({1, 1, 1, n}, 1),
                   noise = random({1, 1, 1, n}, 2);
  for (const auto& step : diffusion::ddim_steps(flow_schedule(3), 5, 1.0, 0)) {
    const at::Tensor x = diffusion::add_noise(step.here, x0, epsilon);
    const auto drawn = diffusion::ddim_sample(step, Prediction::kFlow, epsilon - x0, x, noise);
    const double variance = step.there.noise * step.there.noise;
    const at::Tensor rest = drawn.next - step.there.signal * x0;
    EXPECT_NEAR(rest.square().mean().item<double>(), variance,
                5 * variance * std::sqrt(2.0 / static_cast<double>(n)) + 1e-12);
    EXPECT_NEAR(rest.mean().item<double>(), 0,
                5 * step.there.noise / std::sqrt(static_cast<double>(n)) + 1e-12);
  }
}

}  // namespace
