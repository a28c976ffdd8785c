#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "data/world/scene.hpp"
#include "rewards/evaluation/agreement.hpp"
#include "rewards/social/preference_pairs.hpp"
#include "rewards/world/oracle_reward.hpp"
#include "rewards/world/simulated_community.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using rewards::SocialAction;
using rewards::SocialLog;

fs::path written(const std::string& name, const std::string& text) {
  const auto path =
      fs::path(testing::TempDir()) / ("laurel_social" + std::to_string(getpid())) / name;
  data::write_file(path, text);
  return path;
}

std::string line(const std::string& time, const std::string& rest) {
  return R"({"time": )" + time + R"(, "user": "u1", "prompt": "a cat", "image": "a.png", )" + rest +
         "}\n";
}

TEST(SocialLog, ReadsBothFormsOfTimeInOrder) {
  const auto path =
      written("log.jsonl", line("\"2026-01-01T00:00:05Z\"", R"("action": "like")") + "\n" +
                               line("1767225601", R"("action": "view", "position": 3)"));
  const SocialLog log = rewards::read_social_log(path);
  ASSERT_EQ(log.events.size(), 2u);
  EXPECT_EQ(log.events[0].action, SocialAction::kView);
  EXPECT_EQ(log.events[0].position, 3);
  EXPECT_EQ(log.events[1].time, 1767225605);
  EXPECT_EQ(log.images.at(0).file, path.parent_path() / "a.png");
  EXPECT_EQ(log.prompts, std::vector<std::string>{"a cat"});
}

TEST(SocialLog, WritesWhatItReads) {
  SocialLog log{.prompts = {"a \"cat\""}, .users = {"u"}, .images = {{"x/b.png", 0}}, .events = {}};
  log.events.push_back({12.5, 0, 0, SocialAction::kReuse, 2});
  const auto path = written("again.jsonl", rewards::social_line(log, log.events[0]) + "\n");
  const SocialLog read = rewards::read_social_log(path);
  EXPECT_EQ(read.prompts, log.prompts);
  EXPECT_EQ(read.events.at(0).time, 12.5);
  EXPECT_EQ(read.events.at(0).action, SocialAction::kReuse);
  EXPECT_EQ(read.events.at(0).position, 2);
}

TEST(SocialLog, RefusesDamagedLinesByNumberAndKey) {
  const auto refused = [](const std::string& text) {
    return refusal([&] { rewards::read_social_log(written("bad.jsonl", text)); });
  };
  const std::string good = line("1", R"("action": "like")");
  EXPECT_NE(refused(good + line("1", R"("action": "love")")).find(":2: action: "),
            std::string::npos);
  EXPECT_NE(refused(line("\"noon\"", R"("action": "like")")).find(":1: time: "), std::string::npos);
  EXPECT_NE(refused(line("1", R"("action": "like", "position": 0)")).find("position"),
            std::string::npos);
  for (const char* date : {"-2147483648-01-01T00:00:00Z", "2026-13-01T00:00:00Z"})
    EXPECT_NE(refused(line("\"" + std::string(date) + "\"", R"("action": "like")"))
                  .find(":1: time: expected a date"),
              std::string::npos);
  EXPECT_NE(refused("{\"time\": 1}\n").find("prompt"), std::string::npos);
  EXPECT_NE(refused("[]\n").find("expected a JSON object"), std::string::npos);
  EXPECT_NE(refused(line("1", R"("action": "view")")).find("likes or reuses"), std::string::npos);
}

TEST(SocialLog, RefusesToAssumeMoreViewsThanFitIntoMemory) {
  SocialLog log{.prompts = {"p"}, .users = {"u"}, .images = {}, .events = {}};
  for (int64_t i = 0; i < 5000; ++i) {
    log.images.push_back({.file = std::to_string(i), .prompt = 0});
    log.events.push_back({.image = i, .action = SocialAction::kLike});
  }
  EXPECT_NE(refusal([&] { rewards::with_views(log); }).find("found none"), std::string::npos);
}

