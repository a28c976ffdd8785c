#include "rewards/judge/chat_dialect.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace {

using nlohmann::ordered_json;
using rewards::ChatDialect;

const ordered_json kBody{{"model", "m"},     {"messages", {}},
                         {"temperature", 0}, {"seed", 0},
                         {"logprobs", true}, {"top_logprobs", 20},
                         {"max_tokens", 8},  {"response_format", {{"type", "json_schema"}}}};

data::HttpReply refusal(const std::string& body) {
  return {.status = 400, .body = body, .headers = {}, .error = ""};
}

// The request after this refusal.
ordered_json after(const std::string& body) {
  ChatDialect dialect;
  rewards::adapt(dialect, refusal(body), kBody);
  return rewards::in_dialect(dialect, kBody);
}

TEST(ChatDialect, RenamesMaxTokens) {
  const auto body = after(
      R"({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "param": "max_tokens"}})");
  EXPECT_FALSE(body.contains("max_tokens"));
  EXPECT_EQ(body["max_completion_tokens"], 8);
}

TEST(ChatDialect, LeavesOutWhatIsUnknown) {
  const auto logprobs =
      after(R"({"error": {"message": "Unrecognized request argument supplied: logprobs"}})");
  EXPECT_FALSE(logprobs.contains("logprobs"));
  EXPECT_FALSE(logprobs.contains("top_logprobs"));
  EXPECT_TRUE(logprobs.contains("seed"));
  EXPECT_FALSE(
      after(
          R"({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})")
          .contains("seed"));
  EXPECT_FALSE(after(R"({"error": {"message": "no", "param": "response_format"}})")
                   .contains("response_format"));
  EXPECT_FALSE(after("Unsupported value: 'temperature' does not support 0 with this model")
                   .contains("temperature"));
}

TEST(ChatDialect, LowersTheNumberOfAlternatives) {
  EXPECT_EQ(after("top_logprobs must be less than or equal to 5")["top_logprobs"], 5);
  EXPECT_EQ(
      after(
          "Requested sample logprobs of 20, which is greater than max allowed: 5")["top_logprobs"],
      5);
  EXPECT_EQ(
      after("'top_logprobs': expected a value between 0 and 8; must be at most 8")["top_logprobs"],
      8);
  ChatDialect dialect;
  dialect.top_logprobs = 5;
  EXPECT_NE(rewards::adapt(dialect, refusal("top_logprobs must be less than or equal to 5"), kBody),
            "");
  EXPECT_EQ(dialect.left_out.size(), 2u);  // it names no lower number
}

TEST(ChatDialect, OtherRefusalsChangeNothing) {
  for (const char* text :
       {"", "bad request", "filtered by the content policy: unsupported seed",
        R"({"error": {"message": "unsupported image", "code": "content_filter"}})",
        "max_tokens is too large: this model's maximum context length is 64 tokens",
        "unknown field max_tokens_to_sample", "unsupported parameter: n"}) {
    ChatDialect dialect;
    EXPECT_EQ(rewards::adapt(dialect, refusal(text), kBody), "") << text;
    EXPECT_EQ(dialect, ChatDialect{}) << text;
  }
}

TEST(ChatDialect, MakesRoomForThoughtsOnce) {
  ChatDialect dialect;
  const std::string cut =
      R"({"choices": [{"finish_reason": "length", "message": {"content": "<think>"}}]})";
  EXPECT_EQ(rewards::make_room(dialect, R"({"choices": [{"finish_reason": "stop"}]})"), "");
  EXPECT_NE(rewards::make_room(dialect, cut), "");
  EXPECT_EQ(rewards::in_dialect(dialect, kBody)["max_tokens"], 4096);
  EXPECT_EQ(rewards::make_room(dialect, cut), "");
}

TEST(ChatDialect, TellsAQuestionFromEveryQuestion) {
  const auto refuses = [](int status, const std::string& body = "no") {
    return rewards::refuses_question({.status = status, .body = body, .headers = {}, .error = ""});
  };
  for (const int status : {400, 413, 415, 422, 451}) EXPECT_TRUE(refuses(status)) << status;
  for (const int status : {0, 200, 302, 401, 403, 404, 429, 500})
    EXPECT_FALSE(refuses(status)) << status;
  EXPECT_TRUE(refuses(403, R"({"error": {"code": "content_filter"}})"));
}

}  // namespace
