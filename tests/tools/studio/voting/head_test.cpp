#include "tools/studio/voting/head.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/storage/sha256.hpp"
#include "tools/studio/voting/progress_report.hpp"

namespace {

using studio::StandingVote;

// 40 pictures of one prompt; a picture's taste is its first coordinate.
struct HeadTest : testing::Test {
  studio::Pool pool;
  studio::Features features;
  std::vector<studio::Person> people{{1, "Ada"}, {2, "Bob"}};

  HeadTest() {
    std::vector<studio::StoredImage> images;
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 40; ++i) {
      ids.push_back(i + 1);
      images.push_back({.id = i + 1, .prompt = "a cat", .sha256 = data::sha256(std::to_string(i))});
    }
    pool = studio::make_pool(images, ids);
    auto random = at::make_generator<at::CPUGeneratorImpl>(5);
    const at::Tensor raw = at::randn({40, 6}, random, at::kDouble);
    features = {.embeddings = raw / raw.norm(2, 1, true),
                .scores = raw.narrow(1, 1, 1).contiguous(),
                .rewards = {"second"},
                .read = std::vector<bool>(40, true)};
  }
  StandingVote vote(int64_t left, int64_t right, const std::string& answer, int64_t person = 1) {
    const bool held_out = studio::is_held_out(pool.images[left], pool.images[right]);
    return {.pair = {.person = person,
                     .left = left + 1,
                     .right = right + 1,
                     .purpose = held_out ? studio::kHeldOut : studio::kLearn},
            .answer = answer};
  }
  double taste(int64_t picture) { return features.embeddings[picture][0].item<double>(); }
  // Every person prefers the larger first coordinate; Bob the smaller.
  std::vector<StandingVote> votes(int count) {
    std::vector<StandingVote> all;
    for (int i = 0; i < count; ++i) {
      const int64_t a = (i * 7) % 40, b = (i * 11 + 3) % 40, person = i % 3 == 2 ? 2 : 1;
      if (a == b) continue;
      all.push_back(vote(a, b, (taste(a) > taste(b)) == (person == 1) ? "left" : "right", person));
    }
    return all;
  }
};

TEST_F(HeadTest, AnswersBecomeWinsTiesAndDislikes) {
  const auto answers =
      studio::taste_answers({vote(0, 1, "left"), vote(0, 2, "both_bad"), vote(0, 3, "skip"),
                             vote(1, 2, "tie", 2), vote(1, 3, "right", 9)},
                            studio::kLearn, people, pool, features);
  std::vector<std::string> said;
  for (const auto& answer : answers)
    said.push_back(std::to_string(answer.a) + "/" + std::to_string(answer.b) + "/" +
                   std::to_string(answer.outcome) + "/" + std::to_string(answer.person));
  std::vector<std::string> expected;
  for (const auto& [pair, lines] :
       std::vector<std::pair<std::pair<int, int>, std::vector<std::string>>>{
           {{0, 1}, {"0/1/0/0"}},
           {{0, 2}, {"0/2/2/0", "0/-1/1/0", "2/-1/1/0"}},
           {{1, 2}, {"1/2/2/1"}}}) {
    if (studio::is_held_out(pool.images[pair.first], pool.images[pair.second])) continue;
    expected.insert(expected.end(), lines.begin(), lines.end());
  }
  EXPECT_EQ(said, expected);
}

TEST_F(HeadTest, LearnsEachPersonsTaste) {
  const auto answers = studio::taste_answers(votes(240), studio::kLearn, people, pool, features);
  const auto head = studio::fit_head(answers, people, pool, features);
  ASSERT_EQ(head.utility.sizes(), (std::vector<int64_t>{3, 40}));
  const at::Tensor truth = features.embeddings.select(1, 0);
  EXPECT_GT(rewards::pearson(head.utility[studio::row_of(head, 1)], truth), 0.8);
  EXPECT_LT(rewards::pearson(head.utility[studio::row_of(head, 2)], truth), -0.6);
  EXPECT_EQ(studio::row_of(head, 77), 0);
}

TEST_F(HeadTest, LearnsFromMoreAnswersThanChooseItsRidges) {
  const auto answers = studio::taste_answers(votes(3200), studio::kLearn, people, pool, features);
  ASSERT_GT(answers.size(), 2000u);
  const auto head = studio::fit_head(answers, people, pool, features);
  const at::Tensor truth = features.embeddings.select(1, 0);
  EXPECT_EQ(head.answers, static_cast<int64_t>(answers.size()));
  EXPECT_GT(rewards::pearson(head.utility[studio::row_of(head, 1)], truth), 0.9);
  EXPECT_LT(rewards::pearson(head.utility[studio::row_of(head, 2)], truth), -0.9);
}

