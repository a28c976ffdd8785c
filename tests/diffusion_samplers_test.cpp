#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/json.hpp"
#include "data/safetensors.hpp"
#include "diffusion/samplers.hpp"
#include "diffusion/step.hpp"

namespace fs = std::filesystem;

namespace {

using diffusion::Prediction;
using diffusion::Sampler;
using diffusion::SamplerOptions;
using diffusion::Spacing;

const fs::path kGolden = fs::path(LAUREL_SOURCE_DIR) / "tests" / "golden";

// The stand-in network of golden/make_schedulers.py.
at::Tensor network(const at::Tensor& x, double t) {
  return 0.3 * x + 0.5 * at::sin(3 * x + t / 1000);
}

diffusion::SchedulerConfig config_of(const nlohmann::json& row) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_samplers.json";
  data::write_file(path, data::to_text(row["config"]));
  auto config = diffusion::read_scheduler_config(path);
  config.steps_offset = row["config"]["steps_offset"];  // the pipeline's 1 aside
  return config;
}

struct Trajectory {
  std::vector<double> timesteps;   // [steps]
  std::vector<at::Tensor> states;  // [steps + 1], each [B, C, H, W]
};

Trajectory trajectory_of(const diffusion::NoiseSchedule& schedule, const SamplerOptions& options) {
  std::vector<double> scales(static_cast<size_t>(options.steps), 1.0);
  if (options.sampler != Sampler::kDdim) {
    const auto table = diffusion::sampler_table(schedule, options);
    for (size_t k = 0; k < scales.size(); ++k) scales[k] = table.steps[k].input_scale;
  }
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

TEST(Samplers, EveryStepEqualsDiffusers) {
  const auto golden = data::read_safetensors(kGolden / "schedulers.safetensors");
  const auto rows = data::read_json(kGolden / "schedulers.json");
  ASSERT_GT(rows.size(), 150u);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto config = config_of(rows[i]);
    const SamplerOptions options{
        .sampler = config.sampler, .steps = rows[i]["steps"], .eta = rows[i]["eta"], .on_step = {}};
    const auto seen = trajectory_of(diffusion::make_schedule(config), options);
    const at::Tensor timesteps = golden.tensors.at(std::to_string(i) + ".timesteps");
    const at::Tensor states =
        golden.tensors.at(std::to_string(i) + ".states");  // [steps + 1, B, C, H, W]
    ASSERT_EQ(seen.states.size(), static_cast<size_t>(states.size(0))) << data::to_text(rows[i]);
    // Zero terminal SNR starts at sigma 4096, where diffusers' own fp32 sums round by as much.
    const double rounding =
        config.rescale_betas_zero_snr ? 1e-7 * states[0].abs().max().item<double>() : 0;
    for (int64_t k = 0; k < states.size(0); ++k) {
      const double scale = states[k].abs().max().item<double>();
      const double error =
          (seen.states[static_cast<size_t>(k)] - states[k]).abs().max().item<double>();
      EXPECT_LT(error, 1e-5 * scale + rounding) << "step " << k << " of " << data::to_text(rows[i]);
      if (k == timesteps.size(0)) continue;
      EXPECT_NEAR(seen.timesteps[static_cast<size_t>(k)], timesteps[k].item<double>(), 1e-3)
          << data::to_text(rows[i]);
    }
  }
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
      trajectory_of(schedule, {.sampler = Sampler::kDdpm, .steps = 10, .on_step = {}});
  const auto ddim =
      trajectory_of(schedule, {.sampler = Sampler::kDdim, .steps = 10, .eta = 1.0, .on_step = {}});
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
    const at::Tensor output = network(x, static_cast<double>(step.timestep));
    x = diffusion::ddim_sample(step, Prediction::kEpsilon, output, x,
                               diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU))
            .next;
  }
  EXPECT_TRUE(at::equal(seen.states.back(), x));
}

TEST(Samplers, DeterministicOnesNeedNoGenerators) {
  const auto schedule = diffusion::make_schedule({});
  const at::Tensor noise = at::ones({1, 1, 2, 3});
  for (const auto sampler : {Sampler::kDdim, Sampler::kDdpm, Sampler::kEuler,
                             Sampler::kEulerAncestral, Sampler::kDpmpp2m}) {
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
  for (const auto sampler :
       {Sampler::kDdpm, Sampler::kEuler, Sampler::kEulerAncestral, Sampler::kDpmpp2m}) {
    diffusion::SchedulerConfig config;
    config.prediction_type = Prediction::kSample;
    const auto perfect = [&](const at::Tensor&, double) { return truth; };
    auto generators = diffusion::image_generators({3});
    const at::Tensor noise = diffusion::draw_noise(generators, {1, 2, 3}, at::kCPU);
    const at::Tensor x0 =
        diffusion::sample(perfect, noise, diffusion::make_schedule(config), generators,
                          {.sampler = sampler, .steps = 8, .on_step = {}});
    EXPECT_TRUE(at::allclose(x0, truth, 0, 1e-5)) << static_cast<int>(sampler);
  }
}

TEST(Samplers, ProgressIsReportedAfterEachStep) {
  std::vector<int64_t> seen;
  trajectory_of(diffusion::make_schedule({}),
                {.sampler = Sampler::kEuler, .steps = 3, .on_step = [&](int64_t done) {
                   seen.push_back(done);
                 }});
  EXPECT_EQ(seen, (std::vector<int64_t>{1, 2, 3}));
}

TEST(Samplers, TooManyStepsAreRefused) {
  const auto schedule = diffusion::make_schedule({});
  for (const auto sampler : {Sampler::kDdpm, Sampler::kEuler, Sampler::kDpmpp2m}) {
    EXPECT_THROW(
        diffusion::sampler_table(schedule, {.sampler = sampler, .steps = 1001, .on_step = {}}),
        data::BadInput);
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
