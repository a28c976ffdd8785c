#include "finetune/draft/chain_gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "diffusion/sampling/random_noise.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::DraftConfig;

// A network of one parameter: output = w x.
struct Toy {
  finetune::TrainingTask task = tests::tiny_task();
  at::Tensor w = at::full({}, 0.3, at::kFloat).requires_grad_(true);
  finetune::Denoiser policy = [this](const at::Tensor& x, double, const std::vector<int64_t>&) {
    return w * x;
  };
  finetune::Denoiser reference = [](const at::Tensor& x, double, const std::vector<int64_t>&) {
    return 0.25 * x;
  };
  finetune::DraftBatch batch{
      .prompts = {"a", "b", "c"},
      .draw = {.prompt_ids = {0, 1, 2}, .seeds = {11, 12, 13}, .noise_seeds = {}}};
  at::Generator generator = at::detail::createCPUGenerator(1);

  // No value of an image is outside [0, 1], where the reward's gradient is not autograd's.
  Toy() { task.pipeline->vae.config.scaling_factor = 100; }

  DraftConfig config() const {
    DraftConfig settings;
    settings.sample_num_steps = 4;
    settings.reward_chunk = 2;
    return settings;
  }
  double gradient(const DraftConfig& settings, finetune::DraftTerms* terms = nullptr) {
    w.mutable_grad() = at::Tensor();
    const auto chain = finetune::make_draft_chain(settings, task.pipeline->scheduler);
    const auto result =
        finetune::add_chain_gradient(task, settings, chain, policy, reference, batch, generator);
    if (terms) *terms = result;
    return w.grad().item<double>();
  }
  // -mean reward at the end of the chain, by autograd alone; steps before `first` are cut off.
  at::Tensor loss(const DraftConfig& settings, int64_t first) {
    const auto chain = finetune::make_draft_chain(settings, task.pipeline->scheduler);
    auto generators = diffusion::image_generators(batch.draw.seeds);
    at::Tensor x = diffusion::draw_noise(generators, task.latent_shape, at::kCPU);
    for (size_t k = 0; k < chain.steps.size(); ++k) {
      const at::Tensor noise = diffusion::draw_noise(generators, task.latent_shape, at::kCPU);
      if (static_cast<int64_t>(k) == first) x = x.detach();
      x = diffusion::ddim_sample(chain.steps[k], chain.prediction, w * x, x, noise).next;
    }
    return -reward(x);
  }
  at::Tensor reward(const at::Tensor& latents) const {
    const auto scored = task.rewards[0].reward.score(
        {.images = finetune::decode_unclamped(task, latents), .prompts = {"a", "b", "c"}});
    return scored.mean();
  }
  double expected(const at::Tensor& of) {
    w.mutable_grad() = at::Tensor();
    of.backward();
    return w.grad().item<double>();
  }
};

TEST(ChainGradient, OfAllStepsIsThatOfTheWholeChain) {
  Toy toy;
  DraftConfig config = toy.config();
  config.last_steps = 0;
  finetune::DraftTerms terms;
  const double found = toy.gradient(config, &terms);
  const double expected = toy.expected(toy.loss(config, 0));
  EXPECT_NEAR(found, expected, 1e-4 * std::abs(expected));
  EXPECT_NEAR(terms.loss, toy.loss(config, 0).item<double>(), 1e-4);
  EXPECT_NEAR(terms.reward, -terms.loss, 1e-6);
}

TEST(ChainGradient, OfTheLastStepsStopsBeforeThem) {
  Toy toy;
  DraftConfig config = toy.config();
  std::set<double> different;
  for (const int64_t last : {1, 2, 3}) {
    config.last_steps = last;
    const double found = toy.gradient(config);
    const double expected = toy.expected(toy.loss(config, 4 - last));
    EXPECT_NEAR(found, expected, 1e-4 * std::abs(expected)) << last;
    different.insert(found);
  }
  EXPECT_EQ(different.size(), 3u);
}

// A public trainer drew the truncation anew at every step, so that single steps lost their graph.
TEST(ChainGradient, ARandomTruncationIsThatOfOneNumberOfStepsForTheWholeBatch) {
  Toy toy;
  DraftConfig config = toy.config();
  std::vector<double> fixed;
  for (config.last_steps = 1; config.last_steps <= 4; ++config.last_steps)
    fixed.push_back(toy.gradient(config));
  config.last_steps = 0;
  config.random_truncation = true;
  std::set<size_t> drawn;
  for (int i = 0; i < 24; ++i) {
    const double found = toy.gradient(config);
    const auto near = std::find_if(fixed.begin(), fixed.end(), [&](double one) {
      return std::abs(found - one) < 1e-5 * std::abs(one);
    });
    ASSERT_NE(near, fixed.end()) << found;
    drawn.insert(static_cast<size_t>(near - fixed.begin()));
  }
  EXPECT_EQ(drawn.size(), 4u);
}