TEST_F(HeadTest, WorthIsTheFormulaAndVanishesForPicturesThatAreAlike) {
  features.embeddings[1].copy_(features.embeddings[0]);
  features.scores[1].copy_(features.scores[0]);
  const auto answers = studio::taste_answers(votes(60), studio::kLearn, people, pool, features);
  const auto head = studio::fit_head(answers, people, pool, features);
  const auto worth = studio::worth_of(head, 0, {{0, 1}, {2, 3}});
  EXPECT_NEAR(worth[0], 0, 1e-9);
  const at::Tensor x = (head.directions[2] - head.directions[3]).to(at::kDouble);
  const double p = 1 / (1 + std::exp((head.utility[0][3] - head.utility[0][2]).item<double>()));
  const double variance = x.dot(head.covariance.to(at::kDouble).mv(x)).item<double>();
  EXPECT_NEAR(worth[1], p * (1 - p) * variance, 1e-5 * std::abs(worth[1]) + 1e-9);
  EXPECT_GT(worth[1], 0);
}

TEST_F(HeadTest, LearnsFromAScoreThatDiffersLittleInsideAPrompt) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < 40; ++i) {
    pool.images[i].prompt = "prompt " + std::to_string(i / 10);
    ids.push_back(pool.images[i].id);
  }
  pool = studio::make_pool(pool.images, ids);
  const at::Tensor numbers = at::arange(40, at::kDouble);
  features.scores = (1000 * numbers.div(10).floor() + numbers).unsqueeze(1);
  std::vector<StandingVote> all;
  for (int64_t i = 0; i < 80; ++i) {
    const int64_t group = i % 4, a = (i * 3) % 10, b = (i * 7 + 1) % 10;
    if (a != b) all.push_back(vote(10 * group + a, 10 * group + b, a > b ? "left" : "right"));
  }
  const auto answers = studio::taste_answers(all, studio::kLearn, people, pool, features);
  const auto head = studio::fit_head(answers, people, pool, features);
  for (int64_t group = 0; group < 4; ++group)
    EXPECT_GT(rewards::pearson(head.utility[0].narrow(0, 10 * group, 10), numbers.narrow(0, 0, 10)),
              0.9);
}

TEST_F(HeadTest, TheCovarianceShrinksWithAnswers) {
  const auto few = studio::taste_answers(votes(40), studio::kLearn, {people[0]}, pool, features);
  auto many = few;
  for (int k = 0; k < 9; ++k) many.insert(many.end(), few.begin(), few.end());
  const auto first = studio::fit_head(few, {people[0]}, pool, features);
  const auto then = studio::fit_head(many, {people[0]}, pool, features);
  EXPECT_LT(then.covariance.trace().item<double>(), first.covariance.trace().item<double>());
}

TEST_F(HeadTest, TheReportComparesTheTasteWithEachReward) {
  const auto all = votes(400);
  const auto answers = studio::taste_answers(all, studio::kLearn, people, pool, features);
  const auto head = studio::fit_head(answers, people, pool, features);
  const auto report = studio::report_of(all, people, answers, head, pool, features);
  ASSERT_EQ(report.size(), 3u);
  const auto& ada = report[1];
  EXPECT_EQ(ada.person, 1);
  ASSERT_EQ(ada.predictors.size(), 2u);
  EXPECT_EQ(ada.predictors[1].name, "second");
  EXPECT_GT(ada.predictors[0].share.value, 0.85);
  EXPECT_LT(ada.predictors[1].share.value, 0.75);
  EXPECT_NE(ada.verdict.find("predicted better than by second"), std::string::npos) << ada.verdict;
  EXPECT_GT(ada.curve.size(), 3u);
  EXPECT_EQ(ada.curve.back().answers, static_cast<int64_t>(answers.size()));
  ASSERT_EQ(ada.by_taste_of.size(), 2u);
  EXPECT_LT(ada.by_taste_of[1].share.value, 0.4);  // Bob likes the opposite
}

TEST(Verdict, SaysWhatTheFiguresAllow) {
  EXPECT_NE(studio::verdict_on({.reward = "clip", .pairs = 3}, 20).find("a comparison needs 8"),
            std::string::npos);
  EXPECT_NE(studio::verdict_on({"clip", 20, 2, 60, 0.8, 0.5}, 200)
                .find("predicted better than by clip (80 % against 50 % of 60 answers)"),
            std::string::npos);
  EXPECT_NE(studio::verdict_on({"clip", 1, 20, 60, 0.5, 0.8}, 200).find("still predicts"),
            std::string::npos);
  const std::string near = studio::verdict_on({"clip", 8, 4, 30, 0.7, 0.6}, 60);
  // (8/12 - 1/2) is told from nothing by 1.96^2 / 4 / (1/6)^2 = 34.6 such pairs: 113 answers more.
  EXPECT_NE(near.find("not told apart yet"), std::string::npos);
  EXPECT_NE(near.find("About 120 answers more"), std::string::npos) << near;
  EXPECT_EQ(studio::verdict_on({"clip", 5, 5, 30, 0.6, 0.6}, 60).find("About"), std::string::npos);
}

}  // namespace
