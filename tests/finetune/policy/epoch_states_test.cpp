#include "finetune/policy/epoch_states.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/support/tiny/run.hpp"

namespace {

using finetune::EpochStates;
using finetune::FinetuneConfig;
using finetune::TrainingTask;

finetune::SamplingPlan chain_of(const TrainingTask& task, const FinetuneConfig& config) {
  return finetune::make_sampling_plan(config, task.pipeline->scheduler, task.latent_shape,
                                      task.device);
}

// Four images of two prompts.
finetune::Trajectories drawn_by(const finetune::SamplingPlan& chain,
                                const finetune::BranchSizes& sizes) {
  const finetune::Denoiser policy = [](const at::Tensor& x, double, const std::vector<int64_t>&) {
    return 0.5 * x;
  };
  return finetune::rollout(
      policy, {},
      {.prompt_ids = {0, 0, 1, 1}, .seeds = {1, 2, 3, 4}, .noise_seeds = {}, .branch_sizes = sizes},
      chain, 4);
}

TEST(EpochStates, AreWhatEachStepBeganWith) {
  const TrainingTask task = tests::tiny_task();
  const auto chain = chain_of(task, tests::tiny_config("ddpo"));
  const auto drawn = drawn_by(chain, {});
  const EpochStates states =
      finetune::epoch_states(drawn, finetune::whole(4), chain, {"a", "b"}, drawn.prompt_ids);
  EXPECT_EQ(states.latents.sizes(), (std::vector<int64_t>{4, 3, 3, 8, 8}));
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_TRUE(at::equal(states.latents.select(1, static_cast<int64_t>(k)),
                          drawn.latents[k].to(at::kHalf)));
    EXPECT_EQ(states.timesteps[k], chain.steps[k].timestep);
  }
  EXPECT_TRUE(at::equal(states.clean, drawn.latents[3]));
  EXPECT_EQ(states.prompt_ids, (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(states.prompts[1].text, "b");
}

// Two images of a prompt share the noise and the first step, and part at the second.
TEST(EpochStates, OfATreeAreThoseThatImagesShare) {
  const TrainingTask task = tests::tiny_task();
  const auto chain = chain_of(task, tests::tiny_config("ddpo"));
  const auto drawn = drawn_by(chain, {2, 1, 1});
  const EpochStates states =
      finetune::epoch_states(drawn, finetune::whole(4), chain, {"a", "b"}, drawn.prompt_ids);
  ASSERT_EQ(states.latents.sizes(), (std::vector<int64_t>{4, 3, 3, 8, 8}));
  for (const int64_t step : {0, 1}) {
    EXPECT_TRUE(at::equal(states.latents[0][step], states.latents[1][step]));
    EXPECT_FALSE(at::equal(states.latents[0][step], states.latents[2][step]));
  }
  EXPECT_FALSE(at::equal(states.latents[0][2], states.latents[1][2]));
}

TEST(StateBytes, ByHand) {
  FinetuneConfig config = tests::tiny_config();
  // 2 x 4 images of 3 steps, 4 x 8 x 8 values of 2 bytes
  EXPECT_EQ(finetune::state_bytes(config, {4, 8, 8}), 8 * 3 * 256 * 2);
  config.sample_num_steps = 6;
  EXPECT_EQ(finetune::state_bytes(config, {4, 8, 8}), 2 * 8 * 3 * 256 * 2);
}

}  // namespace
