// laurel bench-rewards, as a user runs it.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

class BenchRewards : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 10; ++i)
      data::write_png(folder_ / (std::to_string(i) + ".png"), at::full({3, 8, 8}, i / 10.0));
  }
  bad_input::Outcome run(const std::string& arguments) const {
    return bad_input::run_laurel("bench-rewards " + arguments, folder_.string());
  }
  nlohmann::json report() const { return data::read_json(folder_ / "out.json"); }
  const fs::path folder_ = tests::fresh_folder();
};

TEST_F(BenchRewards, RanksTheRightPictureInEachSlice) {
  data::write_file(
      folder_ / "items.jsonl",
      R"({"prompt":"x","chosen":"9.png","rejected":["1.png","2.png"],"slice":"easy","changes":["dark","dim"]}
{"prompt":"y","chosen":"5.png","rejected":["6.png","4.png"],"slice":"hard","changes":["light","dark"]}
{"prompt":"y","chosen":"3.png","rejected":["6.png","4.png","5.png"],"slice":"hard"}
)");
  const auto outcome = run("@/items.jsonl -r brightness -o @/out.json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.complaint;
  const auto slices = report()[0]["slices"];
  EXPECT_NEAR(slices["all"]["reciprocal_rank"]["value"].get<double>(), (1 + 0.5 + 0.25) / 3, 1e-9);
  EXPECT_EQ(slices["easy"]["one_to_many"]["value"], 1);
  EXPECT_EQ(slices["hard"]["one_to_many"]["value"], 0);
  EXPECT_EQ(slices["hard"]["one_to_one"]["value"], 0.25);
  EXPECT_EQ(slices["wrong: dark"]["one_to_one"]["value"], 1);
  EXPECT_EQ(slices["wrong: light"]["one_to_one"]["value"], 0);
  EXPECT_GT(report()[0]["ms_an_image"].get<double>(), 0);
}

TEST_F(BenchRewards, MakesItemsOfTheWorldThatItsGoldRewardsTell) {
  const std::string world = "--world @/world --count 18 --seed 3 --probe_images 0 -o @/out.json ";
  ASSERT_EQ(run(world + "-r oracle,rater_preference,flat --define flat=0*brightness").exit_code, 0);
  const auto found = report();
  const auto slices = found[0]["slices"];
  EXPECT_EQ(slices["seen"]["items"], 9);
  EXPECT_EQ(slices["3 objects"]["items"], 6);
  for (const char* name : {"clean", "blurred", "JPEG", "wrong: colour", "wrong: relation"})
    EXPECT_GT(slices[name]["items"].get<int>(), 0) << name;
  for (const auto& [name, figures] : slices.items()) {
    if (name == "taste") continue;
    EXPECT_EQ(figures["one_to_one"]["value"], 1) << name;
    EXPECT_EQ(figures["one_to_many"]["value"], 1) << name;
    EXPECT_EQ(figures["reciprocal_rank"]["value"], 1) << name;
  }
  EXPECT_EQ(slices["all"]["items"], 18 + 4);  // the tastes are apart
  EXPECT_EQ(found[0]["variants"]["paraphrase"]["survives"]["value"], 1);
  EXPECT_NEAR(found[0]["variants"]["paraphrase"]["deviation"]["value"].get<double>(), 0, 1e-9);
  EXPECT_EQ(slices["taste"]["one_to_many"]["value"], 0);  // all show the caption
  EXPECT_EQ(found[1]["slices"]["taste"]["one_to_many"]["value"], 1);
  const auto flat = found[2]["slices"]["all"];
  EXPECT_EQ(flat["one_to_one"]["value"], 0.5);
  EXPECT_EQ(flat["one_to_many"]["value"], 0);
  EXPECT_GE(flat["ties"].get<int>(), 2 * flat["items"].get<int>());
}

TEST_F(BenchRewards, UsesTheItemsThatAnEarlierRunMade) {
  const std::string more = " --count 2 --seed 4 -r brightness --probe_images 0";
  ASSERT_EQ(run("--world @/world" + more).exit_code, 0);
  const std::string items = data::read_file(folder_ / "world/items.jsonl");
  fs::remove(folder_ / "world/made.json");
  bad_input::expect_complaint(run("--world @/world" + more), {"--world", "expected a new folder"},
                              folder_.string());
  ASSERT_EQ(run("--world @/again" + more).exit_code, 0);
  EXPECT_EQ(data::read_file(folder_ / "again/items.jsonl"), items);
  const auto before = fs::last_write_time(folder_ / "again/items.jsonl");
  ASSERT_EQ(run("--world @/again" + more).exit_code, 0);
  EXPECT_EQ(fs::last_write_time(folder_ / "again/items.jsonl"), before);
  bad_input::expect_complaint(run("--world @/again --count 3 -r brightness"),
                              {"--world", "found others"}, folder_.string());
}

TEST_F(BenchRewards, MeasuresPromptsInOtherWords) {
  data::write_file(folder_ / "items.jsonl",
                   R"({"prompt":"x","chosen":"9.png","rejected":["1.png"]}
{"prompt":"y","chosen":"5.png","rejected":["6.png","4.png"],"variants":{"fr":["z","w"]}}
)");
  data::write_file(folder_ / "words.jsonl", R"({"prompt":"x","variants":{"de":"a"}})");
  ASSERT_EQ(run("@/items.jsonl --variants @/words.jsonl -r brightness -o @/out.json").exit_code, 0);
  const auto variants = report()[0]["variants"];
  EXPECT_EQ(variants["de"]["one_to_many"]["value"], 1);
  EXPECT_EQ(variants["fr"]["items"], 2);  // one of each wording
  EXPECT_EQ(variants["fr"]["one_to_one"]["value"], 0.5);
  EXPECT_EQ(variants["fr"]["survives"]["value"], 1);
  const auto refused = [&](const std::string& line, const std::string& expected) {
    data::write_file(folder_ / "words.jsonl", line + "\n");
    bad_input::expect_complaint(run("@/items.jsonl --variants @/words.jsonl -r brightness"),
                                {"words.jsonl", expected}, folder_.string());
  };
  refused(R"({"prompt":"no such","variants":{"de":"a"}})", "at least one item");
  refused(R"({"prompt":"x","variants":["a"]})", "variants is no object");
  refused(R"({"prompt":"x","variants":{"de":" "}})", "de is empty");
  refused(R"({"prompt":"x"})", "variants is missing");
}

TEST_F(BenchRewards, WritesAPageOfTheWorstItemsThatLoadsNothing) {
  data::write_file(
      folder_ / "items.jsonl",
      R"({"prompt":"<script>x</script>","chosen":"1.png","rejected":["9.png"],"slice":"<b>"}
{"prompt":"y","chosen":"5.png","rejected":["4.png"]}
)");
  ASSERT_EQ(run("@/items.jsonl -r brightness --page @/page.html -o @/out.json").exit_code, 0);
  const std::string page = data::read_file(folder_ / "page.html");
  EXPECT_NE(page.find("&lt;script&gt;x&lt;/script&gt;"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("<b>"), std::string::npos);
  EXPECT_EQ(page.find("http:"), std::string::npos);
  EXPECT_EQ(page.find("{{"), std::string::npos);
  EXPECT_NE(page.find("The worst 1 of 1 items"), std::string::npos);
  EXPECT_NE(page.find("src=\"data:image/png;base64,"), std::string::npos);
  EXPECT_EQ(report()[0]["worst"], nlohmann::json::parse("[1]"));
}

TEST_F(BenchRewards, ProbesTheRightPictures) {
  data::write_file(folder_ / "items.jsonl", R"({"prompt":"x","chosen":"2.png","rejected":["1.png"]}
{"prompt":"y","chosen":"6.png","rejected":["4.png"]}
)");
  ASSERT_EQ(run("@/items.jsonl -r brightness -o @/out.json").exit_code, 0);
  data::write_png(folder_ / "6.png", at::full({3, 20, 12}, 0.6));    // of another size
  data::write_png(folder_ / "line.png", at::full({3, 1, 12}, 0.6));  // too thin to be changed
  data::append_line(folder_ / "items.jsonl",
                    R"({"prompt":"z","chosen":"line.png","rejected":["4.png"]})");
  ASSERT_EQ(run("@/items.jsonl -r brightness -o @/out.json").exit_code, 0);
  // 0.2 and 0.6 become 0.5: + 0.3 and - 0.1, over their deviation of 0.2
  EXPECT_NEAR(report()[0]["hacking"]["blank"]["change"].get<double>(), 0.5, 0.02);
  EXPECT_NEAR(report()[0]["robustness"]["shifted by a pixel"]["change"].get<double>(), 0, 1e-3);
}

TEST_F(BenchRewards, LeavesOutItemsWithAPictureThatCannotBeRead) {
  data::write_file(folder_ / "items.jsonl",
                   R"({"prompt":"x","chosen":"9.png","rejected":["1.png"]}
{"prompt":"y","chosen":"5.png","rejected":["none.png"]}
)");
  const auto outcome = run("@/items.jsonl -r brightness -o @/out.json");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.complaint.find("1 items left out"), std::string::npos) << outcome.complaint;
  EXPECT_EQ(report()[0]["slices"]["all"]["items"], 1);
}

TEST_F(BenchRewards, RefusesItemsWithoutARightAnswer) {
  const auto refused = [&](const std::string& line, const std::string& expected) {
    data::write_file(folder_ / "bad.jsonl", line + "\n");
    bad_input::expect_complaint(run("@/bad.jsonl -r brightness"), {"bad.jsonl:1", expected},
                                folder_.string());
  };
  refused(R"({"prompt":"x","rejected":["1.png"]})", "chosen is missing");
  refused(R"({"prompt":"x","chosen":["1.png"],"rejected":["2.png"]})", "chosen is no text");
  refused(R"({"prompt":"x","chosen":"1.png"})", "rejected is missing");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["./1.png"]})", "both chosen and rejected");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png","2.png"]})", "rejected twice");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png"],"slice":[1]})", "slice has");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png"],"apart":1})", "apart is neither");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":[]})", "0 rejected files");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png","1.png"]})", "none is right");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png"],"changes":["a","b"]})",
          "changes: expected one");
  data::write_file(folder_ / "bad.jsonl", R"({"prompt":"","chosen":"1.png","rejected":["2.png"]})");
  bad_input::expect_complaint(run("@/bad.jsonl -r clip_score"),
                              {"bad.jsonl:1", "the prompt is empty"}, folder_.string());
  bad_input::expect_complaint(run("-r brightness"), {"expected one file of items"},
                              folder_.string());
}

}  // namespace
