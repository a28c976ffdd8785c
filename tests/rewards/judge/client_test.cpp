#include "rewards/judge/client.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/base64.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/scene.hpp"
#include "rewards/world/simulated_judge.hpp"
#include "tests/support/judge_replies.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using rewards::JudgeQuestion;

using judge_replies::fresh_file;
using judge_replies::question;
using judge_replies::reply_in_words;
using judge_replies::reply_of;

TEST(JudgeAnswer, SumsTokensThatAreTheSameSymbol) {
  // 4 and its form with a space together, 5 in quotes; a fifth of the mass is elsewhere.
  const auto answer = rewards::judge_answer(
      reply_of({{"4", 0.3}, {" 4", 0.1}, {"\"5\"", 0.4}, {"The", 0.2}}), false);
  EXPECT_EQ(answer.problem, "");
  EXPECT_NEAR(answer.mass, 0.8, 1e-9);
  EXPECT_NEAR((*answer.bins)[3], 0.5, 1e-9);
  EXPECT_NEAR(*answer.score, 4.5, 1e-9);
}

TEST(JudgeAnswer, OfAPairATieCountsAHalf) {
  const auto answer =
      rewards::judge_answer(reply_of({{"A", 0.5}, {"B", 0.2}, {"C", 0.3}}, "A"), true);
  EXPECT_NEAR(*answer.p_first, 0.65, 1e-9);
}

TEST(JudgeAnswer, TakesTheTextWhereTheMassIsElsewhere) {
  const auto answer =
      rewards::judge_answer(reply_of({{"The", 0.8}, {"4", 0.2}}, "The score: 3"), false);
  EXPECT_EQ(answer.mass, 0);
  EXPECT_FALSE(answer.bins);
  EXPECT_EQ(*answer.score, 3);
}

TEST(JudgeAnswer, ReadsScoresInWords) {
  const auto score = [](const std::string& text) {
    return rewards::judge_answer(reply_in_words(text), false).score.value_or(-1);
  };
  EXPECT_EQ(score("4"), 4);
  EXPECT_EQ(score(" **3.5** "), 3.5);
  EXPECT_EQ(score("{\"score\": 2}"), 2);
  EXPECT_EQ(score("{'score': 4.0, 'reason': 'two rings'}"), 4);
  EXPECT_EQ(score("Looking closely, I would say **5**/5."), 5);
  EXPECT_EQ(score("Rating: 3 out of 5"), 3);
  EXPECT_EQ(score("Score\xef\xbc\x9a 2"), 2);
  EXPECT_EQ(score("I see 3 circles."), -1);
  EXPECT_EQ(score("9"), -1);
  EXPECT_EQ(score(""), -1);
}

TEST(JudgeAnswer, ReadsPreferencesInWords) {
  const auto first = [](const std::string& text) {
    return rewards::judge_answer(reply_in_words(text), true).p_first.value_or(-1);
  };
  EXPECT_EQ(first("A"), 1);
  EXPECT_EQ(first("**B**"), 0);
  EXPECT_EQ(first("C"), 0.5);
  EXPECT_EQ(first("The better image is B"), 0);
  EXPECT_EQ(first("{\"winner\": \"A\"}"), 1);
  EXPECT_EQ(first("It is a tie."), 0.5);
  EXPECT_EQ(first("I prefer the second one"), 0);
  EXPECT_EQ(first("Both are pictures"), -1);
}

TEST(JudgeAnswer, LogProbabilitiesCountWhereTheySpeakOfTheAnswer) {
  const auto score = [](const std::string& text) {
    return rewards::judge_answer(reply_of({{"1", 0.9}, {"5", 0.1}}, text), false)
        .score.value_or(-1);
  };
  EXPECT_NEAR(score("1"), 1.4, 1e-9);
  EXPECT_NEAR(score("1. It is blurred."), 1.4, 1e-9);
  EXPECT_EQ(score("10/10"), -1);
  EXPECT_EQ(score("1 circle is there. Score: 4"), 4);
  const auto pair =
      rewards::judge_answer(reply_of({{"A", 0.9}, {"B", 0.1}}, "A is worse than B."), true);
  EXPECT_EQ(*pair.p_first, 0);
  EXPECT_EQ(rewards::judge_answer(reply_of({{"4", 1e9}}, "4"), false).mass, 0);
}

