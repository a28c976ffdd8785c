#include "tools/world/command.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/edit_sample.hpp"
#include "data/world/oracle.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

TEST(WorldCommand, DrawsScenesThatTheOracleReadsFromTheFiles) {
  const auto folder = tests::fresh_folder("draw");
  ASSERT_EQ(tools::kWorld.run({"--out", folder.string(), "--count", "5", "--split", "unseen"}), 0);
  for (int index = 0; index < 5; ++index) {
    const auto stem = folder / ("00000" + std::to_string(index));
    std::string caption = data::read_file(stem.string() + ".txt");
    caption.pop_back();
    EXPECT_TRUE(world::caption_match(data::read_image(stem.string() + ".png"), caption).exact)
        << caption;
  }
  const std::string metadata = data::read_file(folder / "metadata.jsonl");
  EXPECT_EQ(std::count(metadata.begin(), metadata.end(), '\n'), 5);
}

TEST(WorldCommand, RefusesAFolderThatHoldsPicturesAlready) {
  const auto folder = tests::fresh_folder("twice");
  tools::kWorld.run({"--out", folder.string(), "--count", "1"});
  EXPECT_THROW(tools::kWorld.run({"--out", folder.string(), "--count", "1"}), data::BadInput);
  EXPECT_THROW(tools::kWorld.run({}), data::BadInput);
  EXPECT_THROW(tools::kWorld.run({"--out", folder.string(), "--split", "both"}), data::BadInput);
}

TEST(WorldEdits, WritesTriplesWhoseFilesEarnTheScoresOfTheirLines) {
  const auto folder = tests::fresh_folder("edits");
  ASSERT_EQ(tools::kWorld.run({"edits", "--out", folder.string(), "--count", "30"}), 0);
  int64_t lines = 0;
  data::for_each_line(folder / "metadata.jsonl", [&](const std::string& text, const std::string&) {
    const auto line = data::parse_json(text);
    const auto triple = world::draw_edit_sample({.seed = 0}, lines);
    const auto edited = data::read_image(folder / std::string(line["edited_file_name"]));
    EXPECT_TRUE(at::equal(edited, triple.edited));
    EXPECT_TRUE(
        at::equal(data::read_image(folder / std::string(line["file_name"])), triple.source));
    EXPECT_EQ(line["edit_prompt"], triple.instruction);
    EXPECT_EQ(line["scores"]["detail_preserving"],
              world::score_edit(triple.view, edited).values[1]);
    EXPECT_EQ(line["feedback"], triple.scores.sentence());
    lines += 1;
  });
  EXPECT_EQ(lines, 30);
  data::for_each_line(folder / "well_scored.jsonl",
                      [](const std::string& text, const std::string&) {
                        const auto line = data::parse_json(text);
                        for (const auto& score : line["scores"])
                          EXPECT_GE(score.get<double>(), 4.5);
                      });
  const std::string images = (folder / "edited").string();
  const std::string metadata = (folder / "metadata.jsonl").string();
  EXPECT_EQ(tools::kWorld.run({"edit-scores", "--edits", metadata, "--images", images, "--out",
                               (folder / "scores.jsonl").string()}),
            0);
  data::for_each_line(folder / "scores.jsonl", [](const std::string& text, const std::string&) {
    EXPECT_EQ(data::parse_json(text)["scores"].size(), 3u);
  });
}

TEST(WorldEdits, RefusesWhatItCannotPairOrWouldOverwrite) {
  const auto folder = tests::fresh_folder("edits_bad");
  const std::string out = folder.string();
  tools::kWorld.run({"edits", "--out", out, "--count", "2", "--flat"});
  EXPECT_NE(refusal([&] {
              tools::kWorld.run({"edits", "--out", out});
            }).find("metadata.jsonl"),
            std::string::npos);
  std::filesystem::remove(folder / "edited" / "000001.png");
  const auto few = refusal([&] {
    tools::kWorld.run(
        {"edit-scores", "--edits", out + "/metadata.jsonl", "--images", out + "/edited"});
  });
  EXPECT_NE(few.find("each of the 2 lines"), std::string::npos) << few;
  data::write_file(folder / "foreign.jsonl", "{\"file_name\": \"a.png\"}\n");
  const auto foreign = refusal([&] {
    tools::kWorld.run({"edit-scores", "--edits", out + "/foreign.jsonl"});
  });
  EXPECT_NE(foreign.find("\"world\""), std::string::npos) << foreign;
}

}  // namespace
