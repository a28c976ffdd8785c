// Edits in the place of prompts: laurel finetune prdp --edits.

#include "tools/finetune/edit_prompts.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "data/world/edit_sample.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/edit_task.hpp"
#include "tools/world/edits.hpp"

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kCommon = {"--count", "3", "--seed", "4", "--flat"};

// Three edits of the flat world, 16 x 16.
fs::path flat_edits(const std::string& name) {
  const fs::path folder = tests::fresh_folder(name);
  testing::internal::CaptureStdout();
  std::vector<std::string> words = kCommon;
  words.insert(words.end(), {"--out", folder.string()});
  tools::kWorldEdits.run(words);
  testing::internal::GetCapturedStdout();
  return folder;
}

using Prompts = std::vector<finetune::TrainingPrompt>;

Prompts edits_of(const fs::path& folder) {
  std::set<std::string> taken;
  return tools::read_edits(folder.string(), taken);
}

TEST(EditPrompts, NameTheEditsOfAFileOnceAndNeedNoTarget) {
  const fs::path folder = flat_edits("names");
  fs::remove_all(folder / "edited");
  std::string lines = data::read_file(folder / "metadata.jsonl");
  for (size_t at = lines.find("edited_file_name"); at != std::string::npos;
       at = lines.find("edited_file_name", at + 1))
    lines.replace(at, 16, "no_longer_known_");
  data::write_file(folder / "metadata.jsonl", lines + lines);
  std::set<std::string> taken;
  const Prompts prompts = tools::read_edits(folder.string(), taken);
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_TRUE(tools::of_built_in_world(prompts));
  EXPECT_EQ(finetune::label_of(prompts[1]), "000001.png: " + prompts[1].text);
  EXPECT_EQ(prompts[1].edit->instruction, prompts[1].text);
  EXPECT_TRUE(prompts[1].edit->edited.empty());
  EXPECT_TRUE(tools::read_edits(folder.string(), taken).empty());  // all are taken
}

TEST(EditPrompts, ExactScoresAreThoseOfTheTargetAndOfTheUntouchedSource) {
  const auto list =
      rewards::make_rewards("instruction_following=2,jpeg_compressibility,detail_preserving=0.5",
                            tools::with_exact_scores({}));
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].reward.info.name, "instruction_following");
  EXPECT_EQ(list[1].reward.info.name, "jpeg_compressibility");
  EXPECT_EQ(list[2].weight, 0.5);
  std::vector<at::Tensor> images;
  Prompts prompts;
  for (const auto& prompt : edits_of(flat_edits("exact"))) {
    const world::EditView view = world::view_of_line(prompt.edit->line, prompt.edit->where);
    images.insert(images.end(), {view.target, view.source});
    prompts.insert(prompts.end(), {prompt, prompt});
  }
  const at::Tensor scores = finetune::score_images(list, at::stack(images), prompts);
  EXPECT_TRUE(at::equal(scores.select(1, 0), at::tensor({5., 0., 5., 0., 5., 0.}, at::kDouble)));
  EXPECT_TRUE(at::equal(scores.select(1, 2), at::full({6}, 5.0, at::kDouble)));
  EXPECT_THROW(list[0].reward.score({at::stack(images), {}}), c10::Error);  // without edits
}

TEST(EditPrompts, OtherRewardsSeeTheInstruction) {
  const Prompts edits = edits_of(flat_edits("instruction"));
  const at::Tensor images = at::rand({1, 3, 64, 64});
  const rewards::RewardBatch batch = finetune::reward_batch(images, {edits[0]});
  EXPECT_EQ(batch.prompts, std::vector<std::string>{edits[0].edit->instruction});
  EXPECT_EQ(batch.edits.at(0).source, edits[0].edit->source);
  EXPECT_TRUE(finetune::reward_batch(images, {"a circle"}).edits.empty());
}

TEST(EditPrompts, ExactScoresAreRefusedForOtherEdits) {
  const fs::path folder = tests::fresh_folder("others");
  data::write_png(folder / "a.png", at::zeros({3, 8, 8}));
  data::write_file(folder / "metadata.jsonl", R"({"file_name": "a.png", "edit_prompt": "x"})");
  const Prompts edits = edits_of(folder);
  EXPECT_FALSE(tools::of_built_in_world(edits));
  const rewards::RewardSources sources = tools::with_exact_scores({});
  const std::string message = refusal([&] {
    tools::check_exact_scores(rewards::make_rewards("generation_quality", sources), edits);
  });
  EXPECT_NE(message.find("metadata.jsonl:1 is no edit of the built-in world"), std::string::npos)
      << message;
  tools::check_exact_scores(rewards::make_rewards("brightness", sources), edits);
  const auto others = tools::other_edit_scores({{"detail_preserving", 2}, {"aesthetic", 1}});
  ASSERT_EQ(others.size(), 2u);
  EXPECT_EQ(others[0].name, "instruction_following");
  EXPECT_EQ(others[1].name, "generation_quality");
}

TEST(EditPrompts, APrdpRunTeachesAnEditorAndItsResumedRunEqualsTheUninterrupted) {
  const fs::path place = flat_edits("run");
  diffusion::save_pipeline(place / "model", tests::tiny_editor(), at::kFloat);
  const std::string command =
      "OMP_NUM_THREADS=1 " + std::string(tests::program()) + " finetune prdp -m " +
      (place / "model").string() + " --edits " + place.string() +
      " --reward jpeg_compressibility --request 4,-,5 --sample_guidance_scale 2"
      " --image_guidance_scale 1.5 --device cpu --num_epochs 3 --prompts_per_epoch 2"
      " --images_per_prompt 2 --sample_num_steps 3 --eval_prompts 1 --eval_images 1"
      " --checkpointing_steps 1 --checkpoints_total_limit 0 --learning_rate 0.01";
  const auto shell = [&](const std::string& more) {
    return std::system((command + more + " >" + (place / "log").string() + " 2>&1").c_str());
  };
  ASSERT_EQ(shell(" -o " + (place / "whole").string()), 0) << data::read_file(place / "log");
  const std::string metrics = data::read_file(place / "whole/metrics.jsonl");
  for (const char* figure : {"reward/jpeg_compressibility", "seen/instruction_following"})
    EXPECT_NE(metrics.find(figure), std::string::npos) << metrics;
  fs::copy(place / "whole", place / "part", fs::copy_options::recursive);
  for (const char* later : {"checkpoint-2", "checkpoint-3"}) fs::remove_all(place / "part" / later);
  ASSERT_EQ(shell(" --resume_from_checkpoint latest -o " + (place / "part").string()), 0)
      << data::read_file(place / "log");
  const auto state = [&](const char* run) {
    return data::read_safetensors(place / run / "checkpoint-3/state.safetensors").tensors;
  };
  const auto resumed = state("part");
  for (const auto& [name, tensor] : state("whole"))
    EXPECT_TRUE(at::equal(tensor, resumed.at(name))) << name;
}

}  // namespace
