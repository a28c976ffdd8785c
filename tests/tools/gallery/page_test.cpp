#include "tools/gallery/page.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tools/gallery/command.hpp"
#include "tools/gallery/records.hpp"

namespace fs = std::filesystem;

namespace {

// A folder that is deleted with the test.
class Gallery : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("laurel-gallery-") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void draw(const std::string& file, const std::string& parameters = "", int64_t side = 8) {
    fs::create_directories((folder_ / file).parent_path());
    data::write_png(
        folder_ / file, at::full({3, side, side}, 0.5),
        parameters.empty() ? data::PngText{} : data::PngText{{"parameters", parameters}});
  }

  void make_run(const std::string& name) {
    for (const std::string set : {"base", "step-9", "step-10"}) {
      for (const std::string file : {"0000.png", "0001.png"}) {
        draw(name + "/samples/" + set + "/" + file);
      }
      data::write_file(
          folder_ / name / "samples" / set / "scores.jsonl",
          R"({"file":"0000.png","prompt":"a red circle","seed":3,"split":"seen","rewards":{"aesthetic":5.5}})"
          "\n"
          R"({"file":"0001.png","prompt":"a blue ring","seed":4,"split":"unseen","rewards":{"aesthetic":4.5}})"
          "\n");
    }
    data::write_file(folder_ / name / "run.json", R"({"kind":"prdp","synthetic":true})");
    data::write_file(folder_ / name / "config.toml", "seed = 1\n");
    data::write_file(folder_ / name / "metrics.jsonl",
                     "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":null,\"evaluation\":true}\n");
  }

  std::string at(const std::string& path) const { return (folder_ / path).string(); }

