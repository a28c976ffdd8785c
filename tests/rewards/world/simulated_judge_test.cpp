#include "rewards/world/simulated_judge.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/edit_sample.hpp"
#include "data/world/scene.hpp"
#include "rewards/evaluation/agreement.hpp"
#include "rewards/judge/client.hpp"
#include "rewards/judge/edit_judge.hpp"
#include "tests/support/judge_replies.hpp"

namespace {

using judge_replies::question;
using rewards::JudgeQuestion;

TEST(WorldJudge, AnswersAsAServerDoes) {
  auto generator = at::detail::createCPUGenerator(2);
  const auto batch = world::random_batch(2, world::Split::kSeen, generator);
  const rewards::WorldJudge judge{.noise = 0, .position_bias = 1};
  const auto ask = [&](const JudgeQuestion& one, rewards::JudgeConstraint constraint) {
    return rewards::world_judge_reply(
        judge, {.method = "POST",
                .path = "/v1/chat/completions",
                .body = rewards::judge_body(one, {.model = "m", .constraint = constraint}),
                .headers = {}});
  };
  JudgeQuestion one{.axis = rewards::judge_axis("alignment"),
                    .prompt = batch.captions[0],
                    .images = {data::encode_png(batch.images[0])}};
  const auto right = ask(one, rewards::JudgeConstraint::kNone);
  ASSERT_EQ(right.status, 200) << right.body;
  EXPECT_GT(*rewards::judge_answer(right.body, false).score, 4.5);
  one.images[0] = data::encode_png(at::zeros({3, 64, 64}));
  EXPECT_LT(*rewards::judge_answer(ask(one, rewards::JudgeConstraint::kNone).body, false).score,
            1.8);
  one.images.push_back(one.images[0]);  // equal images: the first is favoured
  const auto pair = ask(one, rewards::JudgeConstraint::kStructuredOutputs);
  EXPECT_GT(*rewards::judge_answer(pair.body, true).p_first, 0.6);
  one.prompt = "no caption of the world";
  EXPECT_EQ(ask(one, rewards::JudgeConstraint::kNone).status, 400);
  EXPECT_EQ(rewards::world_judge_reply(judge, {"GET", "/v1/models", "", {}}).status, 200);
  EXPECT_EQ(rewards::world_judge_reply(judge, {"GET", "/v2", "", {}}).status, 404);
  EXPECT_EQ(rewards::world_judge_reply(judge, {"POST", "/v1/chat/completions", "{}", {}}).status,
            400);
}

// Against the exact scores of edits with random flaws. 0.8: the pictures are read, not known.
TEST(WorldJudge, ItsScoresOfEditsFollowTheExactOnes) {
  constexpr int64_t kEdits = 60;
  const rewards::WorldJudge judge{.noise = 0};
  for (size_t axis = 0; axis < 2; ++axis) {
    std::vector<double> exact, answered;
    for (int64_t i = 0; i < kEdits; ++i) {
      const auto sample = world::draw_edit_sample({.seed = 3}, i);
      const rewards::EditQuestion question{.source_png = data::encode_png(sample.source),
                                           .edited_png = data::encode_png(sample.edited),
                                           .instruction = sample.instruction};
      const auto reply = rewards::world_judge_reply(
          judge, {.method = "POST",
                  .path = "/v1/chat/completions",
                  .body = data::to_text(rewards::edit_judge_request(
                      question, rewards::edit_axis(world::kAxisNames[axis]), "m")),
                  .headers = {}});
      ASSERT_EQ(reply.status, 200) << reply.body;
      exact.push_back(sample.scores.values[axis]);
      answered.push_back(rewards::edit_judge_reply(reply.body).score);
    }
    EXPECT_GT(rewards::spearman(at::tensor(answered), at::tensor(exact)), 0.8)
        << world::kAxisNames[axis];
  }
}

TEST(WorldJudge, RefusesConstraintsWhereToldTo) {
  const rewards::WorldJudge judge{.constraints = false};
  const auto reply = rewards::world_judge_reply(
      judge, {"POST", "/v1/chat/completions", rewards::judge_body(question(), {.model = "m"}), {}});
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("structured_outputs"), std::string::npos);
}

}  // namespace
