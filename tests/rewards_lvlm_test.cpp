#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "data/files.hpp"
#include "rewards/lvlm_exam.hpp"
#include "tests/gradient_check.hpp"
#include "tests/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using rewards::Bins;

fs::path folder() {
  return fs::path(testing::TempDir()) / ("laurel_lvlm" + std::to_string(getpid()));
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

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {-1}, true); }

rewards::LvlmConfig tiny_config() {
  return {.axes = {"alignment", "overall"},
          .embedding = 6,
          .hidden = 24,
          .members = 3,
          .clip_digest = "00"};
}

TEST(Lvlm, FeaturesByHandAndBlindness) {
  rewards::LvlmConfig config = tiny_config();
  config.embedding = 2;
  const at::Tensor i = at::tensor({0.6, 0.8}).view({1, 2}), t = at::tensor({1.0, 0.0}).view({1, 2});
  const at::Tensor expected =
      at::tensor({0.6, 0.8, 1.0, 0.0, 0.6, 0.0, 0.4, 0.8, 0.6 * std::sqrt(2.0)}).view({1, 9});
  EXPECT_TRUE(at::allclose(rewards::lvlm_features(config, i, t), expected));
  config.blind_to = "prompt";
  EXPECT_TRUE(
      at::equal(rewards::lvlm_features(config, i, t), rewards::lvlm_features(config, i, -t)));
  config.blind_to = "image";
  EXPECT_TRUE(
      at::equal(rewards::lvlm_features(config, i, t), rewards::lvlm_features(config, -i, t)));
  EXPECT_THROW(rewards::lvlm_features(config, i, at::ones({2, 2})), c10::Error);
}

TEST(Lvlm, MomentsByHand) {
  // Even between the outermost bins: mean a half, variance a quarter.
  const at::Tensor logits = at::tensor({5.0, -90.0, -90.0, -90.0, 5.0}).view({1, 1, 1, 5});
  const auto moments = rewards::lvlm_moments(logits, at::ones({1}));
  EXPECT_NEAR(moments.mean.item<double>(), 0.5, 1e-6);
  EXPECT_NEAR(moments.variance.item<double>(), 0.25 + 1e-4, 1e-6);
}

TEST(Lvlm, PreferenceIsTurnedRound) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto w = rewards::make_lvlm(tiny_config(), generator);
  const auto of = [&] {
    return rewards::lvlm_scores(w, unit(at::randn({5, 6}, generator)),
                                unit(at::randn({5, 6}, generator)));
  };
  const auto a = of(), b = of();
  const at::Tensor there = rewards::lvlm_preference(a, b), back = rewards::lvlm_preference(b, a);
  EXPECT_TRUE(at::allclose(there, 1 - back, 0, 1e-6));
  EXPECT_TRUE(at::equal(there.gt(0.5), back.lt(0.5)));
  EXPECT_EQ(a.score.sizes(), (at::IntArrayRef{5}));
  auto plain = w;
  plain.config.kappa = 0;
  const at::Tensor i = unit(at::randn({3, 6}, generator)), t = unit(at::randn({3, 6}, generator));
  EXPECT_TRUE((rewards::lvlm_scores(w, i, t).score < rewards::lvlm_scores(plain, i, t).score)
                  .all()
                  .item<bool>());
}

TEST(Lvlm, ScoreIsDifferentiableInTheImage) {
  auto generator = at::detail::createCPUGenerator(2);
  auto w = rewards::make_lvlm(tiny_config(), generator);
  rewards::for_each_tensor(
      w, "", [](const std::string&, at::Tensor& tensor) { tensor = tensor.to(at::kDouble); });
  const at::Tensor text = unit(at::randn({2, 6}, generator, at::kDouble));
  EXPECT_LE(
      gradient_error(
          [&](const at::Tensor& x) { return rewards::lvlm_scores(w, unit(x), text).score.sum(); },
          at::randn({2, 6}, generator, at::kDouble)),
      1e-5);
}

TEST(Lvlm, IsReadBackAndRefusesWhatDoesNotFit) {
  auto generator = at::detail::createCPUGenerator(3);
  const auto w = rewards::make_lvlm(tiny_config(), generator);
  rewards::save_lvlm(folder() / "student", w, at::kFloat);
  const auto read = rewards::load_lvlm(folder() / "student");
  const at::Tensor i = unit(at::randn({3, 6}, generator)), t = unit(at::randn({3, 6}, generator));
  EXPECT_TRUE(
      at::equal(rewards::lvlm_scores(read, i, t).score, rewards::lvlm_scores(w, i, t).score));
  EXPECT_EQ(read.config.axes, w.config.axes);
  data::write_file(folder() / "other" / "reward.json", R"({"kind":"social"})");
  EXPECT_NE(refusal([] { rewards::load_lvlm(folder() / "other"); }).find("reward.json"),
            std::string::npos);
}

