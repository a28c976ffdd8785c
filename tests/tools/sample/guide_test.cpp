#include "tools/sample/guide.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
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

TEST(Guide, IsReadAndRefusedByName) {
  EXPECT_EQ(tools::parse_guide("").particles, 1);
  const auto guide = tools::parse_guide("gradient=0.25,particles=4");
  EXPECT_EQ(guide.particles, 4);
  EXPECT_EQ(guide.gradient, 0.25);
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"particle=4", "expected particles=N, gradient=N, found 'particle=4'"},
           {"particles", "found 'particles'"},
           {"particles=1", "particles: expected a whole number from 2 to 256, found '1'"},
           {"particles=2.5", "found '2.5'"},
           {"particles=x", "found 'x'"},
           {"gradient=nan", "gradient: expected a number above 0"},
           {"particles=4,", "found ''"}})
    EXPECT_NE(refusal([&, t = text] { tools::parse_guide(t); }).find(expected), std::string::npos)
        << text;
  EXPECT_EQ(tools::guided_batch(guide, 10), 8);
  EXPECT_EQ(tools::guided_batch(guide, 3), 4);
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
                .find("expected a multiple of the 4 particles"),
            std::string::npos);
}

}  // namespace
