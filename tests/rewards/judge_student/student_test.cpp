#include "rewards/judge_student/student.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "rewards/judge_student/files.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/student.hpp"

namespace {

namespace fs = std::filesystem;
using rewards::Bins;

fs::path folder() {
  return fs::path(testing::TempDir()) / ("laurel_student" + std::to_string(getpid()));
}

TEST(Bins, ByHand) {
  EXPECT_EQ(rewards::bins_of_score(0), (Bins{1, 0, 0, 0, 0}));
  EXPECT_EQ(rewards::bins_of_score(1), (Bins{0, 0, 0, 0, 1}));
  EXPECT_EQ(rewards::bins_of_score(0.375), (Bins{0, 0.5, 0.5, 0, 0}));
  const Bins wide = rewards::bins_of_gaussian(0.5, 0.25);
  EXPECT_NEAR(wide[2], std::erf(0.125 / 0.25 / std::sqrt(2.0)), 1e-12);
  EXPECT_NEAR(wide[0] + wide[1] + wide[2] + wide[3] + wide[4], 1, 1e-12);
  EXPECT_EQ(rewards::bins_of_gaussian(0.375, 0.001), rewards::bins_of_score(0.375));
  for (const double score : {0.0, 0.1, 0.66, 1.0})
    EXPECT_NEAR(rewards::mean_of(rewards::bins_of_score(score)), score, 1e-12);
}

TEST(Judgements, ReadAsDescribed) {
  const auto file = folder() / "j.jsonl";
  data::write_file(
      file,
      R"({"kind":"point","prompt":"p","image":{"path":"a.png"},"axes":{"x":{"score":3,"lo":1,"hi":5},"y":{"score":3,"lo":1,"hi":5,"probs":[0,0,0,1,1]},"z":null,"w":{"score":1,"lo":1,"hi":5,"sign":-1}}})"
      "\n"
      R"({"kind":"point","prompt":"p","image":{"path":"b.png"},"ok":false,"axes":{}})"
      "\n"
      R"({"kind":"pair","prompt":"p","a":{"path":"a.png"},"b":{"path":"b.png"},"order":"ba","axes":{"o":{"win":"tie"},"q":{"p_a":0.9}}})"
      "\n");
  const auto read = rewards::read_judgements(file);
  EXPECT_EQ(read.unusable, 1);
  EXPECT_EQ(read.points.at(0).axes.at("x"), (Bins{0, 0, 1, 0, 0}));
  EXPECT_EQ(read.points.at(0).axes.at("y"), (Bins{0, 0, 0, 0.5, 0.5}));
  EXPECT_EQ(read.points.at(0).axes.at("w"), (Bins{0, 0, 0, 0, 1}));
  EXPECT_EQ(read.points.at(0).axes.count("z"), 0u);
  EXPECT_EQ(read.pairs.at(0).axes.at("o"), 0.5);
  const auto refused = [&](const std::string& line) {
    data::write_file(folder() / "bad.jsonl", line);
    return refusal([&] { rewards::read_judgements(folder() / "bad.jsonl"); });
  };
  EXPECT_NE(refused(R"({"kind":"poll"})").find("bad.jsonl:1: "), std::string::npos);
  EXPECT_NE(
      refused(
          R"({"kind":"point","prompt":"p","image":{"path":"a"},"axes":{"x":{"score":9,"lo":1,"hi":5}}})")
          .find("score"),
      std::string::npos);
  EXPECT_NE(
      refused(
          R"({"kind":"pair","prompt":"p","a":{"path":"a"},"b":{"path":"b"},"axes":{"x":{"p_a":2}}})")
          .find("p_a"),
      std::string::npos);
  EXPECT_NE(refused("[1]").find("object"), std::string::npos);
}

TEST(MergeOrders, AveragesAndDropsWhatDependsOnTheOrder) {
  const auto pair = [](const char* a, const char* b, bool first, double p) {
    return rewards::PairJudgement{"p", a, b, first, {{"o", p}}};
  };
  const auto merged = rewards::merge_orders(
      {pair("a", "b", true, 0.9), pair("a", "b", false, 0.7),   // agree
       pair("a", "c", true, 0.9), pair("a", "c", false, 0.3),   // the first wins both times
       pair("d", "b", true, 0.8), pair("b", "d", true, 0.4)});  // written the other way round
  EXPECT_EQ(merged.both_orders, 3);
  EXPECT_EQ(merged.consistent, 2);
  ASSERT_EQ(merged.pairs.size(), 2u);
  EXPECT_NEAR(merged.pairs[0].axes.at("o"), 0.8, 1e-12);
  EXPECT_EQ(merged.pairs[1].a, "b");
  EXPECT_NEAR(merged.pairs[1].axes.at("o"), 0.3, 1e-12);
}

TEST(JudgeStudent, FeaturesByHandAndBlindness) {
  rewards::StudentConfig config = tiny_student_config();
  config.embedding = 2;
  const double r = std::sqrt(2.0);
  const at::Tensor i = at::tensor({0.6, 0.8}).view({1, 2}), t = at::tensor({1.0, 0.0}).view({1, 2});
  const at::Tensor expected =
      at::tensor({0.6 * r, 0.8 * r, r, 0.0, 1.2, 0.0, 0.4 * r, 0.8 * r, 0.6 * r}).view({1, 9});
  EXPECT_TRUE(at::allclose(rewards::student_features(config, i, t), expected));
  config.blind_to = "prompt";
  EXPECT_TRUE(
      at::equal(rewards::student_features(config, i, t), rewards::student_features(config, i, -t)));
  config.blind_to = "image";
  EXPECT_TRUE(
      at::equal(rewards::student_features(config, i, t), rewards::student_features(config, -i, t)));
  EXPECT_THROW(rewards::student_features(config, i, at::ones({2, 2})), c10::Error);
}

TEST(JudgeStudent, MomentsByHand) {
  // Even between the outermost bins: mean a half, variance a quarter.
  const at::Tensor logits = at::tensor({5.0, -90.0, -90.0, -90.0, 5.0}).view({1, 1, 1, 5});
  const auto moments = rewards::student_moments(logits, at::ones({1}));
  EXPECT_NEAR(moments.mean.item<double>(), 0.5, 1e-6);
  EXPECT_NEAR(moments.variance.item<double>(), 0.25 + 1e-4, 1e-6);
}

TEST(JudgeStudent, BetterProbabilityByHand) {
  // Two deviations: Phi(2)
  EXPECT_NEAR(rewards::better_probability(at::full({1}, 0.4), at::full({1}, 0.04)).item<double>(),
              0.97725, 1e-5);
  EXPECT_EQ(rewards::better_probability(at::zeros({1}), at::ones({1})).item<double>(), 0.5);
}

TEST(JudgeStudent, PreferenceIsTurnedRound) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto w = rewards::make_student(tiny_student_config(), generator);
  const auto of = [&] {
    return rewards::student_scores(w, unit(at::randn({5, 6}, generator)),
                                   unit(at::randn({5, 6}, generator)));
  };
  const auto a = of(), b = of();
  const at::Tensor there = rewards::student_preference(a, b),
                   back = rewards::student_preference(b, a);
  EXPECT_TRUE(at::allclose(there, 1 - back, 0, 1e-6));
  EXPECT_TRUE(at::equal(there.gt(0.5), back.lt(0.5)));
  EXPECT_EQ(a.score.sizes(), (at::IntArrayRef{5}));
  auto plain = w;
  plain.config.kappa = 0;
  const at::Tensor i = unit(at::randn({3, 6}, generator)), t = unit(at::randn({3, 6}, generator));
  EXPECT_TRUE((rewards::student_scores(w, i, t).score < rewards::student_scores(plain, i, t).score)
                  .all()
                  .item<bool>());
}