TEST(JudgeAnswer, NeverThrowsOnNonsense) {
  for (const std::string body : {"", "{", "[]", "{\"choices\":[]}", "{\"choices\":[3]}",
                                 "{\"choices\":[{\"message\":null}]}", "null"})
    EXPECT_NE(rewards::judge_answer(body, false).problem, "") << body;
}

TEST(JudgeBody, HasTheImagesFirstAndOneConstraint) {
  rewards::JudgeSampling sampling{.model = "m", .seed = 3};
  const json body = data::parse_json(rewards::judge_body(question(2), sampling));
  const json content = body["messages"][0]["content"];
  ASSERT_EQ(content.size(), 3u);
  EXPECT_EQ(content[0]["image_url"]["url"], "data:image/png;base64," + data::base64("pixels"));
  EXPECT_NE(content[2]["text"].get<std::string>().find("a red circle"), std::string::npos);
  EXPECT_EQ(body["structured_outputs"]["choice"], (json{"A", "B", "C"}));
  EXPECT_EQ(body["max_tokens"], 1);
  EXPECT_EQ(body["temperature"], 0);
  sampling.constraint = rewards::JudgeConstraint::kNone;
  const json free = data::parse_json(rewards::judge_body(question(), sampling));
  EXPECT_FALSE(free.contains("structured_outputs"));
  EXPECT_GT(free["max_tokens"].get<int>(), 8);
}

TEST(JudgeKey, ChangesWithAllThatDecidesTheAnswer) {
  const rewards::JudgeSampling sampling{.model = "m"};
  const std::string key = rewards::judge_key(question(), sampling);
  auto other = question();
  other.prompt = "a blue circle";
  EXPECT_NE(rewards::judge_key(other, sampling), key);
  other = question();
  other.images[0] = "other pixels";
  EXPECT_NE(rewards::judge_key(other, sampling), key);
  other = question();
  other.axis = rewards::judge_axis("quality");
  EXPECT_NE(rewards::judge_key(other, sampling), key);
  EXPECT_NE(rewards::judge_key(question(), {.model = "m", .seed = 1}), key);
  EXPECT_NE(rewards::judge_key(question(), {.model = "n"}), key);
  const rewards::JudgeSampling plain{.model = "m", .constraint = rewards::JudgeConstraint::kNone};
  EXPECT_EQ(rewards::judge_key(question(), plain), key);
}

TEST(JudgeAxis, IsKnownOrGiven) {
  EXPECT_EQ(rewards::judge_axis("mood=Is it cheerful?").question, "Is it cheerful?");
  EXPECT_NE(refusal([] { rewards::judge_axis("qualty"); }).find("did you mean quality?"),
            std::string::npos);
}

// A client on a server that answers by `script`, with a clock of its own.
struct Bench {
  std::vector<data::HttpReply> script;
  std::vector<std::string> asked, said;
  std::vector<double> slept;
  double time = 0;
  rewards::JudgeCache cache;

  explicit Bench(const fs::path& file = {}) : cache(file) {}
  rewards::JudgeClient client(const rewards::JudgePolicy& policy = {}) {
    return rewards::JudgeClient(
        [this](const std::string& body) {
          asked.push_back(body);
          const size_t turn = std::min(asked.size(), script.size()) - 1;
          return script.at(turn);
        },
        policy,
        {.now = [this] { return time; },
         .sleep =
             [this](double seconds) {
               slept.push_back(seconds);
               time += seconds;
             }},
        cache, [this](const std::string& line) { said.push_back(line); });
  }
};

data::HttpReply ok(const std::string& body) {
  return {.status = 200, .body = body, .headers = {}, .error = {}};
}
data::HttpReply status(int code, const std::string& retry = "") {
  data::HttpReply reply{.status = code, .body = "no", .headers = {}, .error = {}};
  if (!retry.empty()) reply.headers["retry-after"] = retry;
  return reply;
}
const rewards::JudgeSampling kSampling{.model = "m"};

TEST(JudgeClient, TriesAgainAfterAWaitThatGrows) {
  Bench bench;
  bench.script = {status(429, "7"), status(500), status(0), ok(reply_in_words("4"))};
  auto client = bench.client();
  EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
  ASSERT_EQ(bench.slept.size(), 3u);
  EXPECT_EQ(bench.slept[0], 7);  // as the server said
  EXPECT_GE(bench.slept[1], 1);  // half of two and more
  EXPECT_LE(bench.slept[1], 2);
  EXPECT_GE(bench.slept[2], 2);
  EXPECT_EQ(client.counts().requests, 4);
  EXPECT_EQ(client.counts().retries, 3);
  EXPECT_EQ(client.counts().rate_limited, 1);
}

