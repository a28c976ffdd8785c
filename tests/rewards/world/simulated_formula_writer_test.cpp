#include "rewards/world/simulated_formula_writer.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "rewards/judge/chat.hpp"
#include "rewards/world/simulated_judge.hpp"

namespace {

using nlohmann::json;

json request(const std::string& task, const std::string& wish) {
  return {{"messages",
           {{{"role", "system"}, {"content", task}}, {{"role", "user"}, {"content", wish}}}}};
}

TEST(SimulatedFormulaWriter, SumsATermForEachWord) {
  const auto answer = data::parse_json(rewards::formula_answer("Wish: calm, dark pictures"));
  EXPECT_EQ(answer["formula"], "-5*brightness + 5*empty_share");
  EXPECT_EQ(answer["sentence"], "pictures that are dark, calm");
  EXPECT_EQ(rewards::formula_answer("zebras").find('{'), std::string::npos);
}

TEST(SimulatedFormulaWriter, KnowsLaurelsRequestByItsTask) {
  const std::string task = std::string(rewards::kFormulaTask) + "\nmore";
  EXPECT_EQ(rewards::wish_in(request(task, "Wish: calm")), "Wish: calm");
  EXPECT_EQ(rewards::wish_in(request("another", "Wish: calm")), std::nullopt);
  EXPECT_EQ(rewards::wish_in(json{{"messages", "none"}}), std::nullopt);
  EXPECT_EQ(rewards::wish_in(json::array()), std::nullopt);
}

TEST(SimulatedFormulaWriter, AnswersThroughTheJudgesServer) {
  const auto reply = rewards::world_judge_reply(
      {}, {.method = "POST",
           .path = "/v1/chat/completions",
           .body = data::to_text(request(rewards::kFormulaTask, "Wish: warm")),
           .headers = {}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto body = data::parse_json(reply.body);
  EXPECT_EQ(
      data::parse_json(body["choices"][0]["message"]["content"].get<std::string>())["formula"],
      "5*warm_share");
}

}  // namespace