TEST(SocialLog, WithoutViewsThePromptsImagesSoFarWereSeen) {
  SocialLog log{.prompts = {"p", "q"},
                .users = {"u", "v"},
                .images = {{"a", 0}, {"b", 0}, {"c", 1}},
                .events = {{1, 0, 0, SocialAction::kLike, 0},
                           {2, 0, 2, SocialAction::kLike, 0},
                           {3, 1, 1, SocialAction::kLike, 0}}};
  const SocialLog seen = rewards::with_views(log);
  // u sees a; u sees c; v sees a and b.
  ASSERT_EQ(seen.events.size(), 7u);
  EXPECT_EQ(seen.events[4].image, 0);
  EXPECT_EQ(seen.events[4].user, 1);
  EXPECT_EQ(seen.events[4].action, SocialAction::kView);
  EXPECT_EQ(rewards::with_views(seen).events.size(), 7u);
}

// `people` see images 0 and 1 of a prompt, in this order; the first `likes[i]` of them like image
// i.
SocialLog two_images(int64_t people, std::array<int64_t, 2> likes) {
  SocialLog log{.prompts = {"p"}, .users = {}, .images = {{"a", 0}, {"b", 0}}, .events = {}};
  for (int64_t user = 0; user < people; ++user) {
    log.users.push_back("u" + std::to_string(user));
    for (int64_t image = 0; image < 2; ++image) {
      const auto time = static_cast<double>(10 * user + image);
      log.events.push_back({time, user, image, SocialAction::kView, image + 1});
      if (user < likes[static_cast<size_t>(image)])
        log.events.push_back({time, user, image, SocialAction::kLike, image + 1});
    }
  }
  return log;
}

TEST(Curate, ByHand) {
  rewards::CurateOptions options{.correction = rewards::SocialCorrection::kViews};
  const auto curated = rewards::curate(two_images(100, {40, 10}), options);
  EXPECT_EQ(curated.images[0].viewers, 100);
  EXPECT_EQ(curated.images[0].actors, 40);
  EXPECT_EQ(curated.images[0].exposure, 100);
  EXPECT_NEAR(curated.images[0].rate, (40 + 4 * 0.25) / 104, 1e-12);
  EXPECT_NEAR(curated.images[1].log_error, std::sqrt(11.0) / 11, 1e-12);
  ASSERT_EQ(curated.pairs.size(), 1u);
  EXPECT_EQ(curated.pairs[0].preferred, 0);
  EXPECT_EQ(curated.pairs[0].other, 1);
  EXPECT_NEAR(curated.pairs[0].deviations,
              std::log(41.0 / 11) / std::hypot(std::sqrt(41.0) / 41, std::sqrt(11.0) / 11), 1e-9);
}

TEST(Curate, RepeatsCountOnceAndIndiscriminatePeopleNotAtAll) {
  SocialLog log = two_images(40, {10, 10});
  for (int64_t i = 0; i < 30; ++i) log.events.push_back({1000, 0, 1, SocialAction::kLike, 2});
  rewards::CurateOptions options{.correction = rewards::SocialCorrection::kViews};
  const auto curated = rewards::curate(log, options);
  EXPECT_EQ(curated.repeats, 30);
  EXPECT_EQ(curated.images[1].actors, 10);
  EXPECT_EQ(curated.images[1].popularity, 40);
  EXPECT_TRUE(curated.pairs.empty());
  options.min_views_of_user = 2;  // the ten who liked both
  EXPECT_EQ(rewards::curate(log, options).users_left_out, 10);
  options.min_users = 41;
  EXPECT_EQ(rewards::curate(log, options).images_left_out, 2);
}

// Two images of equal rate, the first shown first nine times in ten; looks at the second place lead
// to a quarter of the likes.
SocialLog shown_apart() {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor draws = at::rand({3000, 3}, generator, at::kDouble);
  const auto draw = draws.accessor<double, 2>();
  SocialLog log{.prompts = {"p"}, .users = {}, .images = {{"a", 0}, {"b", 0}}, .events = {}};
  for (int64_t user = 0; user < 3000; ++user) {
    log.users.push_back("u" + std::to_string(user));
    const int64_t first = draw[user][0] < 0.9 ? 0 : 1;
    for (int64_t place = 0; place < 2; ++place) {
      const int64_t image = place == 0 ? first : 1 - first;
      log.events.push_back({double(user), user, image, SocialAction::kView, place + 1});
      if (draw[user][1 + place] < (place == 0 ? 0.4 : 0.1))
        log.events.push_back({double(user), user, image, SocialAction::kLike, place + 1});
    }
  }
  return log;
}

