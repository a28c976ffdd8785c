#include "tools/finetune/forward_command.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"
#include "tools/finetune/choice_files.hpp"
#include "tools/finetune/forward/rows.hpp"

namespace {

namespace fs = std::filesystem;

int shell(const std::string& line, const fs::path& log) {
  return WEXITSTATUS(
      std::system(("OMP_NUM_THREADS=1 " + line + " >" + log.string() + " 2>&1").c_str()));
}

// A whole checkpoint and a prompt file.
std::string model_and_prompts(const fs::path& place) {
  diffusion::save_pipeline(place / "model", tests::tiny_pipeline(), at::kFloat);
  data::write_file(place / "prompts.txt", "a red circle\na blue square\na red square\na circle\n");
  return " --model " + (place / "model").string() + " --prompts " +
         (place / "prompts.txt").string() +
         " --device cpu --sample_num_steps 2 --eval_prompts 1 --eval_images 1 ";
}
std::string online_words() {
  return " --reward jpeg_compressibility --num_epochs 1 --prompts_per_epoch 2 --images_per_prompt "
         "3 --num_inner_epochs 1 ";
}
// Choices in the three forms of a folder or file. -> the file
fs::path write_choices(const fs::path& place) {
  for (const char* name : {"w/x.png", "l/x.png"}) {
    fs::create_directories((place / name).parent_path());
    data::write_png(place / name, at::rand({3, 16, 16}));
  }
  data::write_file(place / "w/x.txt", "a house");
  data::write_file(place / "choices.jsonl",
                   "{\"prompt\": \"a house\", \"a\": \"w/x.png\", \"b\": \"l/x.png\", "
                   "\"winner\": \"a\"}\n{\"prompt\": \"a dog\", \"a\": \"w/x.png\", \"b\": "
                   "\"l/x.png\", \"winner\": \"tie\"}\n");
  return place / "choices.jsonl";
}

TEST(ForwardRows, AreThoseOfEveryMethodInOrder) {
  std::vector<std::string> rows, methods;
  for (const auto* row : tools::forward_rows()) {
    tools::Options options("finetune", "");
    finetune::ForwardConfig config;
    row->defaults(config);
    rows.push_back(row->declare(options, config)().name);
    EXPECT_EQ(rows.back(), row->name);
  }
  for (const auto& method : finetune::forward_methods()) methods.push_back(method.name);
  EXPECT_EQ(rows, methods);
  EXPECT_EQ(tools::names_of(tools::forward_commands()), methods);
}

TEST(ForwardCommand, RunsEveryMethodOnlineAndForecastsIt) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const std::string words = model_and_prompts(place) + online_words();
  for (const auto& method : finetune::forward_methods()) {
    const std::string run = std::string(tests::program()) + " finetune " + method.name + words +
                            (method.learns_from_choices ? "--online " : "") + "--output_dir " +
                            (place / method.name).string();
    ASSERT_EQ(shell(run + " --dry_run", log), 0) << data::read_file(log);
    EXPECT_NE(data::read_file(log).find("images rated     6"), std::string::npos);
    ASSERT_EQ(shell(run, log), 0) << data::read_file(log);
    EXPECT_TRUE(fs::exists(place / method.name / "pytorch_lora_weights.safetensors"));
  }
}

TEST(ForwardCommand, LearnsFromChoicesInAFileAndInFolders) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const std::string words = model_and_prompts(place) + " --max_train_steps 2 --eval_rewards '' ";
  const fs::path file = write_choices(place);
  for (const fs::path& pairs : {file, place}) {
    for (const char* method : {"dpo", "kto"}) {
      const std::string run = std::string(tests::program()) + " finetune " + method + words +
                              "--pairs " + pairs.string() + " --output_dir " +
                              (place / method / pairs.filename()).string();
      ASSERT_EQ(shell(run + " --dry_run", log), 0) << data::read_file(log);
      ASSERT_EQ(shell(run, log), 0) << data::read_file(log);
    }
  }
}

TEST(ForwardCommand, WithScoresTheCardSaysHowToAskForTheHighest) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const fs::path file = write_choices(place);
  data::write_png(place / "w/x.png", at::full({3, 16, 16}, 0.9));
  data::write_png(place / "l/x.png", at::full({3, 16, 16}, 0.1));
  const std::string run = std::string(tests::program()) + " finetune dpo" +
                          model_and_prompts(place) + " --max_train_steps 2 --eval_rewards '' " +
                          "--condition scores --cache_reference --reward brightness --pairs " +
                          file.string() + " --output_dir " + (place / "out").string();
  ASSERT_EQ(shell(run, log), 0) << data::read_file(log);
  EXPECT_NE(data::read_file(log).find("1 of 2 choices are left out"), std::string::npos);
  EXPECT_NE(data::read_file(place / "out/README.md").find("score 10, PROMPT"), std::string::npos);
}

