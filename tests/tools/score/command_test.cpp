// laurel score at scale, rank, eval-pairs and bon-curve, as a user runs them.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/folder_lock.hpp"
#include "nlohmann/json.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/score/bon_curve_command.hpp"
#include "tools/score/image_prompts.hpp"
#include "tools/score/image_stream.hpp"
#include "tools/score/images.hpp"
#include "tools/score/log.hpp"
#include "tools/score/rows.hpp"

namespace {

namespace fs = std::filesystem;

void draw(const fs::path& path, double level, int64_t width = 8) {
  data::write_png(path, at::full({3, 8, width}, level));
}

class Score : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("laurel_score_" + std::to_string(getpid()) +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    for (int i = 0; i < 10; ++i)
      draw(folder_ / "in" / ("i" + std::to_string(i) + ".png"), i / 10.0, i % 3 ? 8 : 12);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  bad_input::Outcome run(const std::string& arguments) const {
    return bad_input::run_laurel(arguments, folder_.string());
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& row : tools::read_scores(folder_ / "out.jsonl"))
      names.push_back(fs::path(row.file).filename().string());
    return names;
  }
  fs::path folder_;
};

TEST_F(Score, OutputDoesNotDependOnBatchesOrThreads) {
  const std::string command = "score @/in -r brightness,colourfulness -f jsonl -o @/out.jsonl ";
  ASSERT_EQ(run(command + "--batch-size 1 --decode-threads 1").exit_code, 0);
  const auto one = tools::read_scores(folder_ / "out.jsonl");
  for (const char* more : {"--batch-size 3 --decode-threads 4", "--batch-size 16"}) {
    ASSERT_EQ(run(command + more).exit_code, 0);
    const auto other = tools::read_scores(folder_ / "out.jsonl");
    ASSERT_EQ(other.size(), one.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(other[i].file, one[i].file);
      EXPECT_NEAR(other[i].rewards.at("total"), one[i].rewards.at("total"), 1e-6);
    }
  }
  EXPECT_EQ(files().size(), 10u);
  EXPECT_EQ(files()[7], "i7.png");
  EXPECT_FALSE(fs::exists(folder_ / "out.jsonl.part"));
}

// The program kills laurel at its fourth image, once; each image that it is asked about leaves a
// line.
TEST_F(Score, AKilledRunGoesOn) {
  const std::string script = R"sh(while read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  echo x >> @/asked
  if [ "$(wc -l < @/asked)" = 4 ] && [ ! -e @/killed ]; then
    touch @/killed; kill -9 $PPID; exit; fi
  echo "{\"id\": $id, \"score\": 1}"
done
)sh";
  data::write_file(folder_ / "slow.sh", bad_input::with_folder(script, folder_.string()));
  const std::string command =
      "score @/in --define 'slow=program:exec sh @/slow.sh' -r slow --batch-size 1 -f jsonl -o "
      "@/out.jsonl";
  EXPECT_NE(run(command).exit_code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "out.jsonl.part"));
  EXPECT_EQ(run("score @/in -r brightness -o @/out.jsonl").exit_code, 2);  // other rewards
  for (const char* weights : {" --social @/elsewhere", " --lvlm @/elsewhere", " --clip @/elsewhere",
                              " --define twice=2*slow"}) {
    const auto other = run(command + weights);
    EXPECT_EQ(other.exit_code, 2) << weights;
    EXPECT_NE(other.complaint.find("other rewards or models"), std::string::npos) << weights;
  }
  const auto again = run(command);
  EXPECT_EQ(again.exit_code, 0) << again.complaint;
  EXPECT_NE(again.complaint.find("3 images are scored already"), std::string::npos)
      << again.complaint;
  EXPECT_EQ(files().size(), 10u);
  EXPECT_EQ(data::read_file(folder_ / "asked").size(), 2u * 11);  // the fourth was asked twice
  EXPECT_FALSE(fs::exists(folder_ / "out.jsonl.part"));
}

// Wherever a writer was killed: else a resumed run would make other batches, whose scores differ in
// the last digits.
TEST(ScoreLog, KeepsWholeBatchesAlone) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_batches.part";
  fs::remove(path);
  {
    tools::ScoreLog log(path, "r");
    log.add({{"a.png", {"p", {1}}}, {"b.png", {"p", {2}}}});
    log.add({});
    log.add({{"c.png", {"p", {3}}}, {"d.png", {"p", {4}}}});
  }
  const std::string whole = data::read_file(path);
  std::set<size_t> sizes;
  for (size_t length = 0; length <= whole.size(); ++length) {
    data::write_file(path, whole.substr(0, length));
    sizes.insert(tools::ScoreLog(path, "r").size());
  }
  EXPECT_EQ(sizes, (std::set<size_t>{0, 2, 4}));
}

