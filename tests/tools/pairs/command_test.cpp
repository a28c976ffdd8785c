// laurel pairs, as a user runs it.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "rewards/pairs/choices.hpp"
#include "tests/support/bad_input.hpp"

namespace {

namespace fs = std::filesystem;

std::string picture(int i) { return "in/" + std::to_string(i) + ".png"; }
std::string prompt_of(int i) { return "prompt " + std::to_string(i / 4); }

// Sixteen grey pictures of four prompts; "good" is the number of a picture, "bad" its opposite in
// another unit, "flat" says nothing. Picture 2 k + 1 is better than 2 k, one label in eight says
// otherwise.
class PairsCommandRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fs::remove_all(folder());
    std::string scores, choices;
    for (int i = 0; i < 16; ++i) {
      fs::create_directories(folder() / "in");
      data::write_png(folder() / picture(i), at::full({3, 4, 4}, i / 16.0));
      scores += score_line(picture(i), prompt_of(i), std::to_string(i));
    }
    for (int i = 0; i < 16; i += 2) choices += choice_line(i, i + 1, i == 6 ? "a" : "b");
    data::write_file(folder() / "scores.jsonl", scores);
    data::write_file(folder() / "choices.jsonl", choices);
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  static fs::path folder() { return fs::path(testing::TempDir()) / "laurel_pairs_command"; }
  static std::string score_line(const std::string& file,
                                const std::string& prompt,
                                const std::string& good) {
    return R"({"file":")" + (folder() / file).string() + R"(","prompt":")" + prompt +
           R"(","rewards":{"good":)" + good + R"(,"flat":1},"total":0})" + "\n";
  }
  static std::string choice_line(int a, int b, const std::string& winner) {
    return R"({"prompt":")" + prompt_of(a) + R"(","a":")" + picture(a) + R"(","b":")" + picture(b) +
           R"(","winner":")" + winner + "\"}\n";
  }
  static bad_input::Outcome run(const std::string& arguments) {
    return bad_input::run_laurel("pairs " + arguments, folder().string());
  }
  static std::vector<nlohmann::json> lines_of(const std::string& file) {
    std::vector<nlohmann::json> lines;
    data::for_each_line(folder() / file, [&](const std::string& line, const std::string& where) {
      lines.push_back(data::parse_json_object(line, where));
    });
    return lines;
  }
};