TEST(JudgeClient, GivesUpAfterItsRetries) {
  Bench bench;
  bench.script = {status(503)};
  auto client = bench.client({.retries = 2});
  EXPECT_NE(client.ask(question(), kSampling).problem.find("503"), std::string::npos);
  EXPECT_EQ(bench.asked.size(), 3u);
}

TEST(JudgeClient, FallsBackToTheConstraintThatTheServerTakes) {
  Bench bench;
  bench.script = {status(400), status(400), ok(reply_in_words("4"))};
  auto client = bench.client();
  EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
  EXPECT_NE(bench.asked[0].find("structured_outputs"), std::string::npos);
  EXPECT_NE(bench.asked[1].find("guided_choice"), std::string::npos);
  EXPECT_NE(bench.asked[2].find("response_format"), std::string::npos);
  client.ask(question(2), kSampling);
  EXPECT_NE(bench.asked[3].find("response_format"), std::string::npos);  // not probed again
}

data::HttpReply refused(const std::string& body) {
  return {.status = 400, .body = body, .headers = {}, .error = {}};
}
JudgeQuestion question_of(int number) {
  auto one = question();
  one.prompt += std::to_string(number);
  return one;
}

TEST(JudgeClient, ARefusedQuestionCostsThatQuestion) {
  Bench bench;
  bench.script = {ok(reply_in_words("4")),   refused("content_filter"), refused("content_filter"),
                  refused("content_filter"), refused("content_filter"), ok(reply_in_words("3"))};
  auto client = bench.client();
  EXPECT_EQ(*client.ask(question_of(0), kSampling).score, 4);
  EXPECT_NE(client.ask(question_of(1), kSampling).problem.find("content_filter"),
            std::string::npos);
  EXPECT_EQ(*client.ask(question_of(2), kSampling).score, 3);
  EXPECT_NE(bench.asked[5].find("structured_outputs"),
            std::string::npos);  // still held to a symbol
  EXPECT_EQ(client.counts().unusable, 1);
}

TEST(JudgeClient, LeavesOutWhatTheServerNamesAndSaysItOnce) {
  Bench bench;
  bench.script = {refused("unknown parameter: logprobs"),
                  refused("structured_outputs: unknown field"), ok(reply_in_words("4"))};
  auto client = bench.client();
  EXPECT_EQ(*client.ask(question_of(0), kSampling).score, 4);
  client.ask(question_of(1), kSampling);
  ASSERT_EQ(bench.asked.size(), 4u);
  for (const size_t turn : {2u, 3u}) {
    EXPECT_EQ(bench.asked[turn].find("logprobs"), std::string::npos);
    EXPECT_EQ(bench.asked[turn].find("structured_outputs"), std::string::npos);
    EXPECT_NE(bench.asked[turn].find("guided_choice"), std::string::npos);
  }
  EXPECT_EQ(bench.said.size(), 2u);
}

TEST(JudgeClient, StopsWhereEveryQuestionIsRefused) {
  Bench bench;
  bench.script = {refused("no images here")};
  auto client = bench.client({.pause_after = 3});
  for (int i = 0; i < 2; ++i) EXPECT_NE(client.ask(question_of(i), kSampling).problem, "");
  EXPECT_THROW(client.ask(question_of(2), kSampling), rewards::JudgeStopped);
}

TEST(JudgeClient, WaitsAsLongAsTheServerAsksWithinItsPatience) {
  Bench bench;
  bench.script = {status(429, "0"), status(429, "1000000"), ok(reply_in_words("4"))};
  auto client = bench.client({.backoff_seconds = 0.01, .max_pause_seconds = 60});
  EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
  EXPECT_EQ(bench.slept, (std::vector<double>{1, 60}));
  EXPECT_EQ(bench.said.size(), 1u);
}

TEST(JudgeClient, MakesRoomForThoughts) {
  Bench bench;
  bench.script = {
      ok(R"({"choices": [{"finish_reason": "length", "message": {"content": "<think>"}}]})"),
      ok(reply_in_words("4"))};
  auto client = bench.client();
  EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
  EXPECT_NE(bench.asked[1].find("\"max_tokens\":4096"), std::string::npos);
}

