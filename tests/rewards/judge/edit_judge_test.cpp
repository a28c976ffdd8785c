#include "rewards/judge/edit_judge.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/system/http_server.hpp"
#include "tests/support/refusal.hpp"

namespace {

using nlohmann::json;

std::string reply(const std::string& text) {
  return data::to_text(json{{"choices", {{{"message", {{"content", text}}}}}}});
}

TEST(EditJudge, ReadsJsonAndNumbersInWords) {
  const auto read = [](const std::string& text) { return rewards::edit_judge_reply(reply(text)); };
  const auto first = read("Here: {\"score\": 3.5, \"flaw\": \"the sky changed\"}");
  EXPECT_EQ(first.score, 3.5);
  EXPECT_EQ(first.flaw, "the sky changed");
  EXPECT_EQ(read("{\"score\": 4}").score, 4);  // a whole number, and nothing is wrong
  EXPECT_EQ(read("{\"score\": 4}").flaw, "None");
  EXPECT_EQ(read("Score: 4/5").score, 4);
  EXPECT_EQ(read("0").score, 0);
  EXPECT_NE(read("{\"score\": 7}").problem, "");
  EXPECT_NE(read("it is fine").problem, "");
  EXPECT_EQ(rewards::edit_judge_reply("{}").problem, "no text");
}

TEST(EditJudge, ReadsTheAnswerBehindThoughtsAndRubrics) {
  const auto score = [](const std::string& text) {
    const auto verdict = rewards::edit_judge_reply(reply(text));
    return verdict.problem.empty() ? verdict.score : -1;
  };
  EXPECT_EQ(score("Score (0-5): 4"), 4);
  EXPECT_EQ(score("Rubric: {\"score\": 0..5}. A score of 1 would be too harsh. "
                  "{\"score\": 4, \"flaw\": \"None\"}"),
            4);
  EXPECT_EQ(score("{\"score\": \"4\", \"flaw\": \"None\"}"), 4);
  EXPECT_EQ(score("<think>{\"score\": 1}</think>{\"score\": 3}"), 3);
  EXPECT_EQ(score("Score: " + std::string(400, '1')), -1);
}

TEST(EditJudge, ShowsTheSourceWhereItMatters) {
  const rewards::EditQuestion question{"S", "E", "make it red"};
  const auto images = [&](const char* axis) {
    const json body = rewards::edit_judge_request(question, rewards::edit_axis(axis), "m");
    return body["messages"][0]["content"].size() - 1;
  };
  EXPECT_EQ(images("instruction_following"), 2u);
  EXPECT_EQ(images("generation_quality"), 1u);
  EXPECT_EQ(rewards::edit_axis("style=Is it painted?").question, "Is it painted?");
  EXPECT_NE(refusal([] { rewards::edit_axis("quality"); }).find("found 'quality'"),
            std::string::npos);
}

TEST(EditJudge, AsksAServerAndTriesAgain) {
  std::atomic<int> asked = 0;
  data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    if (request.path == "/v1/models")
      return data::HttpReply{200, R"({"data": [{"id": "tiny"}]})", {}, ""};
    if (++asked == 1) return data::HttpReply{503, "", {}, ""};
    const bool pair = request.body.find("edit of the first") != std::string::npos;
    return data::HttpReply{
        200, reply(pair ? "{\"score\": 2, \"flaw\": \"not done\"}" : "{\"score\": 5}"), {}, ""};
  });
  rewards::EditJudgeOptions options{.axes = {rewards::edit_axis("instruction_following"),
                                             rewards::edit_axis("generation_quality")},
                                    .model = "",
                                    .first_wait = 0.01};
  const auto judge = rewards::make_edit_judge(
      "http://127.0.0.1:" + std::to_string(server.port()) + "/v1", options);
  const auto verdict = judge({"S", "E", "make it red"});
  EXPECT_EQ(verdict.problem, "");
  EXPECT_EQ(verdict.scores.at("instruction_following"), 2);
  EXPECT_EQ(verdict.scores.at("generation_quality"), 5);
  EXPECT_EQ(verdict.feedback, (std::vector<std::string>{"not done", "None"}));
  EXPECT_EQ(asked.load(), 3);
  EXPECT_NE(refusal([&] {
              rewards::make_edit_judge("http://example.org/v1", options);
            }).find("allow it with --allow-remote"),
            std::string::npos);
}

TEST(EditJudge, ARefusedEditIsAProblemAndAnUnknownParameterIsLeftOut) {
  std::atomic<int> asked = 0;
  data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    ++asked;
    if (request.body.find("\"max_tokens\"") != std::string::npos)
      return data::HttpReply{
          400,
          R"({"error": {"message": "use 'max_completion_tokens'", "param": "max_tokens"}})",
          {},
          ""};
    if (request.body.find("make it rude") != std::string::npos)
      return data::HttpReply{400, R"({"error": {"code": "content_filter"}})", {}, ""};
    return data::HttpReply{200, reply("{\"score\": 5}"), {}, ""};
  });
  const auto judge = rewards::make_edit_judge(
      "http://127.0.0.1:" + std::to_string(server.port()) + "/v1",
      {.axes = {rewards::edit_axis("instruction_following")}, .model = "m", .first_wait = 0.01});
  EXPECT_EQ(judge({"S", "E", "make it red"}).scores.at("instruction_following"), 5);
  EXPECT_NE(judge({"S", "E", "make it rude"}).problem.find("content_filter"), std::string::npos);
  EXPECT_EQ(judge({"S", "E", "make it blue"}).scores.at("instruction_following"), 5);
  EXPECT_EQ(asked.load(), 4);
}

TEST(EditJudge, PassesOverWhatAProgramSaysFirst) {
  const auto judge = rewards::make_edit_judge(
      "program:echo loading; read line; echo 50%; echo '{\"id\": 0, \"scores\": {\"a\": 4}}'", {});
  EXPECT_EQ(judge({"S", "E", "x"}).scores.at("a"), 4);
}

TEST(EditJudge, AsksAProgram) {
  rewards::EditJudgeOptions options;
  options.seconds = 20;
  const auto judge = rewards::make_edit_judge(
      "program:i=0; while read line; do echo \"{\\\"id\\\": $i, \\\"scores\\\": {\\\"a\\\": 4}, "
      "\\\"feedback\\\": [\\\"None\\\"]}\"; i=$((i+1)); done",
      options);
  for (int i = 0; i < 2; ++i) {
    const auto verdict = judge({"S", "E", "x"});
    EXPECT_EQ(verdict.problem, "");
    EXPECT_EQ(verdict.scores.at("a"), 4);
    EXPECT_EQ(verdict.feedback, (std::vector<std::string>{"None"}));
  }
  const auto silent = rewards::make_edit_judge("program:true", options)({"S", "E", "x"});
  EXPECT_NE(silent.problem.find("found no answer"), std::string::npos);
}

}  // namespace
