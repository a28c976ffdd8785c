#include "data/images/captions.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/images/edit_dataset.hpp"
#include "data/images/image_folder.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

class CaptionsOf : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    for (const char* name : {"a", "b", "c"})
      data::write_png(folder_ / (std::string(name) + ".png"), at::zeros({3, 2, 2}));
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    data::write_file(folder_ / name, text);
  }
  data::Caption of(const std::string& name) { return data::Captions().of(folder_ / name); }
  const fs::path folder_ = fs::path(testing::TempDir()) / "laurel_captions";
};

TEST_F(CaptionsOf, TheFileBesideWinsThenTheListThenThePng) {
  const auto with_text = [&](const std::string& name) {
    data::write_png(folder_ / name, at::zeros({3, 2, 2}),
                    {{"parameters", "made\nSteps: 3, Seed: 1"}});
  };
  with_text("a.png"), with_text("b.png"), with_text("c.PNG"), with_text("d.jpg");
  write("a.txt", " beside\n");
  write("metadata.jsonl",
        "{\"file_name\": \"a.png\", \"text\": \"listed\"}\n"
        "{\"file_name\": \"./b.png\", \"caption\": \"listed too\"}\n");
  EXPECT_EQ(of("a.png").text, "beside");
  EXPECT_EQ(of("b.png").text, "listed too");
  EXPECT_EQ(of("c.PNG").text, "made");
  EXPECT_EQ(of("d.jpg").text, "made");  // a PNG whatever its name
  EXPECT_EQ(of("c.png").text, "");
}

TEST_F(CaptionsOf, MarksAndUtf16AreReadAndOtherBytesAreAFault) {
  write("a.txt",
        "\xEF\xBB\xBF"
        "a red circle");
  write("b.txt", std::string("\xFF\xFE"
                             "o\0k\0",
                             6));
  write("c.txt", "a red caf\xE9");
  EXPECT_EQ(of("a.png").text, "a red circle");
  EXPECT_EQ(of("b.png").text, "ok");
  EXPECT_EQ(of("c.png").text, "");
  EXPECT_NE(of("c.png").fault.find("c.txt: caption: expected UTF-8 text, found byte 0xE9"),
            std::string::npos);
  write("c.txt", std::string("\0\0\0", 3));
  EXPECT_NE(of("c.png").fault.find("NUL"), std::string::npos);
}

TEST_F(CaptionsOf, OneThatHasNoEndIsAFault) {
  fs::create_symlink("/dev/zero", folder_ / "a.txt");
  EXPECT_EQ(of("a.png").fault,
            (folder_ / "a.txt").string() +
                ": expected a file of at most 64 MiB, found more; check the path");
  fs::create_directories(folder_ / "b.txt");
  EXPECT_NE(of("b.png").fault.find("b.txt: expected a file, found a folder"), std::string::npos);
  write("c.txt", std::string((1 << 20) + 1, 'a'));
  EXPECT_NE(of("c.png").fault.find("c.txt: caption: expected a text of at most 1 MB"),
            std::string::npos);
}

TEST_F(CaptionsOf, ATableIsAListToo) {
  write("metadata.csv", "file_name,text\na.png,\"a red, round thing\"\n./b.png,blue\n");
  EXPECT_EQ(of("a.png").text, "a red, round thing");
  EXPECT_EQ(of("b.png").text, "blue");
  EXPECT_EQ(data::open_image_folder(folder_, {.resolution = 2}).captions,
            (std::vector<std::string>{"a red, round thing", "blue"}));
  write("metadata.csv", "file_name;text\na.png;red\n");
  EXPECT_NE(refusal([&] { of("a.png"); }).find("metadata.csv:1: expected commas"),
            std::string::npos);
}

TEST_F(CaptionsOf, NamesOfAListAreNormalised) {
  fs::create_directories(folder_ / "train");
  fs::rename(folder_ / "a.png", folder_ / "train/a.png");
  fs::rename(folder_ / "b.png", folder_ / "train/b.png");
  write("metadata.jsonl", "{\"file_name\": \"train/a.png\", \"text\": \"from above\"}\n");
  write("train/metadata.jsonl", "{\"file_name\": \"train\\\\b.png\", \"prompt\": \"inside\"}\n");
  EXPECT_EQ(of("train/a.png").text, "from above");
  EXPECT_EQ(of("train/../train/b.png").text, "inside");
  const auto set = data::open_image_folder(folder_, {.resolution = 2, .require_captions = true});
  EXPECT_EQ(set.captions, std::vector<std::string>{"from above"});
}

TEST_F(CaptionsOf, ABrokenListIsToldByLineAndColumn) {
  write("metadata.jsonl", "{\"file_name\": \"a.png\", \"text\": \"x\"}\n{\"file_name\": NaN}\n");
  EXPECT_NE(refusal([&] { of("a.png"); })
                .find("metadata.jsonl:2: expected a JSON object, found no JSON: column 15: "
                      "NaN"),
            std::string::npos);
  write("metadata.jsonl", "[\n{\"file_name\": \"a.png\"}\n]\n");
  EXPECT_NE(refusal([&] { of("a.png"); }).find("metadata.jsonl:1"), std::string::npos);
  write("metadata.jsonl", "[{\"file_name\": \"a.png\"}]\n");
  EXPECT_NE(refusal([&] { of("a.png"); }).find("array"), std::string::npos);
}

TEST_F(CaptionsOf, AFolderIsReadAsEveryCommandReadsIt) {
  write("a.txt",
        "\xEF\xBB\xBF"
        "one");
  write("b.txt", "two");
  write("c.txt", "three");
  write("._a.png", "AppleDouble"), write("._a.txt", "\xFF"), write(".DS_Store", "x");
  const auto set = data::open_image_folder(folder_, {.resolution = 2, .require_captions = true});
  EXPECT_EQ(set.captions, (std::vector<std::string>{"one", "two", "three"}));
  write("b.txt", "caf\xE9");
  const auto rest = data::open_image_folder(folder_, {.resolution = 2, .require_captions = true});
  EXPECT_EQ(rest.captions, (std::vector<std::string>{"one", "three"}));
  ASSERT_EQ(rest.faults.size(), 1u);
  EXPECT_NE(rest.faults[0].find("b.txt: caption"), std::string::npos) << rest.faults[0];
}

TEST_F(CaptionsOf, EditsNameTheirImagesInTheSameWays) {
  write("metadata.jsonl",
        "\xEF\xBB\xBF{\"file_name\": \"./a.png\", \"edit_prompt\": \"x\", "
        "\"edited_file_name\": \".\\\\b.png\"}\n");
  const auto edits = data::read_edit_triples(folder_);
  ASSERT_EQ(edits.size(), 1u);
  EXPECT_EQ(edits[0].source, folder_ / "a.png");
  EXPECT_EQ(edits[0].edited, folder_ / "b.png");
}

}  // namespace
