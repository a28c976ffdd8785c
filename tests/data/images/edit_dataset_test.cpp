#include "data/images/edit_dataset.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

fs::path folder_with(const std::string& lines) {
  const fs::path folder = tests::fresh_folder();
  for (const char* name : {"a.png", "b.png"}) data::write_file(folder / name, "x");
  data::write_file(folder / "metadata.jsonl", lines);
  return folder;
}

std::string refused(const std::string& line) {
  const fs::path folder = folder_with("\n" + line + "\n");
  std::string message = refusal([&] { data::read_edit_triples(folder); });
  const std::string place = (folder / "metadata.jsonl").string();
  if (message.starts_with(place)) message = message.substr(place.size());
  return message;
}

TEST(EditTriples, ReadsItsOwnNamesAndHuggingFaces) {
  const fs::path folder = folder_with(
      R"({"file_name": "a.png", "edited_file_name": "b.png", "edit_prompt": " make it red ",)"
      R"( "scores": {"quality": 4.5, "detail": null}, "feedback": ["None", "blurred"], "id": 7})"
      "\n"
      R"({"original_image": "a.png", "edited_image": "b.png", "edit_prompt": "x", "other": 1})"
      "\n"
      R"({"input_image_file_name": "b.png", "edited_image_file_name": "a.png", "edit": "y"})"
      "\n");
  const auto triples = data::read_edit_triples(folder);
  ASSERT_EQ(triples.size(), 3u);
  EXPECT_EQ(triples[0].instruction, "make it red");
  EXPECT_EQ(triples[0].scores, (std::map<std::string, double>{{"quality", 4.5}}));
  EXPECT_EQ(triples[0].feedback, "None; blurred");
  EXPECT_EQ(triples[0].id, "7");
  EXPECT_EQ(triples[1].edited, folder / "b.png");
  EXPECT_TRUE(triples[1].scores.empty());
  EXPECT_EQ(triples[2].source, folder / "b.png");
  EXPECT_EQ(data::read_edit_triples(folder / "metadata.jsonl").size(), 3u);
}

TEST(EditTriples, TheEditedImageMayBeLeftOutWhereItIsNotNeeded) {
  const fs::path folder =
      folder_with(R"({"file_name": "a.png", "edit_prompt": "x"})"
                  "\n"
                  R"({"file_name": "a.png", "edit_prompt": "y", "edited": "c"})");
  EXPECT_NE(refusal([&] { data::read_edit_triples(folder, false); }).find(":2: expected an image"),
            std::string::npos);
  data::write_file(folder / "c", "x");
  const auto triples = data::read_edit_triples(folder, false);
  EXPECT_TRUE(triples[0].edited.empty());
  EXPECT_EQ(triples[1].edited, folder / "c");
}

TEST(EditTriples, RefusesALineByItsNumber) {
  EXPECT_EQ(refused(R"({"file_name": "a.png", "edited_file_name": "b.png", "edit_prompt": " "})"),
            ":2: expected an instruction, found an empty one");
  EXPECT_NE(refused(R"({"file_name": "c.png", "edited_file_name": "b.png", "edit_prompt": "x"})")
                .find(":2: expected an image, found no file"),
            std::string::npos);
  EXPECT_NE(refused(R"({"file_name": ")" + std::string(300, 'c') + R"(", "edit_prompt": "x"})")
                .find(":2: expected an image, found no file"),
            std::string::npos);
  EXPECT_EQ(refused(R"({"file_name": "a.png", "edit_prompt": "x"})"),
            ":2: expected the edited image under edited_file_name or edited_image, found neither");
  EXPECT_EQ(refused(R"({"file_name": "a.png", "edited_file_name": "b.png", "edit_prompt": "x",)"
                    R"( "scores": {"quality": "good"}})"),
            ":2: scores.quality: expected a number, found \"good\"");
  EXPECT_NE(refused("{").find(":2"), std::string::npos);
  EXPECT_NE(refused("").find("expected an edit a line, found none"), std::string::npos);
}

}  // namespace