TEST(ScoreLog, KeepsRowsAndDropsACutLine) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_score.part";
  fs::remove(path);
  {
    tools::ScoreLog log(path, "r");
    log.add({{"a.png", {"p", {1.5, std::nan("")}}}, {"b.png", {"q", {2, 3}}}});
  }
  std::ofstream(path, std::ios::app) << "{\"rows\":[{\"file\":\"c.png\",\"pro";
  tools::ScoreLog log(path, "r");
  EXPECT_EQ(log.size(), 2u);
  ASSERT_NE(log.find("a.png"), nullptr);
  EXPECT_EQ(log.find("a.png")->prompt, "p");
  EXPECT_EQ(log.find("a.png")->raw[0], 1.5);
  EXPECT_TRUE(std::isnan(log.find("a.png")->raw[1]));
  EXPECT_EQ(log.find("c.png"), nullptr);
  log.add({{"c.png", {"p", {1, 1}}}});
  EXPECT_EQ(tools::ScoreLog(path, "r").size(), 3u);
  EXPECT_NE(refusal([&] { tools::ScoreLog(path, "other"); }).find("delete the file"),
            std::string::npos);
  log.remove();
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Score, TheStreamHandsOutInOrderAndHoldsFew) {
  std::vector<fs::path> paths;
  for (int i = 0; i < 10; ++i) paths.push_back(at("in/i" + std::to_string(i) + ".png"));
  paths.insert(paths.begin() + 4, at("none.png"));
  tools::ImageStream stream(paths, 3, 2);
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto image = stream.next();
    ASSERT_TRUE(image);
    EXPECT_EQ(image->index, i);
    EXPECT_EQ(image->image.pixels.defined(), i != 4);
    EXPECT_EQ(image->fault.empty(), i != 4);
  }
  EXPECT_FALSE(stream.next());
  tools::ImageStream left(paths, 2, 2);  // destroyed with images waiting
  left.next();
}

TEST_F(Score, AnImageIsOpenedWithTheTextThatMayHoldItsPrompt) {
  data::update_png_text(at("in/i0.png"), {{"parameters", "a red circle\nSteps: 4"}});
  const auto open = [](const fs::path& path) {
    return tools::open_image(data::read_file(path), path.string());
  };
  const auto opened = open(at("in/i0.png"));
  EXPECT_EQ(opened.pixels.sizes(), (std::vector<int64_t>{8, 12, 3}));
  EXPECT_EQ(tools::prompt_in(opened.text), "a red circle");
  EXPECT_FALSE(tools::prompt_in(open(at("in/i1.png")).text));
  EXPECT_NE(refusal([&] { open(at("none.png")); }).find("none.png"), std::string::npos);
  ASSERT_EQ(run("score @/in -r brightness -f jsonl -o @/out.jsonl").exit_code, 0);
  const auto rows = tools::read_scores(folder_ / "out.jsonl");
  EXPECT_EQ(rows[0].prompt, "a red circle");
  EXPECT_EQ(rows[1].prompt, "");
}

TEST_F(Score, NormalisersCapsAndAggregates) {
  const std::string base =
      "score @/in -r brightness,b2 --define 'b2=1-brightness' -f jsonl -o @/out.jsonl ";
  const auto totals = [&](const std::string& more) {
    EXPECT_EQ(run(base + more).exit_code, 0) << more;
    std::vector<double> values;
    for (const auto& row : tools::read_scores(folder_ / "out.jsonl"))
      values.push_back(row.rewards.at("total"));
    return values;
  };
  EXPECT_NEAR(totals("--normalise none --aggregate min")[2], 0.2, 0.01);
  EXPECT_NEAR(totals("--normalise none --aggregate mean")[2], 0.5, 0.01);
  EXPECT_NEAR(totals("--normalise none --caps brightness=..0.3")[9], 0.3 + 0.1, 0.01);
  EXPECT_NEAR(totals("--normalise rank -p x")[0], 0.1 + 1, 1e-6);
  ASSERT_EQ(run(base + "--save-statistics @/stats.json").exit_code, 0);
  EXPECT_NEAR(totals("--normalise fixed --statistics @/stats.json")[9], 0, 1e-3);
  ASSERT_EQ(run("score @/in -r brightness,b2 --define 'b2=1-brightness' -f jsonl -o @/base.jsonl")
                .exit_code,
            0);
  EXPECT_NEAR(totals("--normalise none --baseline @/base.jsonl")[5], 0, 1e-6);  // a delta reward
  const std::string scores = data::read_file(folder_ / "base.jsonl");
  data::write_file(folder_ / "twice.jsonl", scores + scores);  // as of two folders
  const auto twice = run(base + "--baseline @/twice.jsonl");
  EXPECT_EQ(twice.exit_code, 2);
  EXPECT_NE(twice.complaint.find("expected every file name once, found two files"),
            std::string::npos)
      << twice.complaint;
}

