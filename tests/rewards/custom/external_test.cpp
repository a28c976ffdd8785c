#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "data/base/base64.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/system/http_server.hpp"
#include "rewards/custom/http_reward.hpp"
#include "rewards/custom/program_reward.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

// B images whose brightness is their number / B.
rewards::RewardBatch batch_of(int64_t count) {
  rewards::RewardBatch batch;
  std::vector<at::Tensor> images;
  for (int64_t i = 0; i < count; ++i) {
    images.push_back(at::full({3, 2, 2}, static_cast<double>(i) / static_cast<double>(count)));
    batch.prompts.push_back("p" + std::to_string(i));
  }
  batch.images = at::stack(images);
  return batch;
}

// The number of the image, from its prompt. `extra`: shell code that runs once a line, with $id and
// $n set.
std::string counting_program(const std::string& extra) {
  return R"(while read -r line; do id=${line#*\"id\":}; id=${id%%,*}; n=${line#*\"p}; n=${n%%\"*}; )" +
         std::string(R"(n=${line#*prompt\":\"p}; n=${n%%\"*}; )") + extra +
         R"( echo "{\"id\": $id, \"score\": $n}"; done)";
}

TEST(ProgramReward, SeveralProgramsKeepTheOrder) {
  // Odd images take longer, so that answers come out of order.
  const auto reward = rewards::program_reward(
      "mine", counting_program("if [ $((n % 2)) = 1 ]; then sleep 0.02; fi;"), {.workers = 3});
  for (int round = 0; round < 2; ++round) {  // the programs stay
    const at::Tensor scores = reward.score(batch_of(9));
    EXPECT_TRUE(scores.equal(at::arange(9, at::kFloat))) << scores;
  }
  EXPECT_FALSE(reward.info.differentiable);
}

TEST(ProgramReward, AProgramThatDiesIsStartedAnewAndAskedAgain) {
  const fs::path marker = tests::fresh_folder() / "died";
  const auto reward = rewards::program_reward(
      "mine",
      counting_program("if [ $n = 2 ] && [ ! -e " + marker.string() + " ]; then touch " +
                       marker.string() + "; exit 1; fi;"),
      {});
  EXPECT_TRUE(reward.score(batch_of(4)).equal(at::arange(4, at::kFloat)));
  EXPECT_TRUE(fs::exists(marker));
}

TEST(ProgramReward, AnImageThatTimesOutTwiceOrIsRefusedIsMissing) {
  const auto reward = rewards::program_reward(
      "mine",
      counting_program("if [ $n = 1 ]; then sleep 5; fi; if [ $n = 2 ]; then echo "
                       "\"{\\\"id\\\": $id, \\\"error\\\": \\\"no\\\"}\"; continue; fi;"),
      {.seconds = 0.3});
  const at::Tensor scores = reward.score(batch_of(4));
  EXPECT_EQ(scores[0].item<float>(), 0);
  EXPECT_TRUE(std::isnan(scores[1].item<float>()));
  EXPECT_TRUE(std::isnan(scores[2].item<float>()));
  EXPECT_EQ(scores[3].item<float>(), 3);
}

TEST(ProgramReward, OneThatNeverAnswersIsSaid) {
  const auto gone = rewards::program_reward("mine", "exit 3", {});
  EXPECT_NE(refusal([&] {
              gone.score(batch_of(4));
            }).find("reward mine: the program 'exit 3' failed on 3 images in a row: no answer"),
            std::string::npos);
  const auto wrong =
      rewards::program_reward("mine", "while read -r l; do echo hello; done", {.seconds = 0.2});
  EXPECT_NE(refusal([&] { wrong.score(batch_of(4)); }).find("found 'hello'"), std::string::npos);
}

TEST(ProgramReward, OtherLinesArePassedOverAndNaNIsMissing) {
  const auto reward = rewards::program_reward(
      "mine",
      "echo 'load checkpoint from reward.pt';" +
          counting_program("echo \"image $n\"; if [ $n = 1 ]; then n=NaN; fi; if [ $n = 2 ]; then "
                           "n=-Infinity; fi; if [ $n = 3 ]; then n=1e300; fi;"),
      {.seconds = 20});
  const at::Tensor scores = reward.score(batch_of(5));
  EXPECT_EQ(scores[0].item<float>(), 0);
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(std::isnan(scores[i].item<float>())) << i;
  EXPECT_EQ(scores[4].item<float>(), 4);
}