TEST(Curate, CorrectsForThePosition) {
  rewards::CurateOptions options{.correction = rewards::SocialCorrection::kViews};
  const auto biased = rewards::curate(shown_apart(), options);
  ASSERT_EQ(biased.pairs.size(), 1u);  // taken in by the position
  EXPECT_EQ(biased.pairs[0].preferred, 0);
  options.correction = rewards::SocialCorrection::kPosition;
  const auto fair = rewards::curate(shown_apart(), options);
  EXPECT_TRUE(fair.pairs.empty());
  EXPECT_EQ(fair.position_factor[1], 1);
  EXPECT_NEAR(fair.position_factor[2], 0.25, 0.04);
}

TEST(Curate, CorrectsForThePopularityOnShow) {
  // Views of images with earlier likes lead to twice as many; image 1 is seen by people before any
  // like of it alone.
  auto generator = at::detail::createCPUGenerator(4);
  SocialLog log{.prompts = {"p"}, .users = {}, .images = {}, .events = {}};
  const at::Tensor draws = at::rand({400, 60}, generator, at::kDouble);
  const auto draw = draws.accessor<double, 2>();
  double time = 0;
  for (int64_t image = 0; image < 60; ++image) {
    log.images.push_back({"i" + std::to_string(image), 0});
    bool liked = false;
    for (int64_t view = 0; view < 400; ++view) {
      log.users.push_back("u" + std::to_string(log.users.size()));
      const auto user = static_cast<int64_t>(log.users.size()) - 1;
      log.events.push_back({++time, user, image, SocialAction::kView, 1});
      if (draw[view][image] >= (liked ? 0.2 : 0.1)) continue;
      log.events.push_back({time, user, image, SocialAction::kLike, 1});
      liked = true;
    }
  }
  const auto curated = rewards::curate(log, {});
  EXPECT_EQ(curated.popularity_factor[0], 1);
  for (size_t level = 1; level < 6; ++level)
    EXPECT_NEAR(curated.popularity_factor[level], 2, 0.5) << level;
}

TEST(Community, SameSeedSameLogAndItsBiasesShow) {
  SocialLog base{.prompts = {"p"}, .users = {}, .images = {}, .events = {}};
  for (int i = 0; i < 8; ++i) base.images.push_back({"i" + std::to_string(i), 0});
  const at::Tensor appeals = at::full({8, 3}, 0.9);
  const rewards::CommunityOptions options{.users = 500, .visits_a_prompt = 4000};
  const auto simulate = [&](uint64_t seed) {
    auto generator = at::detail::createCPUGenerator(seed);
    return rewards::simulate_community(base, appeals, options, generator);
  };
  const SocialLog log = simulate(1);
  EXPECT_EQ(log.events.size(), simulate(1).events.size());
  EXPECT_NE(log.events.size(), simulate(2).events.size());
  std::array<double, 9> views{}, actions{};
  for (const auto& event : log.events) {
    const auto place = static_cast<size_t>(event.position);
    (event.action == SocialAction::kView ? views : actions)[place] += 1;
  }
  EXPECT_GT(actions[1] / views[1], 1.4 * actions[4] / views[4]);
  EXPECT_GT(actions[0], 0);  // rings act without a list
  EXPECT_THROW(
      {
        auto generator = at::detail::createCPUGenerator(1);
        rewards::simulate_community(base, at::zeros({7, 3}), options, generator);
      },
      c10::Error);
}

TEST(Community, SurveyFollowsAppeal) {
  SocialLog log{.prompts = {"p"}, .users = {}, .images = {{"a", 0}, {"b", 0}}, .events = {}};
  const at::Tensor appeals = at::tensor({0.9, 0.9, 0.9, 0.6, 0.6, 0.6}).view({2, 3});
  auto generator = at::detail::createCPUGenerator(1);
  const auto votes = rewards::survey_community(log, appeals, 20, 50, {}, generator);
  ASSERT_EQ(votes.size(), 20u);
  for (const auto& vote : votes) {
    EXPECT_EQ(vote.votes_a + vote.votes_b, 50);
    EXPECT_GT(vote.a == 0 ? vote.votes_a : vote.votes_b, 40);
  }
}