// Of the images of a prompt, whatever the batches; no group without a prompt's second image.
TEST_F(Score, DiversityComparesThePromptsImages) {
  for (const char* name : {"a", "b", "c", "d"}) {
    draw(folder_ / "groups" / (std::string(name) + ".png"), name[0] == 'c' ? 0.9 : 0.1);
    data::write_file(folder_ / "groups" / (std::string(name) + ".txt"),
                     name[0] == 'd' ? "a blue square" : "a red circle");
  }
  const auto scores = [&](const std::string& more) {
    const auto done = run("score @/groups -r brightness,diversity -f jsonl -o @/out.jsonl " + more);
    EXPECT_EQ(done.exit_code, 0) << done.complaint;
    std::vector<double> values;
    for (const auto& row : tools::read_scores(folder_ / "out.jsonl"))
      values.push_back(row.rewards.at("diversity"));
    return values;
  };
  const auto whole = scores(""), one = scores("--batch-size 1");
  ASSERT_EQ(whole.size(), 4u);
  EXPECT_NEAR(whole[0], whole[1], 1e-6);      // copies, as far from c
  EXPECT_NEAR(whole[2], 2 * whole[0], 1e-5);  // of a, b: 0 and the distance to c
  EXPECT_EQ(whole[3], 0);                     // alone in its prompt
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(one[i], whole[i], 1e-5);
  const auto alone = run("score @/groups/a.png -r diversity");
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_NE(alone.complaint.find("reward diversity: expected two images of a prompt"),
            std::string::npos)
      << alone.complaint;
  const auto ranked = run("rank @/groups -r diversity");
  EXPECT_EQ(ranked.exit_code, 2);
  EXPECT_NE(ranked.complaint.find("reward diversity: compares the images of a prompt"),
            std::string::npos)
      << ranked.complaint;
}

TEST_F(Score, RankOrdersEachPrompt) {
  data::write_file(folder_ / "in/i3.txt", "other");
  const std::string command = "OMP_NUM_THREADS=1 " + std::string(tests::program()) + " rank " +
                              at("in") + " -r brightness > " + at("rank.txt");
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string text = data::read_file(folder_ / "rank.txt");
  EXPECT_TRUE(text.starts_with("(no prompt)\n   1      0.9")) << text;
  EXPECT_NE(text.find("other\n   1      0.2980"), std::string::npos) << text;
}

TEST_F(Score, EvalPairsReadsTheFieldsForms) {
  data::write_file(folder_ / "in/pairs.jsonl",
                   R"({"prompt":"x","a":"i9.png","b":"i1.png","winner":"a"}
{"prompt":"x","pos_path":"i2.png","neg_path":"i8.png"}
{"prompt":"y","generations":["i9.png","i5.png","i1.png"],"ranking":[1,2,2]}
{"prompt":"z","file_path":["i1.png","i2.png"],"human_preference":[0,1]}
{"caption":"w","image_0":"i1.png","image_1":"i1.png","label_0":0.5,"label_1":0.5}
)");
  ASSERT_EQ(run("eval-pairs @/in/pairs.jsonl -r brightness -o @/out.jsonl").exit_code, 0);
  std::istringstream lines(data::read_file(folder_ / "out.jsonl"));
  std::map<std::string, double> accuracy;
  for (std::string line; std::getline(lines, line);) {
    const auto json = data::parse_json(line);
    accuracy[json["definition"].get<std::string>()] = json["accuracy"].get<double>();
  }
  EXPECT_NEAR(accuracy.at("imagereward"), 4.0 / 5, 1e-9);  // one wrong, two truth ties left out
  EXPECT_NEAR(accuracy.at("hpsv2"), (0.5 + 1 + 1) / 3, 1e-9);
  EXPECT_NEAR(accuracy.at("pickscore"), (4 + 0.5 + 1) / 7, 1e-9);
  data::write_file(folder_ / "wrong.jsonl", "{\"prompt\":\"x\"}\n");
  const auto refused = run("eval-pairs @/wrong.jsonl -r brightness");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.complaint.find("wrong.jsonl:1: none of the known forms"), std::string::npos)
      << refused.complaint;
}

