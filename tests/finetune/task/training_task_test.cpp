#include "finetune/task/training_task.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/tiny/edit_task.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::TrainingPrompt;
using finetune::TrainingTask;

// An edit of a grey image of the golden size.
TrainingPrompt edit_in(const fs::path& folder) {
  data::write_png(folder / "grey.png", at::full({3, 16, 24}, 0.5));
  data::EditTriple triple;
  triple.source = folder / "grey.png";
  triple.instruction = "make it red";
  return TrainingPrompt(triple);
}

TEST(TrainingPrompt, IsNamedByItsTextAndByItsSource) {
  EXPECT_EQ(finetune::label_of("a circle"), "a circle");
  const TrainingPrompt edit = edit_in(tests::fresh_folder("edit"));
  EXPECT_EQ(edit.text, "make it red");
  EXPECT_EQ(finetune::label_of(edit), "grey.png: make it red");
}

TEST(TrainingTask, HasTheSizeOfItsModelOrTheOneAskedFor) {
  const auto pipeline = std::make_shared<diffusion::Pipeline>(tests::tiny_pipeline());
  EXPECT_EQ(finetune::make_training_task(pipeline).latent_shape, (std::vector<int64_t>{4, 8, 8}));
  const TrainingTask task = finetune::make_training_task(pipeline, 24);
  EXPECT_EQ(task.latent_shape, (std::vector<int64_t>{4, 12, 12}));
  EXPECT_EQ(finetune::vae_factor(task), 2);
  EXPECT_FALSE(finetune::size_conditions(task).defined());  // SDXL's alone
}

TEST(TrainingTask, EncodesAndDecodesAsItsPipeline) {
  const TrainingTask task = tests::tiny_task();
  const at::Tensor both = finetune::encode(task, {"a", "b"}).hidden;
  EXPECT_TRUE(at::equal(both[1], finetune::encode(task, {"b"}).hidden[0]));
  EXPECT_FALSE(at::equal(both[0], both[1]));
  EXPECT_TRUE(at::equal(finetune::unconditional(task).hidden, finetune::encode(task, {""}).hidden));
  const at::Tensor latents =
      at::tensor({-5.0, 0.0, 1.25, 5.0}).to(at::kHalf).view({1, 1, 2, 2}).expand({1, 3, 2, 2});
  const at::Tensor images = finetune::decode(task, latents),
                   raw = finetune::decode_unclamped(task, latents);
  EXPECT_EQ(images.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(images.select(1, 2).flatten(), at::tensor({0.0f, 0.5f, 0.75f, 1.0f})));
  EXPECT_TRUE(at::equal(raw.select(1, 2).flatten(), at::tensor({-0.5f, 0.5f, 0.75f, 1.5f})));
}

TEST(TrainingTask, AnEditIsConditionedOnItsSourceAndItsRequest) {
  TrainingTask task = tests::edit_task();
  EXPECT_FALSE(finetune::edit_condition(task, {"a"}).image_latents.defined());
  task.request.scores = {5, std::nan(""), 4};
  task.image_guidance_scale = 1.5;
  const TrainingPrompt prompt = edit_in(tests::fresh_folder("edit"));
  const auto edit = finetune::edit_condition(task, {prompt, prompt});
  EXPECT_EQ(edit.image_scale, 1.5);
  std::vector<int64_t> shape = task.latent_shape;
  shape.insert(shape.begin(), 2);
  EXPECT_EQ(edit.image_latents.sizes(), shape);
  EXPECT_TRUE(at::equal(edit.image_latents[0], edit.image_latents[1]));
  EXPECT_EQ(edit.reward.scores[1][2].item<double>(), 4);
  EXPECT_FALSE(edit.reward.valid[0][1].item<bool>());
  EXPECT_THROW(finetune::edit_condition(task, {prompt, "no source"}), c10::Error);
}

TEST(TrainingTask, RewardsSeeTheTextAndTheEdit) {
  const TrainingPrompt edit = edit_in(tests::fresh_folder("edit"));
  const at::Tensor images = at::stack({at::zeros({3, 2, 2}), at::ones({3, 2, 2})});
  const auto batch = finetune::reward_batch(images, {edit, edit});
  EXPECT_EQ(batch.prompts, (std::vector<std::string>{"make it red", "make it red"}));
  EXPECT_EQ(batch.edits.at(1).source, edit.edit->source);
  EXPECT_TRUE(finetune::reward_batch(images, {"a", "b"}).edits.empty());
  const at::Tensor scores = finetune::score_images(
      {{tests::channel_reward("redness", 0, true), 2}, {tests::channel_reward("blue", 2, true), 1}},
      images, {"a", "b"});
  EXPECT_TRUE(at::equal(scores, at::tensor({0.0, 0.0, 10.0, 10.0}, at::kDouble).view({2, 2})));
}

TEST(TrainingTask, SavesItsPipelineAroundANetwork) {
  const TrainingTask task =
      finetune::make_training_task(std::make_shared<diffusion::Pipeline>(tests::tiny_pipeline()));
  auto generator = at::detail::createCPUGenerator(9);
  const diffusion::Network other = diffusion::make_unet(tests::tiny_unet_config(), generator);
  diffusion::SchedulerConfig scheduler = task.pipeline->scheduler;
  scheduler.set_alpha_to_one = !scheduler.set_alpha_to_one;
  const fs::path folder = tests::fresh_folder("model");
  finetune::save_pipeline(task, folder, other, scheduler);
  const diffusion::Pipeline found = diffusion::load_pipeline(folder);
  EXPECT_EQ(found.scheduler.set_alpha_to_one, scheduler.set_alpha_to_one);
  EXPECT_TRUE(at::allclose(diffusion::unet_of(found.network).conv_in.weight.to(at::kFloat),
                           diffusion::unet_of(other).conv_in.weight, 1e-3, 1e-3));
}

}  // namespace