TEST_F(PairsCommandRun, FlipsTheLabelThatTheVoteIsAgainst) {
  const auto outcome = run(
      "--choices @/choices.jsonl --scores @/scores.jsonl --members good --flip 0.125 --soften 0.25 "
      "-o @/clean.jsonl --report @/report.json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.complaint;
  EXPECT_EQ(outcome.complaint.find("as chance would"), std::string::npos) << outcome.complaint;
  const auto lines = lines_of("clean.jsonl");
  ASSERT_EQ(lines.size(), 8u);
  for (const auto& line : lines) {
    EXPECT_EQ(line["winner"], "b");
    EXPECT_DOUBLE_EQ(line["strength"], 1);  // all gaps are 1, and so is their root mean square
    EXPECT_DOUBLE_EQ(line["margin"], 1);
    EXPECT_EQ(line["scores"]["b"]["good"].get<double>() - line["scores"]["a"]["good"].get<double>(),
              1);
  }
  EXPECT_EQ(lines[3]["rule"], "flipped");
  EXPECT_EQ(lines[7]["rule"], "softened");
  EXPECT_DOUBLE_EQ(lines[7]["p"], 0.1);
  const auto report = data::read_json_object(folder() / "report.json");
  EXPECT_EQ(report["flipped"], 1);
  EXPECT_EQ(report["softened"], 2);
  EXPECT_EQ(report["written"], 8);
  EXPECT_DOUBLE_EQ(report["votes_against"]["value"], 0.125);
  EXPECT_EQ(report["members"][0]["name"], "good");
  EXPECT_DOUBLE_EQ(report["members"][0]["value"], 0.875);
}

TEST_F(PairsCommandRun, DoubtsFlipsByVotesThatAgreeAsChanceDoes) {
  std::string choices;
  for (int i = 0; i < 16; i += 2) choices += choice_line(i, i + 1, i % 4 == 0 ? "a" : "b");
  data::write_file(folder() / "half.jsonl", choices);
  const std::string command =
      "--choices @/half.jsonl --scores @/scores.jsonl --members good -o @/clean.jsonl ";
  EXPECT_NE(run(command + "--flip 0.125").complaint.find("as chance would"), std::string::npos);
  EXPECT_EQ(run(command + "--drop 0:0.125").complaint.find("as chance would"), std::string::npos);
}

TEST_F(PairsCommandRun, WritesWhatTheReaderOfChoicesReads) {
  ASSERT_EQ(run("--choices @/choices.jsonl --scores @/scores.jsonl --members good --soften 1 "
                "-o @/deep/folder/clean.jsonl")
                .exit_code,
            0);
  const auto read = rewards::read_choices(folder() / "deep/folder/clean.jsonl");
  ASSERT_EQ(read.pairs.size(), 8u);
  for (const auto& pair : read.pairs) {
    EXPECT_TRUE(fs::exists(pair.a)) << pair.a;
    ASSERT_TRUE(pair.p.has_value());
    EXPECT_NEAR(*pair.p, pair.answer == rewards::Answer::kA ? 0.9 : 0.1, 1e-12);
  }
  EXPECT_EQ(read.pairs[3].prompt, "prompt 1");
}

TEST_F(PairsCommandRun, KeepsWhatTwoSourcesPlaceAlike) {
  std::string other;
  for (int i = 0; i < 14; i += 2) other += choice_line(i, i + 1, i == 2 ? "a" : "b");
  data::write_file(folder() / "other.jsonl", other);
  ASSERT_EQ(run("--choices @/choices.jsonl --consensus @/other.jsonl -o @/two.jsonl --report "
                "@/two.json")
                .exit_code,
            0);
  EXPECT_EQ(lines_of("two.jsonl").size(), 5u);  // not 2 and 6, which differ, nor 14, unknown to it
  const auto report = data::read_json_object(folder() / "two.json");
  EXPECT_EQ(report["consensus"][0]["compared"], 7);
  EXPECT_EQ(report["consensus"][0]["alike"], 5);
  EXPECT_EQ(report["consensus"][0]["unknown"], 1);
  ASSERT_EQ(run("--choices @/choices.jsonl --scores @/scores.jsonl --members good --consensus vote "
                "-o @/voted.jsonl")
                .exit_code,
            0);
  EXPECT_EQ(lines_of("voted.jsonl").size(), 7u);  // not 6
}

TEST_F(PairsCommandRun, LabelsByAScoreAndGivesTheSameBytesForASeed) {
  const std::string command =
      "--scores @/scores.jsonl --by good --pairs_per_prompt 3 --seed 4 -o @/by.jsonl";
  ASSERT_EQ(run(command).exit_code, 0);
  const std::string first = data::read_file(folder() / "by.jsonl");
  EXPECT_EQ(lines_of("by.jsonl").size(), 12u);
  for (const auto& line : lines_of("by.jsonl")) EXPECT_EQ(line["winner"], "b");
  ASSERT_EQ(run(command).exit_code, 0);
  EXPECT_EQ(data::read_file(folder() / "by.jsonl"), first);
  ASSERT_EQ(run("--scores @/scores.jsonl --by good --pairs_per_prompt 3 --seed 5 -o @/by.jsonl")
                .exit_code,
            0);
  EXPECT_NE(data::read_file(folder() / "by.jsonl"), first);
}

TEST_F(PairsCommandRun, LearnsMembersThatNeverSawThePairTheyJudge) {
  ASSERT_EQ(run("--scores @/scores.jsonl --by good --pairs_per_prompt 6 -o @/many.jsonl").exit_code,
            0);
  const auto outcome =
      run("--choices @/many.jsonl --scores @/scores.jsonl --cross_fit 3 --probability normal "
          "-o @/fit.jsonl --report @/fit.json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.complaint;
  const auto report = data::read_json_object(folder() / "fit.json");
  EXPECT_EQ(report["folds_of"], "prompts");
  EXPECT_EQ(report["members"].size(), 3u);
  EXPECT_EQ(report["votes_against"]["value"], 0);
  for (const auto& line : lines_of("fit.jsonl")) EXPECT_LT(line["p"].get<double>(), 0.1);
}

TEST_F(PairsCommandRun, TakesAJudgesDuelsAndThenItsPoints) {
  std::string lines;
  const auto duel = [&](int a, int b, const char* order, double p) {
    lines += R"({"v":1,"kind":"pair","prompt":"prompt 0","a":{"path":")" + picture(a) +
             R"("},"b":{"path":")" + picture(b) + R"("},"order":")" + order +
             R"(","axes":{"overall":{"p_a":)" + std::to_string(p) + "}},\"ok\":true}\n";
  };
  duel(0, 1, "ab", 0.2);
  duel(0, 1, "ba", 0.3);
  duel(2, 3, "ab", 0.1);
  duel(2, 3, "ba", 0.1);
  duel(1, 2, "ab", 0.9);  // the judge prefers what stands first
  duel(1, 2, "ba", 0.1);
  for (int i = 0; i < 4; ++i)
    lines += R"({"v":1,"kind":"point","prompt":"prompt 0","image":{"path":")" + picture(i) +
             R"("},"axes":{"quality":{"score":)" + std::to_string(1 + i) +
             R"(,"lo":1,"hi":5}},"ok":true})" + "\n";
  data::write_file(folder() / "judged.jsonl", lines);
  const auto outcome =
      run("--judgements @/judged.jsonl --points judge.quality --least_gap 0.7 -o @/duel.jsonl "
          "--report @/duel.json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.complaint;
  const auto found = lines_of("duel.jsonl");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0]["a"], picture(3));
  EXPECT_EQ(found[0]["b"], picture(0));
  EXPECT_EQ(found[0]["winner"], "a");
  EXPECT_EQ(data::read_json_object(folder() / "duel.json")["contradictory"], 1);
  bad_input::expect_complaint(
      run("--judgements @/judged.jsonl --points judge.quality --least_gap 0.8 -o @/duel.jsonl"),
      {"--points", "found none"}, folder().string());
}

