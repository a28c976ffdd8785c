#include "finetune/run/model_card.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

TEST(HubRepository, IsReadFromASnapshotsPath) {
  EXPECT_EQ(finetune::hub_repository("/home/a/.cache/hub/models--owner--a-name/snapshots/12ab"),
            "owner/a-name");
  EXPECT_EQ(finetune::hub_repository("models--owner--name/snapshots/12/model.safetensors"),
            "owner/name");
  for (const char* path : {"", "models/tiny-world", "/a/models--one/snapshots", "x--y--z"})
    EXPECT_EQ(finetune::hub_repository(path), "") << path;
}

TEST(ModelCard, HasTheKeysThatTheHubReads) {
  finetune::ModelCard card{.record = {.kind = "prdp",
                                      .model = "/hub/models--owner--name/snapshots/1",
                                      .reward = "aesthetic=1",
                                      .device = "cpu",
                                      .seed = 7,
                                      .synthetic = true},
                           .command = "laurel finetune prdp",
                           .updates = 12,
                           .images = {{"samples/step-12/0000.png", "a \"red\" circle: large"}},
                           .figures = {{"trained reward", "+0.5"}}};
  const std::string text = finetune::card_text(card);
  for (const char* line :
       {"---\nbase_model: owner/name\nbase_model_relation: adapter\n",
        "pipeline_tag: text-to-image\n", "- lora\n- template:sd-lora\n- synthetic\n",
        "widget:\n- text: \"a \\\"red\\\" circle: large\"\n  output:\n    url: "
        "samples/step-12/0000.png\n---\n",
        "| updates | 12 |\n", "| seed | 7 |\n", "| trained reward | +0.5 |\n"})
    EXPECT_NE(text.find(line), text.npos) << line << "\nin\n" << text;
  card.adapter = false;
  card.record.model = "models/tiny-world";
  const std::string whole = finetune::card_text(card);
  EXPECT_EQ(whole.find("base_model:"), whole.npos);
  EXPECT_EQ(whole.find("- lora"), whole.npos);
  EXPECT_NE(whole.find("# prdp on tiny-world\n"), whole.npos);
}

TEST(CardImages, AreTheFirstOfAFolder) {
  const auto run = tests::fresh_folder();
  EXPECT_TRUE(finetune::card_images(run, "samples/base", 3).empty());
  data::write_file(run / "samples/base/scores.jsonl",
                   "{\"file\": \"0000.png\", \"prompt\": \"a\"}\n{\"file\": \"0001.png\", "
                   "\"prompt\": \"b\"}\n");
  const auto images = finetune::card_images(run, "samples/base", 1);
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(images[0].file, "samples/base/0000.png");
  EXPECT_EQ(images[0].prompt, "a");
}

}  // namespace