TEST_F(Score, EvalPairsLeavesOutWhatItCannotRead) {
  data::write_file(folder_ / "in/i3.png", "no picture");
  data::write_file(folder_ / "in/pairs.jsonl",
                   R"({"prompt":"x","a":"i9.png","b":"i1.png","winner":"a"}
{"prompt":"x","a":"i3.png","b":"i1.png","winner":"a"}
)");
  const auto one = run("eval-pairs @/in/pairs.jsonl -r brightness -o @/out.jsonl");
  EXPECT_EQ(one.exit_code, 2);
  EXPECT_NE(one.complaint.find("i3.png: not a readable image"), std::string::npos) << one.complaint;
  EXPECT_NE(one.complaint.find("1 pairs left out"), std::string::npos) << one.complaint;
  EXPECT_NE(data::read_file(folder_ / "out.jsonl").find("\"accuracy\":1.0,"), std::string::npos);
  data::write_file(folder_ / "in/i1.png", "no picture");
  const auto none = run("eval-pairs @/in/pairs.jsonl -r brightness");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_NE(none.complaint.find("none of the pairs could be scored"), std::string::npos);
}

TEST_F(Score, TwoThatWriteOneFileDoNotMeet) {
  const auto lock = data::FolderLock::of_file(folder_ / "out.jsonl");
  const auto refused = run("score @/in -r brightness -o @/out.jsonl");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.complaint.find("expected a file that no other laurel writes to"),
            std::string::npos)
      << refused.complaint;
  EXPECT_FALSE(fs::exists(folder_ / "out.jsonl.part"));
}

TEST_F(Score, BonCurveOfAFlatRewardSaysSo) {
  std::string lines;
  for (const char* proxy : {"1", "2", "3"})
    lines += std::string(R"({"file":"f","prompt":"p","rewards":{"proxy":)") + proxy +
             R"(,"gold":1}})" + "\n";
  data::write_file(folder_ / "scores.jsonl", lines);
  testing::internal::CaptureStdout();
  EXPECT_EQ(tools::kBonCurve.run({at("scores.jsonl"), "--proxy", "proxy", "--gold", "gold"}), 0);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("gold is the same whatever proxy chooses"), std::string::npos) << said;
}

TEST_F(Score, BonCurveSaysWhereGoldTurns) {
  std::string lines;
  for (const int proxy : {1, 2, 3, 4, 5}) {
    const int gold = proxy == 5 ? -9 : proxy;
    lines += "{\"file\":\"f\",\"prompt\":\"p\",\"rewards\":{\"proxy\":" + std::to_string(proxy) +
             ",\"gold\":" + std::to_string(gold) + "}}\n";
  }
  data::write_file(folder_ / "scores.jsonl", lines);
  ASSERT_EQ(run("bon-curve @/scores.jsonl --proxy proxy --gold gold -o @/curve.jsonl").exit_code,
            0);
  testing::internal::CaptureStdout();
  EXPECT_EQ(tools::kBonCurve.run({at("scores.jsonl"), "--proxy", "proxy", "--gold", "gold"}), 0);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("--caps proxy=..3\n"), std::string::npos);
  const std::string curve = data::read_file(folder_ / "curve.jsonl");
  EXPECT_NE(curve.find("\"n\":5"), std::string::npos) << curve;
  EXPECT_NE(run("bon-curve @/scores.jsonl --proxy none --gold gold").complaint.find("'none'"),
            std::string::npos);
}

TEST_F(Score, TheDryRunListsTensors) {
  const std::string clip =
      std::string(tests::source_dir()) + "/tests/golden/clip_layouts/open_clip_model.safetensors";
  const std::string command = "OMP_NUM_THREADS=1 " + std::string(tests::program()) +
                              " score --dry-run -r x --define 'x=clip:" + clip +
                              ";tokenizer=" + std::string(tests::source_dir()) +
                              "/models/tiny-world/tokenizer' > " + at("dry.txt") + " 2> " +
                              at("err.txt");
  EXPECT_NE(std::system(command.c_str()), 0);  // the tokenizer is of another model
  const std::string text = data::read_file(folder_ / "dry.txt");
  EXPECT_NE(text.find("  mapped      vision_model.embeddings.class_embedding [64]"),
            std::string::npos)
      << text << data::read_file(folder_ / "err.txt");
}

}  // namespace