  // The command's message about bad input.
  std::string fault(const std::vector<std::string>& arguments) {
    try {
      tools::kGallery.run(arguments);
    } catch (const data::BadInput& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(Gallery, RunsSetsAndItemsAreFound) {
  make_run("run");
  const auto all = gallery::collect({at("run")});
  ASSERT_EQ(all.runs.size(), 1u);
  EXPECT_TRUE(all.runs[0].synthetic);
  EXPECT_EQ(all.runs[0].config, "seed = 1\n");
  ASSERT_EQ(all.sets.size(), 3u);
  EXPECT_EQ(all.sets[0].name, "base");
  EXPECT_EQ(all.sets[1].step, 9);
  EXPECT_EQ(all.sets[2].step, 10);  // by number, not by letters
  ASSERT_EQ(all.items.size(), 2u);
  EXPECT_EQ(all.items[0].prompt, "a red circle");
  EXPECT_EQ(all.items[1].split, "unseen");
  ASSERT_EQ(all.images.size(), 6u);
  EXPECT_EQ(all.images[4].item, 0u);
  EXPECT_EQ(all.images[4].set, 2u);
  EXPECT_EQ(all.images[5].file, "samples/step-10/0001.png");
  EXPECT_DOUBLE_EQ(all.images[5].record.rewards.at("aesthetic"), 4.5);
}

TEST_F(Gallery, VerdictsOfTheGuardAreOnThePage) {
  make_run("run");
  const std::string line =
      R"({"step":10,"state":"stop","kind":"gamed","reason":"fell","accepted":null,"worst":[]})";
  data::write_file(folder_ / "run/guard.jsonl", line + "\n" + line.substr(0, 20));
  const auto all = gallery::collect({at("run")});
  ASSERT_EQ(all.runs[0].verdicts.size(), 1u);
  EXPECT_EQ(all.runs[0].verdicts[0], line);
  EXPECT_EQ(all.runs[0].warnings.size(), 1u);  // the line that is cut off
  const auto page = gallery::page_data(all, gallery::make_pictures(all, {}), {});
  EXPECT_NE(page.find("\"guard\":[" + line + "]"), std::string::npos);
  data::write_file(folder_ / "run/guard.jsonl", "[]\n");
  EXPECT_THROW(gallery::collect({at("run")}), data::BadInput);
}

TEST_F(Gallery, FoldersAtAnyDepthAreReadWhereAskedFor) {
  draw("pile/a/b/c/deep.png");
  draw("pile/a/flat.png");
  fs::create_directory_symlink(folder_ / "pile", folder_ / "pile/a/b/around");
  EXPECT_EQ(gallery::collect({at("pile")}).images.size(), 1u);
  const auto all = gallery::collect({at("pile")}, /*recursive=*/true);
  ASSERT_EQ(all.sets.size(), 2u);
  EXPECT_EQ(all.sets[0].name, "a");
  EXPECT_EQ(all.sets[1].name, "a/b/c");
  EXPECT_EQ(all.images[1].file, "a/b/c/deep.png");
}

TEST_F(Gallery, MetricsKeepTheirGaps) {
  make_run("run");
  const auto all = gallery::collect({at("run")});
  ASSERT_EQ(all.runs[0].metrics.size(), 1u);
  const auto& loss = all.runs[0].metrics[0];
  EXPECT_EQ(loss.name, "loss");
  EXPECT_EQ(loss.steps, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(loss.values[0], 0.5);
  EXPECT_FALSE(loss.values[1].has_value());
}

TEST_F(Gallery, SeveralRunsShareItemsAndAreToldApart) {
  make_run("a/run");
  make_run("b/run");
  const auto all = gallery::collect({at("a"), at("b/run")});
  ASSERT_EQ(all.runs.size(), 2u);
  EXPECT_EQ(all.runs[0].name, "a/run");
  EXPECT_EQ(all.runs[1].name, "b/run");
  EXPECT_EQ(all.items.size(), 2u);
  EXPECT_EQ(all.images.size(), 12u);
}

TEST_F(Gallery, PlainFoldersReadTheParametersText) {
  draw("one/x.png",
       "a cat,\non a mat\nNegative prompt: dogs\nSteps: 20, Sampler: DDIM, Seed: 7, Reward "
       "aesthetic: 5.25");
  draw("two/y.png", "a cat,\non a mat\nSteps: 30, Seed: 7");
  draw("two/z.png");
  const auto all = gallery::collect({at("one"), at("two")});
  ASSERT_EQ(all.items.size(), 2u);
  EXPECT_EQ(all.images[0].item, all.images[1].item);  // the same prompt and seed
  EXPECT_EQ(all.items[0].prompt, "a cat,\non a mat");
  EXPECT_EQ(all.items[0].seed, 7);
  EXPECT_EQ(all.images[0].record.settings, "Steps: 20, Sampler: DDIM; negative prompt: dogs");
  EXPECT_DOUBLE_EQ(all.images[0].record.rewards.at("aesthetic"), 5.25);
  EXPECT_EQ(all.items[1].key, "z");
}

TEST_F(Gallery, ParametersWithoutSettingsAreAllPrompt) {
  const auto record = gallery::parse_parameters("only a prompt: with a colon");
  EXPECT_EQ(record.prompt, "only a prompt: with a colon");
  EXPECT_FALSE(record.seed.has_value());
  EXPECT_EQ(gallery::parse_parameters("").prompt, "");
}

// Numbers beyond a whole one's range, which a cast must not see.
TEST_F(Gallery, HugeSeedsAndStepsAreTheNearestWholeNumber) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(gallery::parse_parameters("a\nSteps: 1, Seed: 1e300").seed, kMost);
  EXPECT_EQ(gallery::parse_parameters("a\nSteps: 1, Seed: -1e300").seed, -kMost - 1);
  EXPECT_EQ(gallery::parse_parameters("a\nSteps: 1, Seed: nan").seed, 0);
  std::vector<std::string> warnings;
  const fs::path file = at("numbers.jsonl");
  data::write_file(file, R"({"file": "a.png", "seed": 1e300, "step": 1e300, "loss": 1})"
                         "\n");
  EXPECT_EQ(gallery::read_scores(file, warnings).at("a.png").seed, kMost);
  EXPECT_EQ(gallery::read_metrics(file, warnings).at(1).steps, std::vector<int64_t>{kMost});
}

TEST_F(Gallery, PromptsCannotLeaveTheirElement) {
  const std::string nasty = "</script><script>alert('x')</script>\"<!--\xff\n";
  draw("one/x.png", "safe\nSteps: 1, Seed: 1");
  auto all = gallery::collect({at("one")});
  all.items[0].prompt = nasty;
  all.runs[0].name = nasty;
  auto pictures = gallery::make_pictures(all, {});
  gallery::PageOptions options;
  options.output = at("page.html");
  const std::string json = gallery::page_data(all, pictures, options);
  EXPECT_EQ(json.find('<'), std::string::npos);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  gallery::write_page(all, pictures, options);
  const std::string page = data::read_file(at("page.html"));
  EXPECT_EQ(page.find("alert('x')</script>"), std::string::npos);
  EXPECT_NE(page.find("<title>&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)"), std::string::npos);
  EXPECT_EQ(page.find("{{"), std::string::npos);
}

TEST_F(Gallery, SmallFilesAreEmbeddedWholeAndLargeOnesShrunk) {
  draw("one/a.png", "", 8);
  draw("one/b.png", "", 64);
  const auto all = gallery::collect({at("one")});
  const auto pictures = gallery::make_pictures(all, {.thumbnail = 16});
  EXPECT_EQ(pictures[0].line, "p" + data::base64(data::read_file(at("one/a.png"))));
  EXPECT_EQ(pictures[1].line[0], 'j');
  EXPECT_EQ(pictures[1].width, 64);
  const auto none = gallery::make_pictures(all, {.thumbnail = 16, .originals_total_mb = 0});
  EXPECT_EQ(none[0].line[0], 'j');
}

TEST_F(Gallery, LinksAreRelativeToThePageAndEncoded) {
  draw("my run #1/x.png");
  const auto all = gallery::collect({at("my run #1")});
  const auto pictures = gallery::make_pictures(all, {});
  gallery::PageOptions options;
  options.output = at("pages/page.html");
  options.link = true;
  EXPECT_NE(
      gallery::page_data(all, pictures, options).find("\"full\":[\"../my%20run%20%231/x.png\"]"),
      std::string::npos);
}

TEST_F(Gallery, AnUnreadableImageIsLeftOutAndTold) {
  draw("one/a.png");
  data::write_file(at("one/b.png"), "not an image");
  auto all = gallery::collect({at("one")});
  auto pictures = gallery::make_pictures(all, {});
  gallery::drop_unreadable(all, pictures);
  EXPECT_EQ(all.images.size(), 1u);
  EXPECT_EQ(pictures.size(), 1u);
  ASSERT_FALSE(all.runs[0].warnings.empty());
  EXPECT_NE(all.runs[0].warnings.back().find("b.png"), std::string::npos);
}

TEST_F(Gallery, BadInputIsNamed) {
  EXPECT_NE(fault({}).find("expected a run folder"), std::string::npos);
  EXPECT_NE(fault({at("nowhere")}).find("nowhere"), std::string::npos);
  fs::create_directories(at("empty"));
  EXPECT_NE(fault({at("empty")}).find("found no image"), std::string::npos);
  data::write_file(at("file.txt"), "x");
  EXPECT_NE(fault({at("file.txt")}).find("expected a folder"), std::string::npos);
  data::write_file(at("bad/x.png"), "x");
  EXPECT_NE(fault({at("bad"), "-o", at("p.html")}).find("x.png"), std::string::npos);
  EXPECT_FALSE(fs::exists(at("p.html")));
}

TEST_F(Gallery, ABrokenLineIsNamedACutOffOneIsSkipped) {
  make_run("run");
  const std::string scores = at("run/samples/base/scores.jsonl");
  data::write_file(scores, "{\"file\":\"0000.png\"}\n{\"file\": oops}\n{\"file\":\"0001.png\"}\n");
  EXPECT_NE(fault({at("run")}).find("scores.jsonl:2: expected one JSON object"), std::string::npos);
  data::write_file(scores, "{\"file\":\"0000.png\"}\n{\"file\":\"00");
  const auto all = gallery::collect({at("run")});
  ASSERT_EQ(all.runs[0].warnings.size(), 1u);
  EXPECT_NE(all.runs[0].warnings[0].find("scores.jsonl:2"), std::string::npos);
  data::write_file(at("run/run.json"), "[1]");
  EXPECT_NE(fault({at("run")}).find("run.json"), std::string::npos);
}

TEST_F(Gallery, WhatOneSetLacksAnotherTells) {
  make_run("run");
  fs::remove(folder_ / "run/samples/step-9/scores.jsonl");
  const auto all = gallery::collect({at("run")});
  EXPECT_EQ(all.items.size(), 2u);
  EXPECT_EQ(all.images[2].record.seed, 3);
}

}  // namespace
