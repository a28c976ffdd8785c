#include "tools/world/voter.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "rewards/pairs/choices.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/cli/options.hpp"
#include "tools/world/answers.hpp"

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

world::RandomStream stream() {
  auto generator = at::detail::createCPUGenerator(1);
  return world::RandomStream(generator);
}

// `prompts` prompts with `each` random pictures of 16 pixels.
fs::path drawn_pictures(const fs::path& folder, int prompts, int each, uint64_t seed = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  for (int i = 0; i < prompts * each; ++i) {
    const std::string stem = (folder / ("p" + std::to_string(100 + i))).string();
    data::write_png(stem + ".png", at::rand({3, 1, 1}, generator).expand({3, 16, 16}) *
                                       at::rand({3, 16, 16}, generator));
    data::write_file(stem + ".txt", "prompt " + std::to_string(i / each) + "\n");
  }
  return folder;
}

// What it prints is not shown, also where it throws.
struct Silence {
  Silence() { testing::internal::CaptureStdout(); }
  ~Silence() { testing::internal::GetCapturedStdout(); }
};

int run(const Words& words) {
  const Silence silence;
  return tools::kWorldVoter.run(words);
}

nlohmann::json report_in(const fs::path& folder) { return data::read_json(folder / "voter.json"); }

std::map<std::string, double> truth_of(const fs::path& file) {
  std::map<std::string, double> tastes;
  data::for_each_line(file, [&](const std::string& text, const std::string&) {
    const auto line = data::parse_json(text);
    tastes[fs::path(std::string(line["file"])).filename()] = line["taste"];
  });
  return tastes;
}

TEST(Answers, FollowTheTasteWithoutNoiseAndNameWhatIsBad) {
  auto chance = stream();
  const tools::AnswerOptions sure{.noise = {.temperature = 1e-6, .tie_odds = 0}};
  EXPECT_EQ(tools::answer_about(0.3, 0.2, sure, chance), "a");
  EXPECT_EQ(tools::answer_about(0.1, 0.2, sure, chance), "b");
  const tools::AnswerOptions even{.noise = {.temperature = 1, .tie_odds = 1e12}, .bad_below = 0.5};
  EXPECT_EQ(tools::answer_about(0.3, 0.6, even, chance), "tie");
  EXPECT_EQ(tools::answer_about(0.3, 0.4, even, chance), "both_bad");
  int skipped = 0;
  for (int i = 0; i < 1000; ++i)
    skipped += !tools::answer_about(0, 1, {.noise = {}, .skip = 0.3}, chance);
  EXPECT_NEAR(skipped, 300, 60);
}

TEST(BlindProof, CountsByHand) {
  std::vector<tools::ShownPicture> base, tuned;
  for (int i = 0; i < 10; ++i) {
    const std::string name = std::to_string(i) + ".png";
    base.push_back({.file = fs::path("base") / name, .prompt = "p", .taste = 0});
    tuned.push_back({.file = fs::path("tuned") / name, .prompt = "p", .taste = i < 7 ? 1.0 : -1.0});
  }
  tuned.push_back({.file = "tuned/alone.png", .prompt = "p", .taste = 9});
  auto chance = stream();
  const auto proof =
      tools::prove_blind(base, tuned, {.noise = {.temperature = 1e-6, .tie_odds = 0}}, chance);
  EXPECT_EQ(proof.tuned, 7);
  EXPECT_EQ(proof.base, 3);
  EXPECT_NEAR(proof.share.value, 0.7, 1e-12);
  // Wilson's interval of 7 in 10.
  EXPECT_NEAR(proof.share.low, 0.3968, 1e-3);
  EXPECT_NEAR(proof.share.high, 0.8922, 1e-3);
  EXPECT_NEAR(proof.without_noise.value, 0.7, 1e-12);
  EXPECT_NEAR(proof.tuned_taste - proof.base_taste, 0.4, 1e-12);
  std::set<std::string> sides;
  for (const auto& line : proof.lines) sides.insert(line["tuned"].get<std::string>());
  EXPECT_EQ(sides.size(), 2u);  // both sides are drawn
  tuned[0].prompt = "another";
  EXPECT_NE(refusal([&] {
              tools::prove_blind(base, tuned, {.noise = {}}, chance);
            }).find("expected the prompt of base/0.png"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              tools::prove_blind(base, {tuned.back()}, {.noise = {}}, chance);
            }).find("found none"),
            std::string::npos);
}

