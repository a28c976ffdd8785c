// Chains that begin at an image, and images that keep a part.

#include "diffusion/pipeline/inpaint_mask.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "diffusion/pipeline/generate.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/tiny/edit_task.hpp"

namespace {

// A network that knows the image: what it says always leads to x0.
diffusion::Denoiser knowing(const diffusion::NoiseSchedule& schedule,
                            const at::Tensor& x0,
                            std::vector<at::Tensor>& seen,
                            std::vector<double>& timesteps) {
  return [&schedule, x0, &seen, &timesteps](const at::Tensor& x, double t) {
    seen.push_back(x);
    timesteps.push_back(t);
    return diffusion::output_for(schedule.config.prediction_type,
                                 diffusion::level_between(schedule, t), x, x0);
  };
}

TEST(Start, EveryMethodBeginsAtTheNoisedImageAndEndsAtIt) {
  const auto schedule = diffusion::make_schedule({});
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor x0 = at::randn({2, 4, 8, 8}, generator),
                   noise = at::randn({2, 4, 8, 8}, generator);
  for (const diffusion::Sampler* sampler : diffusion::samplers()) {
    std::vector<at::Tensor> seen;
    std::vector<double> timesteps;
    auto generators = diffusion::image_generators({1, 2});
    const diffusion::SamplerOptions options{.sampler = sampler, .steps = 20};
    const int64_t all = diffusion::network_calls(schedule, options);
    const at::Tensor result = diffusion::sample_from(
        {x0, 0.5}, knowing(schedule, x0, seen, timesteps), noise, schedule, generators, options);
    const std::string name = sampler->label;
    EXPECT_NEAR(static_cast<double>(seen.size()), static_cast<double>(all) / 2, 1.6) << name;
    const auto level = diffusion::level_between(schedule, timesteps[0]);
    EXPECT_LT((seen[0] - diffusion::add_noise(level, x0, noise)).abs().max().item<double>(), 0.02)
        << name;
    EXPECT_LT((result - x0).abs().mean().item<double>(), 0.06) << name;
  }
}

TEST(Start, DdimIsImg2ImgByHand) {
  const auto schedule = diffusion::make_schedule({});
  const at::Tensor x0 = at::ones({1, 4, 8, 8}), noise = at::full({1, 4, 8, 8}, 2.0);
  std::vector<double> timesteps;
  std::vector<at::Generator> none;
  const auto denoiser = [&](const at::Tensor& x, double t) {
    timesteps.push_back(t);
    return 0.1 * x;
  };
  diffusion::sample_from({x0, 0.3}, denoiser, noise, schedule, none, {.steps = 10});
  EXPECT_EQ(timesteps, (std::vector<double>{201, 101, 1}));  // the last three of ten
  timesteps.clear();
  diffusion::sample_from({x0, 0.01}, denoiser, noise, schedule, none, {.steps = 10});
  EXPECT_EQ(timesteps.size(), 1u);  // at least one
}

TEST(Keep, TheKeptPartIsTheSourceToThePixelAndTheRestIsFree) {
  const auto pipeline = tests::tiny_editor();
  auto generator = at::detail::createCPUGenerator(3);
  diffusion::ImageRequest request{.prompt = "a red circle",
                                  .negative_prompt = "",
                                  .seed = 3,
                                  .latents = {},
                                  .source = at::rand({3, 16, 16}, generator)};
  const auto image = [&](const at::Tensor& change) {
    request.change = change;
    at::Tensor result;
    diffusion::GenerateOptions options;
    options.sampler.steps = 4;
    diffusion::generate(pipeline, {request}, options,
                        [&](const auto& batch) { result = batch.images[0]; });
    return result;
  };
  at::Tensor left = at::zeros({1, 16, 16});
  left.slice(2, 0, 8).fill_(1);
  const at::Tensor kept = image(left), whole = image(at::ones({1, 16, 16})), plain = image({});
  EXPECT_TRUE(at::equal(kept.slice(2, 8, 16), request.source.slice(2, 8, 16)));
  EXPECT_FALSE(at::allclose(kept.slice(2, 0, 8), request.source.slice(2, 0, 8), 0, 0.05));
  EXPECT_TRUE(at::allclose(whole, plain, 1e-4, 1e-5));
}

TEST(Keep, LeadsEveryPredictionToTheSource) {
  diffusion::SchedulerConfig config;
  const at::Tensor x0 = at::randn({1, 4, 8, 8}), noise = at::randn({1, 4, 8, 8});
  for (const auto prediction : {diffusion::Prediction::kEpsilon, diffusion::Prediction::kV,
                                diffusion::Prediction::kSample}) {
    config.prediction_type = prediction;
    const auto schedule = diffusion::make_schedule(config);
    const auto zero = [](const at::Tensor& x, double) { return at::zeros_like(x); };
    const auto denoiser = diffusion::masked_denoiser(zero, schedule, {at::zeros({1, 1, 8, 8}), x0});
    const auto level = diffusion::level_at(schedule, 400);
    const at::Tensor x = diffusion::add_noise(level, x0, noise);
    const at::Tensor found = diffusion::predict(prediction, level, denoiser(x, 400.0), x).x0;
    EXPECT_TRUE(at::allclose(found, x0, 1e-4, 1e-5));
  }
}

}  // namespace
