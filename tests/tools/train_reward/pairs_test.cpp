// laurel train-reward pairs and examples, as a user runs them.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "rewards/pairs/files.hpp"
#include "tests/support/bad_input.hpp"

namespace {

namespace fs = std::filesystem;

// 24 scenes of the built-in world, and choices of the brighter of two.
class TrainPairs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fs::remove_all(folder());
    ASSERT_EQ(run("world --count 24 --out @/scenes").exit_code, 0);
    std::string lines;
    for (int i = 0; i < 24; i += 2) {
      const std::string a = name(i), b = name(i + 1);
      const bool brighter = brightness(a) > brightness(b);
      for (int asked = 0; asked < 2; ++asked)
        lines += R"({"prompt":"scene )" + std::to_string(i) + R"(","a":")" + a + R"(","b":")" + b +
                 R"(","winner":")" + (brighter ? "a" : "b") + "\"}\n";
    }
    data::write_file(folder() / "choices.jsonl", lines);
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  static fs::path folder() { return fs::path(testing::TempDir()) / "laurel_train_pairs"; }
  static std::string name(int i) {
    return "scenes/0000" + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".png";
  }
  static double brightness(const std::string& file) {
    return data::read_image(folder() / file).mean().item<double>();
  }
  static bad_input::Outcome run(const std::string& arguments) {
    return bad_input::run_laurel(arguments, folder().string());
  }
  static nlohmann::json report(const std::string& of) {
    return data::read_json_object(folder() / of / "report.json");
  }
};

TEST_F(TrainPairs, MakesARewardThatOtherCommandsTake) {
  const auto made = run("train-reward pairs --data @/choices.jsonl -r brightness -o @/taste");
  ASSERT_EQ(made.exit_code, 0) << made.complaint;
  const auto found = report("taste");
  EXPECT_EQ(found["pairs"], 24);
  EXPECT_EQ(found["pictures"], 24);
  EXPECT_EQ(found["folds_of"], "prompts");
  EXPECT_EQ(found["held_out"][0]["name"], "this taste");
  EXPECT_EQ(found["held_out"][0]["pairs"], 24);
  EXPECT_GT(found["held_out"][0]["value"].get<double>(), 0.7);  // by chance below 0.7 of 12: 90 %
  EXPECT_EQ(found["held_out"][2]["name"], "own consistency");
  EXPECT_EQ(found["held_out"][2]["value"], 1.0);
  EXPECT_EQ(found["held_out"][2]["pairs"], 12);
  EXPECT_NE(data::read_file(folder() / "taste/README.md").find("| brightness |"),
            std::string::npos);
  const auto scored =
      run("score @/scenes -r mine --define 'mine=pairs:@/taste' --format jsonl -o @/scores.jsonl");
  EXPECT_EQ(scored.exit_code, 0) << scored.complaint;
  EXPECT_NE(data::read_file(folder() / "scores.jsonl").find("mine"), std::string::npos);
}

TEST_F(TrainPairs, WritesMembersFittedToBootstraps) {
  const auto made =
      run("train-reward pairs --data @/choices.jsonl -r none --members 3 --label-noise 0.25 -o "
          "@/three");
  EXPECT_EQ(made.exit_code, 0) << made.complaint;
  const auto taste = rewards::load_taste(folder() / "three");
  ASSERT_EQ(taste.members.size(), 3U);
  EXPECT_FALSE(at::equal(taste.members[0].weight, taste.members[1].weight));
  EXPECT_TRUE(at::allclose(
      taste.weight,
      (taste.members[0].weight + taste.members[1].weight + taste.members[2].weight) / 3, 1e-4,
      1e-5));
  EXPECT_EQ(report("three")["label_noise"], 0.25);
  const auto scored =
      run("score @/scenes -r mine.members,mine --normalise none "
          "--define 'mine=pairs:@/three' --format jsonl -o @/members.jsonl");
  EXPECT_EQ(scored.exit_code, 0) << scored.complaint;
  EXPECT_NE(data::read_file(folder() / "members.jsonl").find("\"mine.3\""), std::string::npos);
  bad_input::expect_complaint(
      run("train-reward pairs --data @/choices.jsonl --vary seed --members 3 -o @/seeds"),
      {"--vary seed: the fit has a single optimum"}, folder().string());
}

TEST_F(TrainPairs, ReplacesAnEarlierRewardByTheSameBytes) {
  const std::string command = "train-reward pairs --data @/choices.jsonl -r none -o @/again";
  ASSERT_EQ(run(command).exit_code, 0);
  const std::string before = data::read_file(folder() / "again/model.safetensors");
  data::write_file(folder() / "again/README.md", "edited");
  ASSERT_EQ(run(command).exit_code, 0);
  EXPECT_EQ(data::read_file(folder() / "again/model.safetensors"), before);
  EXPECT_NE(data::read_file(folder() / "again/README.md"), "edited");
}

