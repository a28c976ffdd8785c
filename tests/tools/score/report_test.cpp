#include "tools/score/report.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/base/error.hpp"
#include "tools/score/image_prompts.hpp"

namespace {

namespace fs = std::filesystem;

tools::ScoreReport two_images() {
  tools::ScoreReport report;
  report.rewards = {{.name = "aesthetic", .unit = "1-10"},
                    {.name = "clip_score", .unit = "cosine x 100"}};
  report.images = {{"b.png", "a \"red\" circle, big", {5, 20}, {0.5, 0.2}, 0.7},
                   {"a.png", "", {7, 10}, {0.75, 0.1}, 0.85}};
  return report;
}

TEST(ScoreTable, HasAlignedColumnsMeanAndDeviation) {
  const std::string table = tools::table_text(two_images());
  EXPECT_EQ(table,
            "file                aesthetic      clip_score       total\n"
            "                       (1-10)  (cosine x 100)  (weighted)\n"
            "b.png                  5.0000         20.0000      0.7000\n"
            "a.png                  7.0000         10.0000      0.8500\n"
            "mean of 2              6.0000         15.0000      0.7750\n"
            "standard deviation     1.4142          7.0711      0.1061\n");
}

TEST(ScoreTable, AlignsCharactersRatherThanBytes) {
  auto report = two_images();
  report.images[0].file = "\xC3\xA9t\xC3\xA9.png";  // 7 characters, 9 bytes
  const std::string table = tools::table_text(report);
  EXPECT_NE(table.find("\xC3\xA9t\xC3\xA9.png                5.0000"), std::string::npos) << table;
}

TEST(ScoreJsonl, HoldsRawAndNormalisedValues) {
  const std::string text = tools::jsonl_text(two_images());
  EXPECT_EQ(
      text.substr(0, text.find('\n')),
      R"({"file":"b.png","prompt":"a \"red\" circle, big","rewards":{"aesthetic":5.0,"clip_score":20.0},)"
      R"("normalised":{"aesthetic":0.5,"clip_score":0.2},"total":0.7})");
}

TEST(ScoreCsv, QuotesWhatNeedsIt) {
  EXPECT_EQ(tools::csv_text(two_images()),
            "file,prompt,aesthetic,clip_score,aesthetic_normalised,clip_score_normalised,total\r\n"
            "b.png,\"a \"\"red\"\" circle, big\",5.0000,20.0000,0.5000,0.2000,0.7000\r\n"
            "a.png,,7.0000,10.0000,0.7500,0.1000,0.8500\r\n");
}

TEST(SortBy, FileAscendingScoresDescending) {
  auto report = two_images();
  tools::sort_by(report, "clip_score");
  EXPECT_EQ(report.images[0].file, "b.png");
  tools::sort_by(report, "total");
  EXPECT_EQ(report.images[0].file, "a.png");
  tools::sort_by(report, "clip_score");
  tools::sort_by(report, "file");
  EXPECT_EQ(report.images[0].file, "a.png");
  EXPECT_THROW(tools::sort_by(report, "brightness"), data::BadInput);
}

TEST(Parameters, TitlesAreThoseOfTheField) {
  EXPECT_EQ(tools::parameter_title("aesthetic"), "Aesthetic Score");
  EXPECT_EQ(tools::parameter_title("clip_score"), "Clip Score");
  EXPECT_EQ(tools::parameter_title("jpeg_compressibility"), "Jpeg Compressibility Score");
}

TEST(Parameters, ScoresJoinTheLineOfSettingsAndReplaceOldOnes) {
  const auto report = two_images();
  const std::string before =
      "a cat, sitting\nNegative prompt: dog\nSteps: 20, Lora hashes: \"x: 1, y: 2\", Size: 64x64";
  const std::string after = tools::with_scores(before, report, report.images[0]);
  EXPECT_EQ(after, before + ", Aesthetic Score: 5.0000, Clip Score: 20.0000");
  EXPECT_EQ(tools::with_scores(after, report, report.images[1]),
            before + ", Aesthetic Score: 7.0000, Clip Score: 10.0000");
  const std::string bare = tools::with_scores("a cat", report, report.images[0]);
  EXPECT_EQ(bare, "a cat\nAesthetic Score: 5.0000, Clip Score: 20.0000");
  EXPECT_EQ(tools::with_scores(bare, report, report.images[1]),
            "a cat\nAesthetic Score: 7.0000, Clip Score: 10.0000");
}

class ImagePrompts : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  static std::vector<std::string> texts_of(const std::vector<fs::path>& images,
                                           const tools::PromptSources& sources) {
    std::vector<std::string> texts;
    for (const auto& caption : tools::prompts_of_images(images, sources))
      texts.push_back(caption.text);
    return texts;
  }
  const fs::path folder_ = fs::path(testing::TempDir()) / "laurel_image_prompts";
};

TEST_F(ImagePrompts, ComeFromTheNearestSource) {
  write("a.txt", "from the sidecar\n");
  write("metadata.jsonl",
        "{\"file_name\": \"a.jpg\", \"text\": \"listed\"}\n{\"file_name\": \"b.jpg\", \"text\": "
        "\"listed too\"}\n");
  const std::vector<fs::path> images{folder_ / "a.jpg", folder_ / "b.jpg", folder_ / "c.jpg"};
  for (const auto& image : images) write(image.filename(), "pixels");
  EXPECT_EQ(texts_of(images, {}), (std::vector<std::string>{"from the sidecar", "listed too", ""}));
  EXPECT_EQ(texts_of(images, {.prompt = "one", .prompts = {}}),
            (std::vector<std::string>{"one", "one", "one"}));
  write("list.txt", "first\nsecond\nthird\n");
  EXPECT_EQ(texts_of(images, {.prompt = "", .prompts = folder_ / "list.txt"}),
            (std::vector<std::string>{"first", "second", "third"}));
}

TEST_F(ImagePrompts, RefuseACountThatDoesNotFitAndBadLines) {
  write("list.txt", "first\nsecond\n");
  EXPECT_THROW(tools::prompts_of_images({folder_ / "a.jpg"},
                                        {.prompt = "", .prompts = folder_ / "list.txt"}),
               data::BadInput);
  write("a.jpg", "pixels");
  write("metadata.jsonl", "{\"text\": \"no file\"}\n");
  EXPECT_THROW(tools::prompts_of_images({folder_ / "a.jpg"}, {}), data::BadInput);
}

}  // namespace
