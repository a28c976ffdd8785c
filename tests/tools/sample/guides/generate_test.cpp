#include "tools/sample/guides/generate.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/sample/command.hpp"

namespace fs = std::filesystem;

namespace {

void sample(const fs::path& folder, const std::vector<std::string>& more) {
  std::vector<std::string> arguments{
      "-m",       std::string(tests::source_dir()) + "/tests/golden/pipeline",
      "-p",       "a red circle",
      "--steps",  "10",
      "--eta",    "1",
      "--device", "cpu",
      "-o",       folder.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    EXPECT_EQ(tools::kSample.run(arguments), 0);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    testing::internal::GetCapturedStderr();
    throw;
  }
  testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
}

// Mean brightness of the images of a folder, in order.
std::vector<double> brightness(const fs::path& folder) {
  std::vector<double> values;
  for (const auto& file : data::list_images(folder.string()))
    values.push_back(data::read_image(file).mean().item<double>());
  return values;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

TEST(Guide, ParticlesEarnMoreAndAreRecorded) {
  const fs::path plain = tests::fresh_folder("plain"), led = tests::fresh_folder("led"),
                 again = tests::fresh_folder("again");
  sample(plain, {"-n", "3", "--seed", "5"});
  const std::vector<std::string> guided{
      "-n",       "3",          "--seed",        "5", "--guide", "particles=4",
      "--reward", "brightness", "--guide_times", "4"};
  sample(led, guided);
  sample(again, guided);
  ASSERT_EQ(brightness(led).size(), 3u);
  EXPECT_GT(mean(brightness(led)), mean(brightness(plain)));
  EXPECT_EQ(brightness(led), brightness(again));
  std::istringstream lines(data::read_file(led / "guide.jsonl"));
  int images = 0;
  for (std::string line; std::getline(lines, line); ++images) {
    const auto record = data::parse_json(line);
    EXPECT_EQ(record["prompt"], "a red circle");
    EXPECT_EQ(record["seed"], 5 + 4 * images);
    ASSERT_EQ(record["ratings"].size(), 4u);
    for (const auto& rating : record["ratings"]) {
      EXPECT_EQ(rating["values"].size(), 4u);
      EXPECT_EQ(rating["rows"].size(), 4u);  // without a strength, half go on each time
      EXPECT_NEAR(rating["effective"].get<double>(), 2.5, 1e-3);
    }
  }
  EXPECT_EQ(images, 3);
  // An image depends on its own request alone, not on the others of its micro-batch.
  const fs::path one = tests::fresh_folder("one");
  sample(one, {"-n", "1", "--seed", "9", "--guide", "particles=4", "--reward", "brightness",
               "--guide_times", "4", "--batch_size", "8"});
  EXPECT_NEAR(brightness(one)[0], brightness(led)[1], 1e-6);
}

TEST(Guide, AWeakStrengthIsBestOfSeveral) {
  const fs::path best = tests::fresh_folder("best"), led = tests::fresh_folder("led");
  sample(best, {"--best_of", "4", "--reward", "brightness", "--batch_size", "4"});
  sample(led, {"--guide", "particles=4", "--guide_strength", "1e-6", "--reward", "brightness",
               "--batch_size", "4"});
  EXPECT_EQ(brightness(best), brightness(led));
}

TEST(Guide, TheGradientLeadsUp) {
  const fs::path plain = tests::fresh_folder("plain"), led = tests::fresh_folder("led");
  sample(plain, {"-n", "2", "--eta", "0"});
  sample(led, {"-n", "2", "--eta", "0", "--guide", "gradient=0.3", "--reward", "brightness"});
  const auto before = brightness(plain), after = brightness(led);
  ASSERT_EQ(after.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_GT(after[i], before[i] + 0.01);
}

// The released code of DAS returns the one image of greatest weight over all prompts of a batch.
TEST(Guide, EachPromptOfABatchHasTheBestOfItsOwnParticles) {
  const fs::path both = tests::fresh_folder("both"), second = tests::fresh_folder("second");
  const std::vector<std::string> guided{"--guide",  "particles=4", "--batch_size", "8",
                                        "--reward", "brightness",  "--seed",       "3"};
  auto two = guided, one = guided;
  two.insert(two.end(), {"-p", "a blue square"});
  sample(both, two);
  sample(second, one);
  ASSERT_EQ(brightness(both).size(), 2u);
  EXPECT_NEAR(brightness(both)[0], brightness(second)[0], 1e-6);
}

TEST(Guide, PerStepTheBestOfTheNextStatesGoesOn) {
  const fs::path plain = tests::fresh_folder("plain"), led = tests::fresh_folder("led"),
                 again = tests::fresh_folder("again");
  sample(plain, {"-n", "3", "--seed", "5"});
  const std::vector<std::string> guided{"-n",      "3",          "--seed",   "5",
                                        "--guide", "per_step=3", "--reward", "brightness"};
  sample(led, guided);
  sample(again, guided);
  EXPECT_GT(mean(brightness(led)), mean(brightness(plain)));
  EXPECT_EQ(brightness(led), brightness(again));
  std::istringstream lines(data::read_file(led / "guide.jsonl"));
  int images = 0;
  for (std::string line; std::getline(lines, line); ++images) {
    const auto record = data::parse_json(line);
    ASSERT_EQ(record["ratings"].size(), 10u);  // of every step
    for (const auto& rating : record["ratings"]) {
      const auto values = rating["values"].get<std::vector<double>>();
      const auto best = std::max_element(values.begin(), values.end()) - values.begin();
      EXPECT_EQ(rating["rows"].get<std::vector<int64_t>>(), std::vector<int64_t>(3, best));
    }
  }
  EXPECT_EQ(images, 3);
}

// At a radius of 1 every sample is fresh: the best of several, bit for bit.
TEST(Guide, ARandomSearchIsBestOfSeveral) {
  const fs::path best = tests::fresh_folder("best"), led = tests::fresh_folder("led");
  sample(best, {"-n", "2", "--eta", "0", "--best_of", "6", "--reward", "brightness", "--batch_size",
                "4"});
  sample(led, {"-n", "2", "--eta", "0", "--guide", "noise=6", "--guide_radius", "1",
               "--guide_round", "2", "--reward", "brightness", "--batch_size", "4"});
  EXPECT_EQ(brightness(best), brightness(led));
}

TEST(Guide, ASearchNearTheBestClimbs) {
  for (const char* eta : {"0", "1"}) {
    const fs::path led = tests::fresh_folder("led"), again = tests::fresh_folder("again"),
                   alone = tests::fresh_folder("alone");
    const std::vector<std::string> guided{
        "--eta",          eta,   "--guide",  "noise=9",    "--guide_round", "3",
        "--guide_radius", "0.4", "--reward", "brightness", "--batch_size",  "4"};
    auto two = guided, second = guided;
    two.insert(two.end(), {"-n", "2", "--seed", "20"});
    second.insert(second.end(), {"--seed", "29"});
    sample(led, two);
    sample(again, two);
    sample(alone, second);
    EXPECT_EQ(brightness(led), brightness(again));
    EXPECT_NEAR(brightness(led)[1], brightness(alone)[0], 1e-6);  // of its own request alone
    std::istringstream lines(data::read_file(led / "guide.jsonl"));
    size_t images = 0;
    double first = 0, last = 0;
    for (std::string line; std::getline(lines, line); ++images) {
      const auto record = data::parse_json(line);
      EXPECT_EQ(record["seed"], 20 + 9 * images);
      const auto rounds = record["rounds"].get<std::vector<std::vector<double>>>();
      ASSERT_EQ(rounds.size(), 3u);
      double best = 0;
      for (const auto& round : rounds) {
        EXPECT_EQ(round.size(), 3u);
        best = std::max(best, *std::max_element(round.begin(), round.end()));
      }
      const auto png = data::list_images(led.string())[images];
      const std::string text = data::read_png_text(png).at("parameters"),
                        name = "brightness Score: ";
      EXPECT_NEAR(std::stod(text.substr(text.find(name) + name.size())), best, 1e-4);
      first += mean(rounds.front());
      last += mean(rounds.back());
    }
    EXPECT_GT(last, first);  // neighbours of the best are better than fresh noise
    EXPECT_EQ(images, 2u);
  }
}

TEST(Guide, AResumedSearchMakesTheMissingImages) {
  const fs::path whole = tests::fresh_folder("whole");
  const std::vector<std::string> searched{"-n",       "2",          "--seed",       "20",
                                          "--eta",    "0",          "--guide",      "noise=4",
                                          "--reward", "brightness", "--batch_size", "4"};
  sample(whole, searched);
  const auto before = brightness(whole);
  fs::remove(whole / "00001-24.png");
  auto resumed = searched;
  resumed.push_back("--resume");
  sample(whole, resumed);
  EXPECT_EQ(brightness(whole), before);
  sample(whole, resumed);  // nothing is missing
  EXPECT_EQ(brightness(whole), before);
}

TEST(Guide, TheGradientThroughTheNetworkLeadsUp) {
  const fs::path plain = tests::fresh_folder("plain"), led = tests::fresh_folder("led"),
                 through = tests::fresh_folder("through");
  sample(plain, {"-n", "2", "--eta", "0"});
  const std::vector<std::string> guided{"-n",           "2",        "--eta",     "0", "--guide",
                                        "gradient=0.3", "--reward", "brightness"};
  auto jacobian = guided;
  jacobian.push_back("--guide_jacobian");
  sample(led, guided);
  sample(through, jacobian);
  const auto before = brightness(plain), after = brightness(through);
  for (size_t i = 0; i < 2; ++i) EXPECT_GT(after[i], before[i] + 0.01);
  EXPECT_NE(after, brightness(led));
}

// Without a move of the gradient that counts, the weights are those of the particles alone.
TEST(Guide, TheGradientsMovesAreWeighedWhereAStrengthIsGiven) {
  const auto effective = [&](const std::string& guide) {
    const fs::path folder = tests::fresh_folder("weighed");
    sample(folder, {"--guide", guide, "--guide_strength", "1e-6", "--reward", "brightness"});
    const auto record = data::parse_json(data::read_file(folder / "guide.jsonl"));
    return record["ratings"].back()["effective"].get<double>();
  };
  EXPECT_NEAR(effective("particles=4"), 4, 1e-3);
  EXPECT_NEAR(effective("particles=4,gradient=0.000001"), 4, 1e-3);
  EXPECT_LT(effective("particles=4,gradient=0.3"), 3.9);
}

TEST(Guide, RefusesInOneLine) {
  const fs::path folder = tests::fresh_folder("bad");
  const auto refused = [&](const std::vector<std::string>& more) {
    return refusal([&] { sample(folder, more); });
  };
  EXPECT_NE(refused({"--guide", "particles=4"}).find("expected a --reward to follow"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "particles=4", "--reward", "brightness", "--eta", "0"})
                .find("expected a sampling method that draws noise"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "gradient=1", "--reward", "jpeg_compressibility"})
                .find("jpeg_compressibility: expected a differentiable reward"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "particles=4", "--reward", "brightness", "--best_of", "2"})
                .find("--best_of"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "particles=4", "--reward", "brightness", "--batch_size", "6"})
                .find("expected a multiple of the 4 samples of an image"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "per_step=4", "--reward", "brightness", "--eta", "0"})
                .find("expected a sampling method that draws noise"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "noise=6", "--reward", "brightness"})
                .find("--guide noise: expected a multiple of the 4 samples of --guide_round"),
            std::string::npos);
  EXPECT_NE(refused({"--guide", "noise=4", "--reward", "brightness", "--latents", "x.safetensors"})
                .find("--latents: --guide noise searches"),
            std::string::npos);
}

}  // namespace