TEST(ForwardCommand, BadInputIsOneLineAndExitsWithTwo) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const std::string words = model_and_prompts(place);
  const fs::path file = write_choices(place);
  data::write_file(place / "missing.jsonl",
                   "{\"prompt\": \"p\", \"a\": \"w/none.png\", \"b\": \"l/x.png\", \"winner\": "
                   "\"a\"}\n");
  data::write_file(place / "likes.jsonl", "{\"like\": \"w/x.png\"}\n");
  data::write_file(place / "margin.jsonl",
                   R"({"prompt": "p", "a": "1.png", "b": "2.png", "winner": "a", "margin": -1})");
  const std::string pairs = " --pairs " + file.string();
  struct Case {
    std::string arguments, expected;
  };
  for (const auto& [arguments, expected] : {
           Case{"raft" + online_words() + "--beta 3", "--beta: unknown"},
           Case{"raft" + online_words() + "--images_per_prompt 1", "expected a value in [2, "},
           Case{"raft" + online_words() + "--keep 3", "keep: expected fewer than"},
           Case{"nft" + online_words() + "--snr_gamma 3", "snr_gamma"},
           Case{"raft" + online_words() + "--sampling_method dmp++2m", "sampling_method"},
           Case{"dpo", "pairs: expected choices between images, or --online"},
           Case{"dpo --online" + pairs, "found both"},
           Case{"dpo --num_epochs 3" + pairs, "num_epochs goes with --online"},
           Case{"dpo --online --max_train_steps 3", "max_train_steps goes with --pairs"},
           Case{"dpo --pairs " + (place / "missing.jsonl").string(), "none.png"},
           Case{"dpo --pairs " + (place / "likes.jsonl").string(), "expected choices between two"},
           Case{"simpo --reference base" + pairs, "reference"},
           Case{"dpo --online --condition scores", "condition goes with --pairs"},
           Case{"dpo --condition scores --reward brightnes" + pairs, "did you mean brightness"},
           Case{"ipo --online --cache_reference", "cache_reference goes with --pairs"},
           Case{"dpo --reference none --cache_reference" + pairs, "cache_reference: expected"},
           Case{"raft" + online_words() + "--memory -1", "memory"},
           Case{"raft" + online_words() + "--constraints 'kl<=20'",
                "raft measures the KL at evaluations alone"},
           Case{"dpo --online --margin_scale 1", "margin_scale goes with --pairs"},
           Case{"ipo --margin_scale -1" + pairs, "margin_scale"},
           Case{"dpo --pairs " + (place / "margin.jsonl").string(),
                "margin.jsonl:1: margin: expected a number of at least 0, found -1"},
           Case{"dpo --pairs " + (place / "model").string(), "model"},
       }) {
    const std::string run = std::string(tests::program()) + " finetune " + arguments + words +
                            "--eval_rewards '' --output_dir " + (place / "out").string();
    EXPECT_EQ(shell(run, log), 2) << arguments << "\n" << data::read_file(log);
    const std::string said = data::read_file(log);
    EXPECT_NE(said.find(expected), std::string::npos) << arguments << "\n" << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

TEST(ReadImageChoices, TieIsNobodysWinAndBothBadAreDisliked) {
  const fs::path place = tests::fresh_folder();
  data::write_file(place / "c.jsonl",
                   "{\"prompt\": \"p\", \"a\": \"1.png\", \"b\": \"2.png\", \"winner\": \"b\"}\n"
                   "{\"prompt\": \"p\", \"a\": \"1.png\", \"b\": \"2.png\", \"winner\": \"tie\"}\n"
                   "{\"prompt\": \"q\", \"a\": \"1.png\", \"b\": \"2.png\", \"winner\": "
                   "\"both_bad\"}\n{\"prompt\": \"q\", \"like\": \"3.png\"}\n");
  const auto pairs = tools::read_image_choices(place / "c.jsonl", false, 0);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].p, 0);
  EXPECT_EQ(pairs[1].p, 0.5);
  const auto single = tools::read_image_choices(place / "c.jsonl", true, 0);
  ASSERT_EQ(single.size(), 5u);
  EXPECT_TRUE(single[2].b.empty());
  EXPECT_EQ(single[2].p, 0);
  EXPECT_EQ(single[4].p, 1);
  EXPECT_EQ(tools::prompts_of_choices(single), (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(tools::without_prompts(single, {"q"}).size(), 2u);
  EXPECT_NE(refusal([&] {
              tools::without_prompts(single, {"q", "p"});
            }).find("kept back"),
            std::string::npos);
}

TEST(ReadImageChoices, AMarginIsScaledAndATieHasNone) {
  const fs::path place = tests::fresh_folder();
  data::write_file(place / "c.jsonl",
                   R"({"prompt": "p", "a": "1.png", "b": "2.png", "winner": "b", "margin": 1.5}
{"prompt": "p", "a": "1.png", "b": "2.png", "winner": "tie", "margin": 1.5}
{"prompt": "p", "a": "1.png", "b": "2.png", "winner": "a"}
)");
  const auto scaled = tools::read_image_choices(place / "c.jsonl", false, 2);
  ASSERT_EQ(scaled.size(), 3u);
  EXPECT_EQ(scaled[0].margin, 3);
  EXPECT_EQ(scaled[1].margin, 0);
  EXPECT_EQ(scaled[2].margin, 0);
  EXPECT_EQ(tools::read_image_choices(place / "c.jsonl", false, 0)[0].margin, 0);
}

}  // namespace
