#include "tools/write_reward/command.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/system/http_server.hpp"
#include "rewards/world/simulated_judge.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

const char* const kNonsense = "As a large model I love pictures.";
const char* const kConstant = R"({"formula": "0*brightness + 2", "sentence": "nothing"})";
const char* const kUnknown = R"({"formula": "brightnes - contrast", "sentence": "light"})";
const char* const kGood =
    R"(Gladly: {"formula": "brightness - contrast", "sentence": "light and flat"})";

class WriteReward : public testing::Test {
 protected:
  // Picture i: the left half of grey level i / 13, the right half of (i * i % 13) / 26.
  void SetUp() override {
    ASSERT_NE(std::freopen("/dev/null", "r", stdin), nullptr);  // nobody at a terminal
    fs::create_directories(folder_ / "pictures");
    for (int i = 0; i < 12; ++i) {
      at::Tensor picture = at::full({3, 16, 16}, i / 13.0);
      picture.narrow(2, 8, 8).fill_((i * i % 13) / 26.0);
      data::write_png(folder_ / "pictures" / (std::to_string(100 + i) + ".png"), picture);
    }
  }
  // What the command prints, with a server that gives these answers in turn, the last for ever.
  std::string run(const std::vector<std::string>& answers,
                  const std::vector<std::string>& more = {}) {
    data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
      if (request.method == "GET")
        return data::HttpReply{
            .status = 200, .body = R"({"data":[{"id":"stub"}]})", .headers = {}, .error = {}};
      const auto turn = std::min<size_t>(static_cast<size_t>(asked_++), answers.size() - 1);
      const nlohmann::json body{{"choices", {{{"message", {{"content", answers[turn]}}}}}}};
      return data::HttpReply{
          .status = 200, .body = data::to_text(body), .headers = {}, .error = {}};
    });
    std::vector<std::string> arguments = {
        "light, flat pictures", pictures(), "--output",
        transcript(),           "--server", "http://127.0.0.1:" + std::to_string(server.port())};
    arguments.insert(arguments.end(), more.begin(), more.end());
    testing::internal::CaptureStdout();
    EXPECT_NO_THROW(EXPECT_EQ(tools::kWriteReward.run(arguments), 0));
    return testing::internal::GetCapturedStdout();
  }
  std::string pictures() const { return (folder_ / "pictures").string(); }
  std::string transcript() const { return (folder_ / "talk.jsonl").string(); }
  std::vector<std::string> said_by(const std::string& role) const {
    std::vector<std::string> texts;
    data::for_each_line(transcript(), [&](const std::string& text, const std::string&) {
      const auto line = data::parse_json(text);
      if (line["role"] == role) texts.push_back(line["content"].get<std::string>());
    });
    return texts;
  }
  const fs::path folder_ = tests::fresh_folder();
  std::atomic<int> asked_{0};
};

TEST_F(WriteReward, SendsBackUntilAFormulaIsUsable) {
  const std::string printed = run({kNonsense, kConstant, kUnknown, kGood});
  EXPECT_EQ(asked_, 4);
  EXPECT_EQ(printed,
            "light and flat\n4 tries\n--define 'written=brightness - contrast' --reward written\n");
  EXPECT_EQ(data::read_file(transcript()),
            data::read_file(golden::folder() / "write_reward.jsonl"));
  const auto user = said_by("user");
  ASSERT_EQ(user.size(), 4u);
  EXPECT_NE(user[1].find("expected a JSON object"), std::string::npos);
  EXPECT_NE(user[2].find("same value, 2"), std::string::npos);
  EXPECT_NE(user[3].find("did you mean brightness?"), std::string::npos);
  EXPECT_TRUE(fs::exists(folder_ / "talk.png"));
}

TEST_F(WriteReward, EndsInOneLineWithoutAUsableFormula) {
  data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest&) {
    ++asked_;
    return data::HttpReply{.status = 200,
                           .body = R"({"choices":[{"message":{"content":"I love pictures."}}]})",
                           .headers = {},
                           .error = {}};
  });
  const auto outcome = bad_input::run_laurel(
      "write-reward wish @/pictures -o @/talk.jsonl --model m --server http://127.0.0.1:" +
          std::to_string(server.port()) + "/v1",
      folder_.string());
  bad_input::expect_complaint(outcome, {"5 tries", "expected a JSON object", "@/talk.jsonl"},
                              folder_.string());
  EXPECT_EQ(asked_, 5);
}

