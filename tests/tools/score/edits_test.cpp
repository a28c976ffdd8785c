// laurel score --edit, as a user runs it.

#include "tools/score/edits.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "data/base/files.hpp"
#include "data/images/edit_dataset.hpp"
#include "tests/support/edit_command.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/score/command.hpp"

namespace {

namespace fs = std::filesystem;
using tests::Place;
using tests::place;
using tests::run;

TEST(ScoreEdits, MapsARewardToAnAxis) {
  const auto axis = tools::parse_reward_axis("generation_quality=aesthetic:3..8");
  EXPECT_EQ(axis.axis, "generation_quality");
  EXPECT_EQ(axis.reward, "aesthetic");
  EXPECT_DOUBLE_EQ(tools::score_on_axis(axis, 5.5), 2.5);
  EXPECT_DOUBLE_EQ(tools::score_on_axis(axis, 9), 5);
  EXPECT_DOUBLE_EQ(tools::score_on_axis(axis, -1), 0);
  EXPECT_NE(refusal([] {
              tools::parse_reward_axis("quality=aesthetic");
            }).find("expected AXIS=REWARD:LOW..HIGH"),
            std::string::npos);
}

// Two edits, one of which lacks nothing and one whose image is damaged.
void write_edits(const fs::path& folder) {
  data::write_png(folder / "edits/s.png", at::rand({3, 16, 16}));
  data::write_png(folder / "edits/t.png", at::rand({3, 16, 16}));
  data::write_file(folder / "edits/broken.png", "no picture");
  data::write_file(
      folder / "edits/metadata.jsonl",
      R"({"original_image": "s.png", "edited_image": "t.png", "edit_prompt": "x", "id": 7})"
      "\n"
      R"({"file_name": "s.png", "edited_file_name": "broken.png", "edit_prompt": "y"})"
      "\n");
}

TEST(ScoreEdits, AKilledRunGoesOnWhereItsSettingsAreTheSame) {
  const Place in = place("killed");
  write_edits(in.folder);
  fs::copy_file(in.folder / "edits/t.png", in.folder / "edits/broken.png",
                fs::copy_options::overwrite_existing);
  // Answers one edit and kills the run; once `calm` is there, it answers all, with a 2.
  data::write_file(in.folder / "judge.sh",
                   "i=0; while read line; do s=2; [ -e " + in.at("calm") +
                       " ] || s=4; [ $s = 4 ] && [ $i = 1 ] && kill -9 $PPID;"
                       " echo '{\"id\": '$i', \"scores\": {\"instruction_following\": '$s'}}';"
                       " i=$((i+1)); done");
  const std::string command = std::string(tests::program()) + " score --edit " + in.at("edits") +
                              " -o " + in.at("scored.jsonl") +
                              " --device cpu --judge 'program:exec sh " + in.at("judge.sh") +
                              "' >" + in.at("log") + " 2>&1";
  EXPECT_NE(std::system(command.c_str()), 0);
  ASSERT_TRUE(fs::exists(in.folder / "scored.jsonl.part")) << data::read_file(in.at("log"));
  EXPECT_FALSE(fs::exists(in.folder / "scored.jsonl"));
  data::append_line(in.folder / "scored.jsonl.part", R"({"settings": "tor)");
  data::write_file(in.folder / "calm", "");
  EXPECT_EQ(std::system(command.c_str()), 0) << data::read_file(in.at("log"));
  const auto triples = data::read_edit_triples(in.at("scored.jsonl"));
  ASSERT_EQ(triples.size(), 2u);
  EXPECT_EQ(triples[0].scores.at("instruction_following"), 4);  // of the run that was killed
  EXPECT_EQ(triples[1].scores.at("instruction_following"), 2);
  EXPECT_FALSE(fs::exists(in.folder / "scored.jsonl.part"));
}

TEST(ScoreEdits, WritesLinesThatTrainAnEditor) {
  const Place in = place("score");
  write_edits(in.folder);
  const auto done = run(tools::kScore.run,
                        {"--edit", in.at("edits"), "-o", in.at("scored.jsonl"), "--axis",
                         "generation_quality=jpeg_compressibility:-100..0", "--judge",
                         "program:i=0; while read line; do echo \"{\\\"id\\\": $i, \\\"scores\\\": "
                         "{\\\"instruction_following\\\": 4}, \\\"feedback\\\": [\\\"half "
                         "done\\\", \\\"None\\\"]}\"; "
                         "i=$((i+1)); done",
                         "--device", "cpu"});
  EXPECT_EQ(done.code, 2);
  EXPECT_NE(done.err.find("broken.png: not a readable image"), std::string::npos) << done.err;
  EXPECT_NE(done.err.find("1 of 2 edits not scored"), std::string::npos);
  const auto triples = data::read_edit_triples(in.at("scored.jsonl"));
  ASSERT_EQ(triples.size(), 2u);
  EXPECT_EQ(triples[0].scores.at("instruction_following"), 4);
  EXPECT_GT(triples[0].scores.at("generation_quality"), 4.9);  // a kilobyte of a hundred
  EXPECT_EQ(triples[0].feedback, "half done; None");
  EXPECT_EQ(triples[0].id, "7");
  EXPECT_TRUE(triples[1].scores.empty());
}

}  // namespace