TEST(WorldVoter, WritesChoicesThatFollowItsTasteWithoutNoise) {
  const auto folder = tests::fresh_folder();
  const std::string pictures = drawn_pictures(folder / "pictures", 8, 4).string(),
                    votes = (folder / "votes").string(), truth = (folder / "truth").string();
  ASSERT_EQ(run({pictures, "--out", truth, "--truth", "--person", "3"}), 0);
  ASSERT_EQ(run({pictures, "--out", votes, "--person", "3", "--pairs", "30", "--held_out_pairs",
                 "10", "--temperature", "0.000001", "--tie_odds", "0"}),
            0);
  const auto tastes = truth_of(folder / "truth" / "truth.jsonl");
  std::set<std::string> asked, apart;
  const auto check = [&](const char* name, std::set<std::string>& files) {
    const auto choices = rewards::read_choices(folder / "votes" / name);
    for (const auto& choice : choices.pairs) {
      ASSERT_TRUE(fs::exists(choice.a)) << choice.a;  // paths lead from the file to the pictures
      const double difference = tastes.at(choice.a.filename()) - tastes.at(choice.b.filename());
      EXPECT_EQ(choice.answer, difference > 0 ? rewards::Answer::kA : rewards::Answer::kB);
      EXPECT_EQ(choice.person, "simulated-3");
      EXPECT_TRUE(choice.prompt.starts_with("prompt "));
      files.insert(choice.prompt);
    }
  };
  check("choices.jsonl", asked);
  check("held-out.jsonl", apart);
  for (const auto& prompt : apart) EXPECT_EQ(asked.count(prompt), 0u) << prompt;
  EXPECT_GE(report_in(folder / "votes")["answers"], 30);
  EXPECT_EQ(report_in(folder / "votes")["held_out_answers"], 10);
  EXPECT_NE(refusal([&] {
              run({pictures, "--out", votes});
            }).find("found choices.jsonl"),
            std::string::npos);
}

TEST(WorldVoter, AsksAnotherPersonTheSamePairs) {
  const auto folder = tests::fresh_folder();
  const std::string pictures = drawn_pictures(folder / "pictures", 6, 4).string();
  std::vector<std::vector<rewards::Choice>> found;
  for (const char* person : {"1", "2", "1"}) {
    const auto out = folder / std::to_string(found.size());
    ASSERT_EQ(run({pictures, "--out", out.string(), "--person", person, "--pairs", "20"}), 0);
    EXPECT_NEAR(report_in(out)["consistency"].get<double>(), 0.8, 1e-3);
    found.push_back(rewards::read_choices(out / "choices.jsonl").pairs);
  }
  ASSERT_EQ(found[0].size(), found[1].size());
  int different = 0;
  for (size_t i = 0; i < found[0].size(); ++i) {
    EXPECT_EQ(found[0][i].a.filename(), found[1][i].a.filename());
    EXPECT_EQ(found[0][i].answer, found[2][i].answer);
    different += found[0][i].answer != found[1][i].answer;
  }
  EXPECT_GT(different, 0);
}

TEST(WorldVoter, ProvesABetterModelBlind) {
  const auto folder = tests::fresh_folder();
  const auto base = drawn_pictures(folder / "base", 30, 1);
  ASSERT_EQ(run({base.string(), "--out", (folder / "truth").string(), "--truth"}), 0);
  // The "trained" pictures: the base's picture with the highest taste, under every name.
  const auto tastes = truth_of(folder / "truth" / "truth.jsonl");
  const auto best = std::max_element(tastes.begin(), tastes.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  for (const auto& [name, taste] : tastes) {
    fs::create_directories(folder / "tuned");
    fs::copy_file(base / best->first, folder / "tuned" / name);
    fs::copy_file((base / name).replace_extension(".txt"),
                  (folder / "tuned" / name).replace_extension(".txt"));
  }
  const auto out = folder / "proof";
  ASSERT_EQ(
      run({"--base", base.string(), "--tuned", (folder / "tuned").string(), "--out", out.string()}),
      0);
  const auto report = report_in(out);
  EXPECT_NEAR(report["without_noise"]["share"].get<double>(), 29.5 / 30, 1e-9);
  EXPECT_GT(report["by_the_person"]["low"], 0.5);
  EXPECT_EQ(report["tuned"].get<int>() + report["base"].get<int>() + report["even"].get<int>(), 30);
}

TEST(WorldVoter, RefusesWaysThatDoNotGoTogether) {
  const auto folder = tests::fresh_folder();
  const std::string pictures = drawn_pictures(folder, 2, 2).string();
  const auto says = [](const Words& words, const std::string& part) {
    const auto line = refusal([&] { run(words); });
    EXPECT_NE(line.find(part), std::string::npos) << line;
  };
  says({}, "expected a folder of pictures");
  says({pictures}, "expected --out FOLDER");
  says({"--base", pictures, "--out", "x"}, "expected --base and --tuned");
  says({pictures, "--base", pictures, "--tuned", pictures, "--out", "x"}, "leave out");
  says({pictures, "--truth", "--studio", "http://127.0.0.1:1/#t=x"}, "choose one");
  says({"--studio", "http://127.0.0.1:1/#t=x"}, "expected --temperature");
  says({"--studio", "http://127.0.0.1:1", "--temperature", "1"}, "the address that laurel printed");
  says({"--studio", "http://127.0.0.1:1/#t=x", "--temperature", "1"}, "connection refused");
  says({pictures, "--out", (folder / "o").string(), "--pairs", "9"}, "--pairs: expected at most");
}

// docs/world.md names every option.
TEST(WorldVoter, IsDocumented) {
  const std::string page = data::read_file(fs::path(tests::source_dir()) / "docs" / "world.md");
  testing::internal::CaptureStdout();
  tools::kWorldVoter.run({"--help-json"});
  const auto schema = data::parse_json(testing::internal::GetCapturedStdout());
  for (const auto& [key, property] : schema["properties"].items()) {
    if (key.starts_with("log_")) continue;  // of every command
    EXPECT_NE(page.find("--" + key), std::string::npos) << key << " is not in docs/world.md";
  }
}

}  // namespace