// ReFL with K 1 rates what the last step predicts: x0 = (x - noise w x) / signal.
TEST(ChainGradient, OfAnEarlyPredictionByHand) {
  Toy toy;
  DraftConfig config = toy.config();
  config.early_x0 = true;
  const double found = toy.gradient(config);
  const auto chain = finetune::make_draft_chain(config, toy.task.pipeline->scheduler);
  auto generators = diffusion::image_generators(toy.batch.draw.seeds);
  at::Tensor x = diffusion::draw_noise(generators, toy.task.latent_shape, at::kCPU);
  for (size_t k = 0; k < 3; ++k) {
    const at::Tensor noise = diffusion::draw_noise(generators, toy.task.latent_shape, at::kCPU);
    x = diffusion::ddim_sample(chain.steps[k], chain.prediction, toy.w * x, x, noise).next.detach();
  }
  const auto& level = chain.steps[3].here;
  const double expected = toy.expected(-toy.reward((x - level.noise * toy.w * x) / level.signal));
  EXPECT_NEAR(found, expected, 1e-4 * std::abs(expected));
}

// The noise of the draws follows that of the chain, from the images' own generators.
TEST(ChainGradient, OfSeveralDrawsIsTheirMean) {
  Toy toy;
  DraftConfig config = toy.config();
  config.variance_draws = 2;
  const double found = toy.gradient(config);
  const auto chain = finetune::make_draft_chain(config, toy.task.pipeline->scheduler);
  auto generators = diffusion::image_generators(toy.batch.draw.seeds);
  const auto noise = [&] {
    return diffusion::draw_noise(generators, toy.task.latent_shape, at::kCPU);
  };
  at::Tensor x = noise();
  for (const auto& step : chain.steps)
    x = diffusion::ddim_sample(step, chain.prediction, toy.w * x, x, noise()).next.detach();
  at::Tensor total = at::zeros({});
  for (int i = 0; i < 2; ++i) {
    const at::Tensor noisy = diffusion::add_noise(chain.steps.back().here, x, noise());
    total = total - toy.reward(diffusion::ddim_sample(chain.steps.back(), chain.prediction,
                                                      toy.w * noisy, noisy, noise())
                                   .next) /
                        2;
  }
  const double expected = toy.expected(total);
  EXPECT_NEAR(found, expected, 1e-4 * std::abs(expected));
}

// The KL of a step of N(m, s) from N(m', s) is (m - m')^2 / (2 s^2); here of all steps.
TEST(ChainGradient, TheKlIsThatOfTheSteps) {
  Toy toy;
  DraftConfig config = toy.config();
  config.last_steps = 0;
  config.kl_coefficient = 0.02;
  finetune::DraftTerms terms;
  const double found = toy.gradient(config, &terms);
  const auto chain = finetune::make_draft_chain(config, toy.task.pipeline->scheduler);
  auto generators = diffusion::image_generators(toy.batch.draw.seeds);
  at::Tensor x = diffusion::draw_noise(generators, toy.task.latent_shape, at::kCPU);
  at::Tensor kl = at::zeros({}, at::kDouble);
  for (const auto& step : chain.steps) {
    const at::Tensor noise = diffusion::draw_noise(generators, toy.task.latent_shape, at::kCPU);
    const auto here = diffusion::ddim_sample(step, chain.prediction, toy.w * x, x, noise),
               there = diffusion::ddim_sample(step, chain.prediction, 0.25 * x, x, noise);
    if (step.sigma > 0)
      kl = kl +
           (here.mean - there.mean).square().sum().to(at::kDouble) / (2 * step.sigma * step.sigma);
    x = here.next;
  }
  const double expected = toy.expected(-toy.reward(x) + 0.02 * kl / 3);
  EXPECT_NEAR(found, expected, 1e-4 * std::abs(expected));
  EXPECT_NEAR(terms.kl, kl.item<double>() / 3, 1e-4 * terms.kl);
}

TEST(DrawTruncation, IsDrawnOnceABatchAndStaysInItsRange) {
  auto generator = at::detail::createCPUGenerator(3);
  DraftConfig config;
  config.last_steps = 3;
  for (int i = 0; i < 3; ++i) {
    const auto cut = finetune::draw_truncation(config, 10, generator);
    EXPECT_EQ(cut.first, 7);
    EXPECT_EQ(cut.last, 10);
  }
  std::set<int64_t> firsts;
  config.random_truncation = true;
  for (int i = 0; i < 60; ++i)
    firsts.insert(finetune::draw_truncation(config, 10, generator).first);
  EXPECT_EQ(firsts, (std::set<int64_t>{7, 8, 9}));
  config.random_truncation = false;
  config.early_x0 = true;
  firsts.clear();
  for (int i = 0; i < 60; ++i) {
    const auto cut = finetune::draw_truncation(config, 10, generator);
    EXPECT_TRUE(cut.predicts);
    EXPECT_EQ(cut.last, cut.first + 1);
    firsts.insert(cut.first);
  }
  EXPECT_EQ(firsts, (std::set<int64_t>{7, 8, 9}));
}

TEST(MakeDraftChain, RefusesWhatNoStepHas) {
  const auto scheduler = tests::tiny_task().pipeline->scheduler;
  DraftConfig config;
  config.last_steps = 11;
  EXPECT_NE(refusal([&] {
              finetune::make_draft_chain(config, scheduler);
            }).find("last_steps: expected at most sample_num_steps (10), found 11"),
            std::string::npos);
  config.last_steps = 1;
  config.sample_eta = 0;
  config.kl_coefficient = 1;
  EXPECT_NE(refusal([&] { finetune::make_draft_chain(config, scheduler); }).find("sample_eta 0"),
            std::string::npos);
}

}  // namespace