TEST(Community, AppealIsTheDescribedFormula) {
  auto generator = at::detail::createCPUGenerator(6);
  const auto batch = world::random_batch(3, world::Split::kSeen, generator);
  const at::Tensor appeals = rewards::community_appeals(batch.images, batch.captions);
  EXPECT_EQ(appeals.sizes(), (at::IntArrayRef{3, 3}));
  EXPECT_TRUE((appeals.ge(0.2) & appeals.le(1)).all().item<bool>());
  const at::Tensor one = at::tensor({1.0, 0.0, 0.5}).view({1, 3});
  EXPECT_NEAR(rewards::mean_appeal(one).item<double>(), 0.55 + 0.1, 1e-6);
}

TEST(ClaimShares, PartsShareNoClaim) {
  auto generator = at::detail::createCPUGenerator(8);
  world::Scene scene = world::random_scene(generator, world::Split::kSeen);
  while (scene.objects.size() != 1 || scene.background.tone != world::Tone::kGrey ||
         scene.objects[0].colour != world::Colour::kRed)
    scene = world::random_scene(generator, world::Split::kSeen);
  const at::Tensor image = world::render(scene).unsqueeze(0);
  const auto share = [&](const std::string& text, rewards::OraclePart part) {
    return rewards::claim_shares(image, {text}, part).item<double>();
  };
  using rewards::OraclePart;
  const std::string kind = scene.objects[0].kind == world::Kind::kRing ? "circle" : "ring";
  // count right, shape and colour wrong; background wrong
  EXPECT_NEAR(share("a blue " + kind + " on a white background", OraclePart::kObjects), 1 / 3.0,
              1e-6);
  EXPECT_EQ(share("a blue " + kind + " on a white background", OraclePart::kLayout), 0);
  EXPECT_EQ(share("a blue " + kind + " on a grey background", OraclePart::kLayout), 1);
  EXPECT_EQ(share("a blue " + kind, OraclePart::kLayout), 1);  // claims nothing of it
  EXPECT_NEAR(share("a blue " + kind + " on a grey background", OraclePart::kAll), 0.5, 1e-6);
}

TEST(GroupedMean, ByHand) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto found =
      rewards::grouped_mean(at::tensor({1.0, 1.0, 0.0, 0.0}), {0, 0, 5, 5}, 500, generator);
  EXPECT_EQ(found.value, 0.5);
  EXPECT_EQ(found.low, 0);  // two groups: either may be drawn twice
  EXPECT_EQ(found.high, 1);
  EXPECT_THROW(rewards::grouped_mean(at::ones({2}), {0}, 1, generator), c10::Error);
}

TEST(Bootstrap, ByHand) {
  const std::vector<double> values{0, 1};
  const auto mean = [&](const std::vector<size_t>& drawn) {
    double sum = 0;
    for (const size_t i : drawn) sum += values[i];
    return sum / static_cast<double>(drawn.size());
  };
  const auto found = rewards::bootstrap(2, mean), again = rewards::bootstrap(2, mean);
  EXPECT_EQ(found.value, 0.5);
  EXPECT_EQ(found.low, 0);  // a quarter of the draws each
  EXPECT_EQ(found.high, 1);
  EXPECT_EQ(again.low, found.low);
  EXPECT_THROW(rewards::bootstrap(0, mean), c10::Error);
}

TEST(PairAgreement, ByHand) {
  const auto right =
      rewards::pair_agreement(at::tensor({2.0, 1.0, 1.0, 0.0}), at::tensor({1.0, 2.0, 1.0, 0.0}),
                              at::tensor({9, 9, 9, 5}), at::tensor({1, 1, 1, 5}));
  EXPECT_EQ(right[0].item<double>(), 1);
  EXPECT_EQ(right[1].item<double>(), 0);
  EXPECT_EQ(right[2].item<double>(), 0.5);
  EXPECT_TRUE(std::isnan(right[3].item<double>()));
  EXPECT_THROW(rewards::pair_agreement(right, at::ones({1}), right, right), c10::Error);
}

}  // namespace