TEST(ProgramReward, GetsThePngAndThePrompt) {
  const fs::path seen = tests::fresh_folder() / "seen";
  const auto reward = rewards::program_reward(
      "mine", counting_program("printf '%s\\n' \"$line\" >> " + seen.string() + ";"), {});
  const auto batch = batch_of(1);
  reward.score(batch);
  const std::string line = data::read_file(seen);
  EXPECT_NE(line.find("\"png\":\"" + data::base64(data::encode_png(batch.images[0]))),
            std::string::npos);
  EXPECT_NE(line.find("\"prompt\":\"p0\""), std::string::npos);
}

data::HttpReply reply(int status, const std::string& body, data::HttpHeaders headers = {}) {
  return {.status = status, .body = body, .headers = std::move(headers), .error = ""};
}

TEST(HttpReward, FaultsAreRepeatedUntilTheAnswerIsOne) {
  std::atomic<int> asked = 0;
  const data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    EXPECT_NE(request.body.find("\"prompts\":[\"p0\",\"p1\"]"), std::string::npos);
    switch (asked++) {
      case 0:
        return reply(429, "", {{"retry-after", "0"}});
      case 1:
        return reply(503, "");
      case 2:
        return reply(200, "{\"scores\": [1");
      case 3:
        return reply(200, R"({"scores": [1]})");
      case 4:
        return reply(200, R"({"scores": ["good", 2]})");
      default:
        return reply(200, R"({"scores": [1.5, null]})");
    }
  });
  const auto reward = rewards::http_reward(
      "far", data::parse_url("http://127.0.0.1:" + std::to_string(server.port()) + "/score", ""),
      {.first_wait = 0.001});
  const at::Tensor scores = reward.score(batch_of(2));
  EXPECT_EQ(asked, 6);
  EXPECT_EQ(scores[0].item<float>(), 1.5f);
  EXPECT_TRUE(std::isnan(scores[1].item<float>()));
}

TEST(HttpReward, NonsenseEndsWithPatienceAndARefusalAtOnce) {
  std::atomic<int> asked = 0;
  const data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    ++asked;
    return request.path == "/gone" ? reply(404, "") : reply(200, "what a lovely image");
  });
  const std::string place = "http://127.0.0.1:" + std::to_string(server.port());
  const rewards::ExternalOptions hasty{.patience = 1, .first_wait = 0.001};
  const auto nonsense = rewards::http_reward("far", data::parse_url(place, ""), hasty);
  const std::string said = refusal([&] { nonsense.score(batch_of(1)); });
  EXPECT_NE(said.find("found 'what a lovely image'"), std::string::npos) << said;
  EXPECT_NE(said.find("from its last checkpoint"), std::string::npos) << said;
  EXPECT_GT(asked, 2);
  asked = 0;
  const auto gone = rewards::http_reward("far", data::parse_url(place + "/gone", ""), hasty);
  EXPECT_NE(refusal([&] { gone.score(batch_of(1)); }).find("status 404"), std::string::npos);
  EXPECT_EQ(asked, 1);
}

TEST(HttpReward, NaNIsAMissingScore) {
  const data::HttpServer server("127.0.0.1", 0, [](const data::HttpRequest&) {
    return reply(200, R"({"scores": [NaN, 0.5, Infinity, 1e999]})");
  });
  const auto reward = rewards::http_reward(
      "far", data::parse_url("http://127.0.0.1:" + std::to_string(server.port()), ""), {});
  const at::Tensor scores = reward.score(batch_of(4));
  EXPECT_EQ(scores.isnan().sum().item<int64_t>(), 3);
  EXPECT_EQ(scores[1].item<float>(), 0.5f);
}

TEST(HttpReward, APauseThatIsAskedForEndsWithPatience) {
  std::atomic<int> asked = 0;
  const data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest&) {
    ++asked;
    return reply(429, "", {{"retry-after", "1000000"}});
  });
  const auto reward = rewards::http_reward(
      "far", data::parse_url("http://127.0.0.1:" + std::to_string(server.port()), ""),
      {.patience = 0.2, .first_wait = 0.001});
  EXPECT_NE(refusal([&] { reward.score(batch_of(1)); }).find("status 429"), std::string::npos);
  EXPECT_EQ(asked, 2);
}

TEST(HttpReward, OtherMachinesMustBeAllowed) {
  const auto url = data::parse_url("http://example.org/score", "");
  EXPECT_NE(refusal([&] { rewards::http_reward("far", url, {}); }).find("--allow-remote"),
            std::string::npos);
  EXPECT_EQ(rewards::http_reward("far", url, {.any_host = true}).info.name, "far");
}

}  // namespace