TEST(LvlmLoss, ByHand) {
  const at::Tensor logits = at::zeros({1, 1, 1, 5}), known = at::ones({1, 1}),
                   weight = at::ones({1, 1});
  const at::Tensor even = at::full({1, 1, 5}, 0.2);
  EXPECT_NEAR(rewards::point_loss(logits, even, known, weight).item<double>(), 0, 1e-6);
  const at::Tensor sure = at::tensor({0.0, 0.0, 0.0, 0.0, 1.0}).view({1, 1, 5});
  // KL log 5, and a tenth of Huber's 0.25 (0.5 - 0.125)
  EXPECT_NEAR(rewards::point_loss(logits, sure, known, weight).item<double>(),
              std::log(5.0) + 0.1 * 0.25 * 0.375, 1e-5);
  EXPECT_EQ(rewards::point_loss(logits, sure, at::zeros({1, 1}), weight).item<double>(), 0);
  const at::Tensor a = at::full({1, 1, 1}, 0.6), b = at::full({1, 1, 1}, 0.4);
  EXPECT_NEAR(
      rewards::pair_loss(a, b, at::full({1}, 5.0), at::ones({1, 1}), known, weight).item<double>(),
      std::log1p(std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(rewards::fidelity_loss(at::full({1}, 0.3), at::full({1}, 0.3)).item<double>(), 0,
              1e-6);
  EXPECT_NEAR(rewards::fidelity_loss(at::ones({1}), at::zeros({1})).item<double>(), 1, 1e-3);
  EXPECT_THROW(rewards::point_loss(logits, at::ones({2, 1, 5}), known, weight), c10::Error);
}

TEST(CalibrationError, ByHand) {
  // Bucket 0.9: confidence 0.95 and 0.95, outcomes 1 and 0.5: |1.9 - 1.5|; bucket 0.1: right.
  EXPECT_NEAR(
      rewards::calibration_error(at::tensor({0.95, 0.95, 0.15}), at::tensor({1.0, 0.5, 0.15})),
      0.4 / 3, 1e-6);
  EXPECT_THROW(rewards::calibration_error(at::ones({2}), at::ones({1})), c10::Error);
}

// Prompts and images on a sphere; alignment is their cosine, brought to [0, 1]; the overall
// preference follows it.
rewards::LvlmData cosines() {
  auto generator = at::detail::createCPUGenerator(5);
  rewards::LvlmData data;
  data.images = unit(at::randn({600, 6}, generator));
  data.texts = unit(at::randn({60, 6}, generator));
  data.points.image = at::arange(600);
  data.points.text = at::arange(600).remainder(60);
  const at::Tensor score =
      (1 + (data.images * data.texts.index_select(0, data.points.text)).sum(1)) / 2;
  data.points.bins = at::full({600, 2, 5}, 0.2);
  data.points.known = at::zeros({600, 2});
  for (int64_t i = 0; i < 600; ++i) {
    const auto bins = rewards::bins_of_score(score[i].item<double>());
    data.points.bins[i][0].copy_(at::tensor(at::ArrayRef<double>(bins)));
    data.points.known[i][0].fill_(1);
  }
  data.pairs.a = at::arange(300);
  data.pairs.b = at::arange(300, 600);
  data.pairs.text = at::arange(300).remainder(60);
  const at::Tensor preferred = (20 * (score.slice(0, 0, 300) - score.slice(0, 300))).sigmoid();
  data.pairs.preference = at::stack({at::full({300}, 0.5), preferred}, 1);
  data.pairs.known = at::stack({at::zeros({300}), at::ones({300})}, 1);
  return data;
}

TEST(TrainLvlm, FollowsAJudgeAndTheBlindDoNot) {
  const auto data = cosines();
  const at::Tensor training = at::arange(60).lt(48);
  const auto seen = rewards::rows_of_prompts(data, training),
             held = rewards::rows_of_prompts(data, training.logical_not());
  EXPECT_EQ(held.points.text.size(0), 120);
  EXPECT_EQ(held.pairs.text.size(0), 60);
  const rewards::LvlmTraining options{.epochs = 30, .batch_size = 64, .learning_rate = 3e-3};
  const auto exam_of = [&](const std::string& blind) {
    auto config = tiny_config();
    config.blind_to = blind;
    auto student = rewards::train_lvlm(config, seen, options, [](int64_t, double) {});
    rewards::calibrate(student, held);
    auto generator = at::detail::createCPUGenerator(1);
    return rewards::lvlm_exam(student, held, 0, generator);
  };
  const auto full = exam_of("");
  EXPECT_GT(full[0].agreement.spearman, 0.85);
  EXPECT_GT(full[1].pair_accuracy, 0.85);
  EXPECT_EQ(full[1].points, 0);
  EXPECT_LT(exam_of("prompt")[0].agreement.spearman, 0.5);
  EXPECT_LT(exam_of("image")[0].agreement.spearman, 0.5);
}

TEST(TrainLvlm, SameSeedSameStudent) {
  const auto data = cosines();
  const auto train = [&](int64_t seed) {
    const rewards::LvlmTraining options{.epochs = 1, .seed = seed};
    return rewards::train_lvlm(tiny_config(), data, options, [](int64_t, double) {})
        .members[2]
        .heads[1]
        .weight;
  };
  EXPECT_TRUE(at::equal(train(1), train(1)));
  EXPECT_FALSE(at::equal(train(1), train(2)));
}

}  // namespace