TEST_F(TrainPairs, ReadsSoftLabelsAndMarginsWhereAsked) {
  const auto taste_of = [&](const std::string& more, const std::string& options) {
    std::string lines = data::read_file(folder() / "choices.jsonl");
    for (size_t at = 0; (at = lines.find("\"}\n", at)) != std::string::npos; at += 3)
      lines.insert(at + 1, more);
    data::write_file(folder() / "sure.jsonl", lines);
    const auto made =
        run("train-reward pairs --data @/sure.jsonl -r none -o @/sure --folds 2 " + options);
    EXPECT_EQ(made.exit_code, 0) << made.complaint;
    return data::read_file(folder() / "sure/model.safetensors");
  };
  const std::string plain = taste_of("", ""), margin = R"(,"margin":1.5)";
  EXPECT_EQ(taste_of("", "--margin_scale 2"), plain);
  EXPECT_EQ(taste_of(margin, ""), plain);
  EXPECT_NE(taste_of(margin, "--margin_scale 2"), plain);
  EXPECT_EQ(report("sure")["pairs"], 24);
  EXPECT_NE(taste_of(R"(,"p":0.7)", ""), plain);
  EXPECT_EQ(report("sure")["held_out"][0]["pairs"], 24);
  EXPECT_NE(data::read_file(folder() / "sure/README.md").find("24 soft labels"), std::string::npos);
}

TEST_F(TrainPairs, RefusesToReplaceAnotherModel) {
  data::write_file(folder() / "clip/config.json", "{}");
  bad_input::expect_complaint(run("train-reward pairs --data @/choices.jsonl -o @/clip"),
                              {"--output @/clip: holds another model"}, folder().string());
  bad_input::expect_complaint(run("train-reward pairs --data @/choices.jsonl -o @/choices.jsonl"),
                              {"expected a folder, found a file"}, folder().string());
}

TEST_F(TrainPairs, LeavesOutWhatItCannotRead) {
  std::string lines = data::read_file(folder() / "choices.jsonl");
  lines += R"({"prompt":"x","a":"none.png","b":"scenes/000000.png","winner":"a"})";
  data::write_file(folder() / "more.jsonl", lines);
  const auto outcome = run("train-reward pairs --data @/more.jsonl -r none -o @/more");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.complaint.find("none.png"), std::string::npos) << outcome.complaint;
  EXPECT_NE(outcome.complaint.find("1 pictures left out"), std::string::npos);
  EXPECT_EQ(report("more")["pairs"], 24);
  EXPECT_EQ(report("more")["left_out"].size(), 1u);
}

TEST_F(TrainPairs, RefusesWhatItCannotLearnFrom) {
  const auto refused = [&](const std::string& line, int times, const std::string& expected) {
    std::string lines;
    for (int i = 0; i < times; ++i) lines += line + "\n";
    data::write_file(folder() / "bad.jsonl", lines);
    const auto outcome = run("train-reward pairs --data @/bad.jsonl -r none -o @/bad");
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.complaint.find(expected), std::string::npos) << outcome.complaint;
    EXPECT_FALSE(fs::exists(folder() / "bad"));
  };
  const std::string images = R"("a":"scenes/000000.png","b":"scenes/000001.png",)";
  refused("{\"prompt\":\"x\"," + images + "\"winner\":\"a\"}", 7, "at least 8 choices");
  refused("{\"prompt\":\"x\"," + images + "\"winner\":\"tie\"}", 9, "found ties only");
  refused("{\"prompt\":\"x\"," + images + "\"winner\":\"c\"}", 9, "bad.jsonl:1: winner");
  bad_input::expect_complaint(run("train-reward pairs -o @/bad"), {"--data: expected"},
                              folder().string());
}

TEST_F(TrainPairs, LearnsFromLikesAlone) {
  std::string lines;
  for (int i = 0; i < 24; ++i)
    lines += std::string("{\"") + (brightness(name(i)) > 0.5 ? "like" : "dislike") + "\":\"" +
             name(i) + "\"}\n";
  data::write_file(folder() / "likes.jsonl", lines);
  const auto outcome = run("train-reward pairs --data @/likes.jsonl -o @/likes -r brightness");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.complaint;
  EXPECT_EQ(report("likes")["likes"], 24);
  EXPECT_EQ(report("likes")["pairs"], 0);
}

TEST_F(TrainPairs, ExamplesMakeARewardThatOtherCommandsTake) {
  fs::create_directories(folder() / "like");
  for (int i = 0; i < 6; ++i)
    fs::copy_file(folder() / name(i), folder() / "like" / (std::to_string(i) + ".png"));
  const auto made = run("train-reward examples --like @/like -o @/examples");
  EXPECT_EQ(made.exit_code, 0) << made.complaint;
  EXPECT_EQ(report("examples")["likes"], 6);
  EXPECT_EQ(report("examples")["background"], 256);
  EXPECT_EQ(run("score @/scenes -r mine --define 'mine=examples:@/examples'").exit_code, 0);
  const auto with_dislikes =
      run("train-reward examples --like @/like --dislike @/scenes -o @/examples");
  EXPECT_EQ(with_dislikes.exit_code, 0) << with_dislikes.complaint;
  EXPECT_EQ(report("examples")["dislikes"], 24);
  fs::create_directories(folder() / "two");
  for (int i = 0; i < 2; ++i)
    fs::copy_file(folder() / name(i), folder() / "two" / (std::to_string(i) + ".png"));
  bad_input::expect_complaint(run("train-reward examples --like @/two -o @/few"),
                              {"--like: expected 3 to 1000 pictures, found 2"}, folder().string());
}

}  // namespace
