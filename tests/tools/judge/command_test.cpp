#include "tools/judge/command.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/world/scene.hpp"
#include "rewards/registry/registry.hpp"
#include "rewards/world/simulated_judge.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/train_reward/command.hpp"

namespace {

namespace fs = std::filesystem;

// Thirty prompts with two pictures each.
void draw_pictures(const fs::path& folder) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto batch = world::random_batch(60, world::Split::kSeen, generator);
  for (int i = 0; i < 60; ++i) {
    const auto stem = folder / ("p" + std::to_string(100 + i));
    data::write_png(stem.string() + ".png", batch.images[i]);
    data::write_file(stem.string() + ".txt", batch.captions[static_cast<size_t>(i / 2)]);
  }
}

int64_t lines_of(const fs::path& file) {
  const std::string text = data::read_file(file);
  return std::count(text.begin(), text.end(), '\n');
}

TEST(JudgeCommand, FromAServerToAReward) {
  const auto folder = tests::fresh_folder("judge");
  draw_pictures(folder / "pictures");
  std::atomic<int> requests{0};
  const rewards::WorldJudge judge{.constraints = false};
  data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    requests += request.method == "POST";
    return rewards::world_judge_reply(judge, request);
  });
  const std::string pictures = (folder / "pictures").string(),
                    url = "http://127.0.0.1:" + std::to_string(server.port()) + "/v1",
                    points = (folder / "points.jsonl").string(),
                    pairs = (folder / "pairs.jsonl").string();
  const std::vector<std::string> ask = {pictures, "--server",      url, "-o",
                                        points,   "--concurrency", "2"};
  // A budget stops it; the same command goes on, and asks nothing twice.
  auto little = ask;
  little.insert(little.end(), {"--max_requests", "41"});
  EXPECT_NE(refusal([&] { tools::kJudge.run(little); }).find("budget"), std::string::npos);
  EXPECT_GT(lines_of(points), 5);
  ASSERT_EQ(tools::kJudge.run(ask), 0);
  EXPECT_EQ(lines_of(points), 60);
  const int once = requests;
  EXPECT_LE(once, 2 * 60 + 12);  // and the constraints that were refused
  ASSERT_EQ(tools::kJudge.run(ask), 0);
  EXPECT_EQ(requests, once);
  ASSERT_EQ(tools::kJudge.run({pictures, "--server", url, "-o", pairs, "--mode", "pair"}), 0);
  EXPECT_EQ(lines_of(pairs), 60);  // a pair a prompt, both orders
  const std::string output = (folder / "student").string();
  ASSERT_EQ(tools::kTrainReward.run({"lvlm", "--judgements", points, "--judgements", pairs,
                                     "--output_dir", output, "--epochs", "2", "--hidden", "16",
                                     "--tower_epochs", "1", "--vision_layers", "1", "--text_layers",
                                     "0", "--exam", points}),
            0);
  rewards::RewardSources sources;
  sources.clip = fs::path(tests::source_dir()) / "models" / "tiny-world" / "clip";
  sources.weights["lvlm"] = output;
  const auto reward = rewards::make_reward("lvlm", sources);
  const double score = reward
                           .score({data::read_image(folder / "pictures" / "p100.png").unsqueeze(0),
                                   {"a red circle"}})
                           .item<double>();
  EXPECT_GT(score, -0.5);
  EXPECT_LT(score, 1);
  EXPECT_TRUE(fs::exists(folder / "student" / "clip" / "model.safetensors"));  // its own
}

TEST(JudgeCommand, RefusesInOneLine) {
  const auto folder = tests::fresh_folder("judge_bad");
  data::write_png(folder / "a.png", at::zeros({3, 64, 64}));
  const std::string image = (folder / "a.png").string(), output = (folder / "o.jsonl").string();
  const auto refused = [](const std::vector<std::string>& arguments) {
    return refusal([&] { tools::kJudge.run(arguments); });
  };
  EXPECT_NE(refused({}).find("expected images"), std::string::npos);
  EXPECT_NE(refused({image, "--prompt", "p"}).find("--output"), std::string::npos);
  EXPECT_NE(refused({image, "-o", output}).find("prompt"), std::string::npos);
  EXPECT_NE(refused({image, "-o", output, "--prompt", "p", "--server", "http://example.org/v1"})
                .find("--remote"),
            std::string::npos);
  EXPECT_NE(refused({image, "-o", output, "--prompt", "p", "--server", "http://127.0.0.1:1/v1"})
                .find("is the server up?"),
            std::string::npos);
  EXPECT_NE(
      refused({image, "-o", output, "--prompt", "p", "--mode", "pair"}).find("several images"),
      std::string::npos);
  EXPECT_NE(refused({image, "-o", output, "--prompt", "p", "--api_key_env", "LAUREL_NO_SUCH_KEY"})
                .find("LAUREL_NO_SUCH_KEY"),
            std::string::npos);
}

}  // namespace