TEST_F(WriteReward, AsksAgainWhereAPairIsWrong) {
  // Picture 12 is lighter than picture 1; the first formula likes the dark.
  const std::string printed =
      run({R"({"formula": "-brightness", "sentence": "dark"})", kGood},
          {"--feedback", "12 is better than 1", "--feedback", "no shadows"});
  EXPECT_NE(printed.find("2 tries, pairs right: 100 %"), std::string::npos) << printed;
  const auto user = said_by("user");
  ASSERT_EQ(user.size(), 2u);
  EXPECT_NE(user[0].find("The person says: no shadows\n"), std::string::npos);
  EXPECT_NE(user[0].find("Picture 12: brightness 0."), std::string::npos);
  EXPECT_NE(user[1].find("picture 12 is better than picture 1; your formula gives them -0."),
            std::string::npos);
}

TEST_F(WriteReward, KeepsTheFormulaThatIsRightMostOften) {
  const std::string printed =
      run({kGood, R"({"formula": "-brightness", "sentence": "dark"})"},
          {"--feedback", "12 > 1", "--feedback", "1 > 12", "--feedback", "11 > 1", "--tries", "3"});
  EXPECT_NE(printed.find("written=brightness - contrast"), std::string::npos) << printed;
  EXPECT_NE(printed.find("3 tries, pairs right: 67 %"), std::string::npos) << printed;
}

TEST_F(WriteReward, GoesOnWithAConversation) {
  run({kGood});
  run({R"({"formula": "-contrast", "sentence": "flat"})"}, {"--feedback", "only flat"});
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(said_by("system").size(), 1u);
  EXPECT_EQ(said_by("user").back(), "The person says: only flat\n");
  EXPECT_EQ(said_by("assistant").size(), 2u);
  // One that ended before the answer needs no feedback.
  const std::string text = data::read_file(transcript());
  data::write_file(transcript(), text.substr(0, text.rfind("{\"role\"")));
  run({kGood});
  EXPECT_EQ(asked_, 3);
}

TEST_F(WriteReward, MeasuresWordsAndDefinedFacts) {
  const std::string printed =
      run({R"({"formula": "clip:\"it's a circle\" - 8*twice", "sentence": "round"})"},
          {"--define", "twice=2*brightness", "--name", "mine"});
  EXPECT_NE(printed.find(R"(--define 'mine=clip:"it'\''s a circle" - 8*twice')"), std::string::npos)
      << printed;
  EXPECT_NE(said_by("system")[0].find("twice (expression"), std::string::npos);
}

TEST_F(WriteReward, TakesTheAnswerOfTheSimulatedServer) {
  data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    return rewards::world_judge_reply({}, request);
  });
  testing::internal::CaptureStdout();
  EXPECT_EQ(
      tools::kWriteReward.run({"bright, grey pictures", pictures(), "--output", transcript(),
                               "--server", "http://127.0.0.1:" + std::to_string(server.port())}),
      0);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("written=5*brightness"), std::string::npos);
}

TEST_F(WriteReward, RefusesInOneLine) {
  const auto refused = [&](const std::vector<std::string>& arguments) {
    return refusal([&] { tools::kWriteReward.run(arguments); });
  };
  const std::string down = "http://127.0.0.1:1/v1";
  EXPECT_NE(refused({"wish"}).find("expected a wish and pictures"), std::string::npos);
  EXPECT_NE(
      refused({"wish", pictures(), "-o", transcript(), "--server", down}).find("is the server up?"),
      std::string::npos);
  EXPECT_NE(refused({"wish", pictures(), "-o", transcript(), "--server", "http://example.org/v1"})
                .find("--remote"),
            std::string::npos);
  EXPECT_NE(
      refused({"wish", pictures(), "-o", transcript(), "--feedback", "13 > 1"}).find("1 to 12"),
      std::string::npos);
  EXPECT_NE(refused({"wish", pictures(), "-o", transcript(), "--name", "two words"})
                .find("expected NAME="),
            std::string::npos);
  EXPECT_NE(
      refused({"wish", pictures() + "/100.png", "-o", transcript()}).find("at least two pictures"),
      std::string::npos);
  data::write_file(transcript(), "{\"role\": \"king\"}\n");
  EXPECT_NE(refused({"wish", pictures(), "-o", transcript(), "--server", down, "--model", "m"})
                .find("talk.jsonl:1: expected a message"),
            std::string::npos);
}

TEST_F(WriteReward, RefusesAConversationAboutSomethingElse) {
  run({kGood});
  const auto again = [&](const std::string& wish) {
    return refusal([&] {
      tools::kWriteReward.run({wish, pictures(), "-o", transcript(), "--model", "m"});
    });
  };
  EXPECT_NE(again("light, flat pictures").find("at its end"), std::string::npos);
  EXPECT_NE(again("dark pictures").find("found another"), std::string::npos);
}

}  // namespace
