#include "tools/world/studio_voter.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/served_studio.hpp"
#include "tools/studio/app.hpp"
#include "tools/studio/server/network.hpp"

namespace {

// A studio with pictures of one grey level each, and a person who likes them light.
struct StudioVoter : tests::ServedStudio {
  tools::SimulatedPerson person{.number = 4, .weights = {}, .light = 0.9};
  at::Generator generator = at::detail::createCPUGenerator(1);
  world::RandomStream chance{generator};

  void SetUp() override {
    ServedStudio::SetUp();
    person.weights[7] = 1;
  }
  std::string address(const std::string& token) const {
    return "http://127.0.0.1:" + std::to_string(server.port()) + "/#t=" + token;
  }
};

TEST_F(StudioVoter, AnswersByItsTaste) {
  const tools::AnswerOptions sure{.noise = {.temperature = 1e-6, .tie_odds = 0}};
  const int64_t answers = tools::vote_at_studio({.address = address(app.guard.token), .votes = 12},
                                                person, sure, chance);
  EXPECT_EQ(answers, 12);
  std::map<int64_t, double> tastes;  // by the picture's id
  for (const auto& image : drawn.pool.images)
    tastes[image.id] =
        tools::person_taste(person, tools::facts_at_a_glance(data::read_image(image.path)))
            .item<double>();
  const auto votes = studio::standing_votes(drawn.store.database);
  ASSERT_EQ(votes.size(), 12u);
  for (const auto& vote : votes)
    EXPECT_EQ(vote.answer,
              tastes.at(vote.pair.left) > tastes.at(vote.pair.right) ? "left" : "right");
  EXPECT_EQ(studio::people(drawn.store.database).at(0).name, "simulated-4");
}

TEST_F(StudioVoter, EndsWhereNoPairIsLeft) {
  const int64_t answers = tools::vote_at_studio({.address = address(app.guard.token), .votes = 500},
                                                person, {.noise = {}}, chance);
  EXPECT_GE(answers, 30);  // two prompts of six pictures
  EXPECT_LT(answers, 70);
}

TEST_F(StudioVoter, IsRefusedWithoutTheSecret) {
  const auto wrong = refusal(
      [&] { tools::vote_at_studio({.address = address("00")}, person, {.noise = {}}, chance); });
  EXPECT_NE(wrong.find("status 403"), std::string::npos) << wrong;
}

}  // namespace