TEST_F(PairsCommandRun, KeepsTheBestPicturesAsAFolderOfLinks) {
  fs::remove_all(folder() / "best");
  const auto outcome = run("--scores @/scores.jsonl --keep_best 2 --keep_by good --best @/best");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.complaint;
  const auto list = lines_of("best/metadata.jsonl");
  ASSERT_EQ(list.size(), 8u);
  EXPECT_EQ(list[0]["text"], "prompt 0");
  EXPECT_EQ(list[0]["score"], 3);
  EXPECT_EQ(list[1]["score"], 2);
  const fs::path first = folder() / "best" / list[0]["file_name"].get<std::string>();
  EXPECT_EQ(data::read_file(first), data::read_file(folder() / picture(3)));
  bad_input::expect_complaint(
      run("--scores @/scores.jsonl --keep_best 2 --keep_by good --best @/best"),
      {"--best", "expected a new folder"}, folder().string());
}

TEST_F(PairsCommandRun, LeavesOutPairsWithoutAScore) {
  std::string scores;
  for (int i = 0; i < 16; ++i)
    scores += score_line(picture(i), prompt_of(i), i == 5 ? "null" : std::to_string(i));
  data::write_file(folder() / "holes.jsonl", scores);
  const auto outcome =
      run("--choices @/choices.jsonl --scores @/holes.jsonl --members good --flip 0.2 -o "
          "@/holes-out.jsonl");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.complaint.find("1 pairs left out"), std::string::npos) << outcome.complaint;
  EXPECT_EQ(lines_of("holes-out.jsonl").size(), 7u);
}

TEST_F(PairsCommandRun, RefusesBadInputInOneLine) {
  const auto refused = [&](const std::string& arguments, const std::vector<std::string>& expected) {
    bad_input::expect_complaint(run(arguments), expected, folder().string());
    EXPECT_FALSE(fs::exists(folder() / "bad.jsonl"));
  };
  data::write_file(folder() / "missing.jsonl",
                   R"({"prompt":"x","a":"in/0.png","b":"in/none.png","winner":"a"})");
  refused("--choices @/missing.jsonl -o @/bad.jsonl", {"found no file", "none.png"});
  data::write_file(folder() / "one.jsonl",
                   score_line(picture(0), "p", "1") + score_line(picture(1), "q", "2"));
  refused("--scores @/one.jsonl --by good -o @/bad.jsonl", {"several pictures of a prompt"});
  refused("--scores @/one.jsonl --keep_best 1 --keep_by good --best @/bad.jsonl",
          {"several pictures of a prompt"});
  data::write_file(folder() / "nan.jsonl", score_line(picture(0), prompt_of(0), "null") +
                                               score_line(picture(1), prompt_of(1), "null"));
  refused("--choices @/choices.jsonl --scores @/nan.jsonl --members good --flip 0.1 -o @/bad.jsonl",
          {"expected scores of the pictures"});
  data::write_file(folder() / "prompts.jsonl", score_line(picture(0), "another", "1"));
  refused("--choices @/choices.jsonl --scores @/prompts.jsonl --flip 0.1 -o @/bad.jsonl",
          {"one prompt of a picture", "'another'", "'prompt 0'"});
  refused(
      "--choices @/choices.jsonl --scores @/scores.jsonl --members god --flip 0.1 -o @/bad.jsonl",
      {"--members", "'god'", "good"});
  refused("--choices @/choices.jsonl --flip 0.1 -o @/bad.jsonl", {"--scores"});
  refused("--choices @/choices.jsonl --scores @/scores.jsonl --drop 0.2 -o @/bad.jsonl",
          {"FROM:TO", "'0.2'"});
  refused(
      "--choices @/choices.jsonl --scores @/scores.jsonl --flip 0.3 --drop 0.2:0.4 -o @/bad.jsonl",
      {"flip and drop"});
  refused("--choices @/choices.jsonl", {"--output"});
  refused("-o @/bad.jsonl", {"--choices, --judgements or --scores"});
  refused("--scores @/scores.jsonl -o @/bad.jsonl", {"--by"});
  refused("--choices @/choices.jsonl --consensus judgements -o @/bad.jsonl", {"--judgements"});
}

}  // namespace