TEST(JudgeStudent, ScoreIsDifferentiableInTheImage) {
  auto generator = at::detail::createCPUGenerator(2);
  auto w = rewards::make_student(tiny_student_config(), generator);
  rewards::for_each_tensor(
      w, "", [](const std::string&, at::Tensor& tensor) { tensor = tensor.to(at::kDouble); });
  const at::Tensor text = unit(at::randn({2, 6}, generator, at::kDouble));
  EXPECT_LE(gradient_error(
                [&](const at::Tensor& x) {
                  return rewards::student_scores(w, unit(x), text).score.sum();
                },
                at::randn({2, 6}, generator, at::kDouble)),
            1e-5);
}

TEST(JudgeStudent, IsReadBackAndRefusesWhatDoesNotFit) {
  auto generator = at::detail::createCPUGenerator(3);
  const auto w = rewards::make_student(tiny_student_config(), generator);
  rewards::save_student(folder() / "student", w, at::kFloat);
  const auto read = rewards::load_student(folder() / "student");
  const at::Tensor i = unit(at::randn({3, 6}, generator)), t = unit(at::randn({3, 6}, generator));
  EXPECT_TRUE(
      at::equal(rewards::student_scores(read, i, t).score, rewards::student_scores(w, i, t).score));
  EXPECT_EQ(read.config.axes, w.config.axes);
  data::write_file(folder() / "other" / "reward.json", R"({"kind":"social"})");
  EXPECT_NE(refusal([] { rewards::load_student(folder() / "other"); }).find("reward.json"),
            std::string::npos);
}

}  // namespace
