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

TEST_F(BenchRewards, MakesItemsOfTheWorldThatItsOracleTells) {
  ASSERT_EQ(run("--world @/world --count 4 --seed 3 -r oracle,brightness -o @/out.json").exit_code,
            0);
  const std::string items = data::read_file(folder_ / "world/items.jsonl");
  const auto found = report();
  EXPECT_EQ(found[0]["slices"]["seen"]["items"], 2);
  EXPECT_EQ(found[0]["slices"]["unseen"]["items"], 2);
  EXPECT_GT(found[0]["slices"]["all"]["one_to_one"]["value"].get<double>(), 0.7);
  bad_input::expect_complaint(run("--world @/world --count 4 -r brightness"),
                              {"--world", "expected a new folder"}, folder_.string());
  ASSERT_EQ(run("--world @/again --count 4 --seed 3 -r brightness").exit_code, 0);
  EXPECT_EQ(data::read_file(folder_ / "again/items.jsonl"), items);
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
  refused(R"({"prompt":"x","rejected":["1.png"]})", "chosen is no text");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":[]})", "0 rejected files");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png","1.png"]})", "none is right");
  refused(R"({"prompt":"x","chosen":"1.png","rejected":["2.png"],"changes":["a","b"]})",
          "changes: expected one");
  bad_input::expect_complaint(run("-r brightness"), {"expected one file of items"},
                              folder_.string());
}

}  // namespace