TEST(JudgeClient, StopsWhereTheServerRefuses) {
  Bench bench;
  bench.script = {status(401)};
  auto client = bench.client();
  EXPECT_THROW(client.ask(question(), kSampling), rewards::JudgeStopped);
  EXPECT_THROW(client.ask(question(2), kSampling), rewards::JudgeStopped);
  EXPECT_EQ(bench.asked.size(), 1u);
}

TEST(JudgeClient, NeverAsksTwiceWhatWasAnswered) {
  const auto file = fresh_file("cache.jsonl");
  {
    Bench bench(file);
    bench.script = {ok("nonsense"), ok(reply_in_words("4"))};
    auto client = bench.client();
    EXPECT_EQ(client.ask(question(), kSampling).problem, "not JSON");
    EXPECT_EQ(*client.ask(question(), kSampling).score, 4);  // nonsense is asked again
    EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
    EXPECT_EQ(bench.asked.size(), 2u);
    EXPECT_EQ(client.counts().cached, 1);
  }
  data::append_bytes(file, "{\"key\": \"cut o");
  Bench later(file);
  auto client = later.client();
  EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
  EXPECT_TRUE(later.asked.empty());
}

TEST(JudgeClient, KeepsToItsRateAndItsBudget) {
  Bench bench;
  bench.script = {ok(reply_in_words("4"))};
  auto client = bench.client({.requests_a_minute = 30, .max_requests = 3});
  for (int i = 0; i < 3; ++i) {
    auto one = question();
    one.prompt += std::to_string(i);
    client.ask(one, kSampling);
  }
  EXPECT_EQ(bench.slept, (std::vector<double>{2, 2}));
  EXPECT_THROW(client.ask(question(), kSampling), rewards::JudgeStopped);
  Bench other;
  other.script = bench.script;  // 100 tokens each
  auto tokens = other.client({.max_tokens = 150});
  tokens.ask(question(), kSampling);
  tokens.ask(question(2), kSampling);
  auto third = question();
  third.prompt = "third";
  EXPECT_THROW(tokens.ask(third, kSampling), rewards::JudgeStopped);
}

// What a server counts does not overflow our sum.
TEST(JudgeClient, CountsNoImpossibleTokens) {
  Bench bench;
  for (const char* count : {"9223372036854775807", "9223372036854775806", "-5", "1e300"})
    bench.script.push_back(
        ok(R"({"choices":[{"message":{"content":"4"}}],"usage":{"total_tokens":)" +
           std::string(count) + "}}"));
  auto client = bench.client();
  for (int i = 0; i < 4; ++i) {
    auto one = question();
    one.prompt += std::to_string(i);
    client.ask(one, kSampling);
  }
  EXPECT_EQ(client.counts().tokens, int64_t{1} << 33);
}

TEST(JudgeClient, PausesWhileTheJudgeTalksNonsenseAndSaysSo) {
  Bench bench;
  bench.script.assign(5, ok(reply_in_words("I love pictures.")));
  bench.script.push_back(ok(reply_in_words("4")));
  auto client = bench.client({.pause_after = 3, .pause_seconds = 30});
  for (int i = 0; i < 5; ++i) EXPECT_NE(client.ask(question(), kSampling).problem, "");
  EXPECT_EQ(bench.slept, (std::vector<double>{30, 60}));  // before the fourth and the fifth
  EXPECT_EQ(*client.ask(question(), kSampling).score, 4);
  EXPECT_EQ(bench.slept.size(), 3u);
  ASSERT_EQ(bench.said.size(), 3u);
  EXPECT_NE(bench.said[0].find("I love pictures"), std::string::npos);
  EXPECT_NE(bench.said[0].find("trying again in 30 s"), std::string::npos);
  client.ask(question(2), kSampling);
  EXPECT_EQ(bench.slept.size(), 3u);  // all is well again
}

TEST(JudgeClient, EndsWhenThePausesWereInVain) {
  Bench bench;
  bench.script = {ok("nonsense")};
  auto client = bench.client({.pause_after = 1, .pause_seconds = 30, .max_pause_seconds = 80});
  for (int i = 0; i < 3; ++i) client.ask(question(), kSampling);
  try {
    client.ask(question(), kSampling);
    FAIL();
  } catch (const rewards::JudgeStopped& stopped) {
    EXPECT_NE(std::string(stopped.what()).find("90 s"), std::string::npos) << stopped.what();
  }
}

}  // namespace
