// Edits in the place of prompts: laurel finetune prdp --edits.

#include "tools/finetune/edit_prompts.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "data/world/edit_sample.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/edit_task.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/world/edits.hpp"

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kCommon = {"--count", "3", "--seed", "4", "--flat"};

fs::path fresh(const std::string& name) {
  const fs::path folder = fs::path(testing::TempDir()) / ("laurel_edit_prompts_" + name);
  fs::remove_all(folder);
  return folder;
}

// Three edits of the flat world, 16 x 16.
fs::path flat_edits(const std::string& name) {
  const fs::path folder = fresh(name);
  testing::internal::CaptureStdout();
  std::vector<std::string> words = kCommon;
  words.insert(words.end(), {"--out", folder.string()});
  tools::kWorldEdits.run(words);
  testing::internal::GetCapturedStdout();
  return folder;
}

struct Edits {
  std::shared_ptr<tools::EditTable> table = std::make_shared<tools::EditTable>();
  tools::NamedEdits named;
};
Edits edits_of(const fs::path& folder) {
  Edits edits;
  edits.named = tools::read_edits(folder.string(), *edits.table);
  return edits;
}

TEST(EditPrompts, NameTheEditsOfAFileOnceAndNeedNoTarget) {
  const fs::path folder = flat_edits("names");
  fs::remove_all(folder / "edited");
  std::string lines = data::read_file(folder / "metadata.jsonl");
  for (size_t at = lines.find("edited_file_name"); at != std::string::npos;
       at = lines.find("edited_file_name", at + 1))
    lines.replace(at, 16, "no_longer_known_");
  data::write_file(folder / "metadata.jsonl", lines + lines);
  const Edits edits = edits_of(folder);
  ASSERT_EQ(edits.named.names.size(), 3u);
  EXPECT_TRUE(edits.named.synthetic);
  EXPECT_TRUE(edits.named.names[1].starts_with("000001.png: "));
  const data::EditTriple& edit = edits.table->at(edits.named.names[1]);
  EXPECT_EQ("000001.png: " + edit.instruction, edits.named.names[1]);
  EXPECT_TRUE(edit.edited.empty());
}

TEST(EditPrompts, ExactScoresAreThoseOfTheTargetAndOfTheUntouchedSource) {
  const Edits edits = edits_of(flat_edits("exact"));
  const auto list = tools::make_edit_rewards(
      "instruction_following=2,jpeg_compressibility,detail_preserving=0.5", {}, edits.table);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].reward.info.name, "instruction_following");
  EXPECT_EQ(list[1].reward.info.name, "jpeg_compressibility");
  EXPECT_EQ(list[2].weight, 0.5);
  std::vector<at::Tensor> images;
  std::vector<std::string> prompts;
  for (const auto& name : edits.named.names) {
    const data::EditTriple& edit = edits.table->at(name);
    const world::EditView view = world::view_of_line(edit.line, edit.where);
    images.insert(images.end(), {view.target, view.source});
    prompts.insert(prompts.end(), {name, name});
  }
  const rewards::RewardBatch batch{at::stack(images), prompts};
  EXPECT_TRUE(
      at::equal(list[0].reward.score(batch), at::tensor({5., 0., 5., 0., 5., 0.}, at::kFloat)));
  EXPECT_TRUE(at::equal(list[2].reward.score(batch), at::full({6}, 5.0, at::kFloat)));
  EXPECT_EQ(list[1].reward.score(batch).size(0), 6);
}

TEST(EditPrompts, OtherRewardsSeeTheInstruction) {
  const Edits edits = edits_of(flat_edits("instruction"));
  const rewards::RewardSources sources = tools::reward_sources({}, at::kCPU);
  const std::string& name = edits.named.names[0];
  const at::Tensor images = at::rand({1, 3, 64, 64});
  const at::Tensor told =
      tools::make_edit_rewards("clip_score", sources, edits.table)[0].reward.score(
          {images, {name}});
  const rewards::Reward plain = rewards::make_reward("clip_score", sources);
  EXPECT_TRUE(at::equal(told, plain.score({images, {edits.table->at(name).instruction}})));
  EXPECT_FALSE(at::equal(told, plain.score({images, {name}})));
}

TEST(EditPrompts, ExactScoresAreRefusedForOtherEdits) {
  const fs::path folder = fresh("others");
  data::write_png(folder / "a.png", at::zeros({3, 8, 8}));
  data::write_file(folder / "metadata.jsonl", R"({"file_name": "a.png", "edit_prompt": "x"})");
  const Edits edits = edits_of(folder);
  EXPECT_FALSE(edits.named.synthetic);
  const std::string message =
      refusal([&] { tools::make_edit_rewards("generation_quality", {}, edits.table); });
  EXPECT_NE(message.find("metadata.jsonl:1 is no edit of the built-in world"), std::string::npos)
      << message;
  EXPECT_EQ(tools::other_edit_scores("detail_preserving=2,aesthetic"),
            "instruction_following,generation_quality");
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
