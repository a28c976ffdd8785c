#include "rewards/judge/chat.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"

namespace {

using nlohmann::json;

std::string said(const std::string& text, const std::string& end = "stop") {
  return data::to_text(
      json{{"choices", {{{"finish_reason", end}, {"message", {{"content", text}}}}}}});
}

// A server that gives these replies in turn, and what it was asked.
struct Scripted {
  std::vector<data::HttpReply> replies;
  std::vector<json> asked{};
  std::vector<double> waits{};
  std::vector<std::string> lines{};
  rewards::ChatPartner partner() {
    return {.transport =
                [this](const std::string& body) {
                  asked.push_back(data::parse_json(body));
                  return replies.at(asked.size() - 1);
                },
            .clock = {.now = [] { return 0.0; },
                      .sleep = [this](double seconds) { waits.push_back(seconds); }},
            .say = [this](const std::string& line) { lines.push_back(line); }};
  }
};

data::HttpReply reply(int status, const std::string& body) {
  return {.status = status, .body = body, .headers = {}, .error = {}};
}

const auto kBody = rewards::chat_request({{"system", "s"}, {"user", "u"}}, "m", 3);

std::string why_stopped(rewards::ChatPartner partner) {
  try {
    rewards::chat_answer(partner, kBody);
  } catch (const rewards::JudgeStopped& stopped) {
    return stopped.what();
  }
  return "";
}

TEST(Chat, SendsTheMessagesInOrder) {
  EXPECT_EQ(kBody["messages"][0]["role"], "system");
  EXPECT_EQ(kBody["messages"][1]["content"], "u");
  EXPECT_EQ(kBody["model"], "m");
  EXPECT_EQ(kBody["seed"], 3);
}

TEST(Chat, AnswersAfterFaultsThatPass) {
  Scripted server{{reply(500, "busy"), reply(429, "slow"), reply(200, said("yes"))}};
  auto partner = server.partner();
  EXPECT_EQ(rewards::chat_answer(partner, kBody), "yes");
  EXPECT_EQ(server.waits, (std::vector<double>{1, 2}));
}

TEST(Chat, LeavesOutWhatTheServerDoesNotTake) {
  Scripted server{{reply(400, R"({"error":{"message":"seed is not supported","param":"seed"}})"),
                   reply(200, said("yes")), reply(200, said("again"))}};
  auto partner = server.partner();
  EXPECT_EQ(rewards::chat_answer(partner, kBody), "yes");
  EXPECT_FALSE(server.asked[1].contains("seed"));
  EXPECT_EQ(rewards::chat_answer(partner, kBody), "again");  // and does not try it again
  EXPECT_FALSE(server.asked[2].contains("seed"));
  EXPECT_EQ(server.lines.size(), 1u);
}

TEST(Chat, MakesRoomForAnAnswerThatWasCutOff) {
  Scripted server{{reply(200, said("I think", "length")), reply(200, said("yes"))}};
  auto partner = server.partner();
  EXPECT_EQ(rewards::chat_answer(partner, kBody), "yes");
  EXPECT_EQ(server.asked[1]["max_tokens"], 4096);
}

TEST(Chat, AReplyWithoutTextIsAnEmptyAnswer) {
  Scripted server{{reply(200, "not JSON")}};
  auto partner = server.partner();
  EXPECT_EQ(rewards::chat_answer(partner, kBody), "");
}

TEST(Chat, StopsWhereTheServerRefuses) {
  Scripted unauthorised{{reply(401, "no key")}}, filtered{{reply(400, "content_filter")}},
      absent{{reply(503, "down"), reply(503, "down")}};
  EXPECT_NE(why_stopped(unauthorised.partner()).find("401"), std::string::npos);
  EXPECT_NE(why_stopped(filtered.partner()).find("refuses"), std::string::npos);
  auto partner = absent.partner();
  partner.retries = 1;
  EXPECT_NE(why_stopped(partner).find("503"), std::string::npos);
}

}  // namespace
