#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "data/train/epoch_order.hpp"
#include "rewards/judge_student/calibrate.hpp"
#include "rewards/judge_student/evaluate.hpp"
#include "rewards/judge_student/loss.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/clip.hpp"
#include "tests/support/tiny/student.hpp"

namespace {

namespace fs = std::filesystem;

rewards::StudentTraining training_in(const std::string& name) {
  rewards::StudentTraining options;
  options.loop.output_dir = tests::fresh_folder(name);
  options.loop.train_batch_size = 64;
  options.loop.learning_rate = 3e-3;
  options.loop.checkpointing_steps = 5;
  options.epochs = 20;
  return options;
}

void silent(const std::string&) {}

TEST(EpochOrder, IsAPermutationOfSeedAndEpoch) {
  const at::Tensor order = train::epoch_order(1, 2, 50);
  EXPECT_TRUE(at::equal(std::get<0>(order.sort()), at::arange(50)));
  EXPECT_TRUE(at::equal(order, train::epoch_order(1, 2, 50)));
  EXPECT_FALSE(at::equal(order, train::epoch_order(1, 3, 50)));
  EXPECT_FALSE(at::equal(order, train::epoch_order(2, 2, 50)));
  EXPECT_EQ(train::epoch_order(1, 2, 0).size(0), 0);
}

TEST(StudentLoss, ByHand) {
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

TEST(Auc, ByHand) {
  // of the pairs (1, 2), (1, 1), (3, 2), (3, 1): right, half, wrong, wrong
  EXPECT_EQ(rewards::auc(at::tensor({1.0, 3.0}), at::tensor({2.0, 1.0})), 1.5 / 4);
  EXPECT_TRUE(std::isnan(rewards::auc(at::empty({0}), at::ones({2}))));
  EXPECT_THROW(rewards::auc(at::ones({1, 1}), at::ones({1})), c10::Error);
}

// Prompts and images on a sphere; alignment is their cosine, brought to [0, 1]; the overall
// preference follows it. Ten images a prompt, of the prompts from `from` on.
rewards::StudentData cosines(int64_t from, int64_t prompts) {
  auto generator = at::detail::createCPUGenerator(5);
  rewards::StudentData data;
  const int64_t count = 10 * prompts;
  data.images = unit(at::randn({600, 6}, generator)).slice(0, 10 * from, 10 * from + count);
  data.texts = unit(at::randn({60, 6}, generator)).slice(0, from, from + prompts);
  data.points.image = at::arange(count);
  data.points.text = at::arange(count).remainder(prompts);
  const at::Tensor score =
      (1 + (data.images * data.texts.index_select(0, data.points.text)).sum(1)) / 2;
  data.points.bins = at::full({count, 2, 5}, 0.2);
  data.points.known = at::zeros({count, 2});
  for (int64_t i = 0; i < count; ++i) {
    const auto bins = rewards::bins_of_score(score[i].item<double>());
    data.points.bins[i][0].copy_(at::tensor(at::ArrayRef<double>(bins)));
    data.points.known[i][0].fill_(1);
  }
  data.pairs.a = at::arange(count / 2);
  data.pairs.b = at::arange(count / 2, count);
  data.pairs.text = at::arange(count / 2).remainder(prompts);
  const at::Tensor preferred =
      (20 * (score.slice(0, 0, count / 2) - score.slice(0, count / 2))).sigmoid();
  data.pairs.preference = at::stack({at::full({count / 2}, 0.5), preferred}, 1);
  data.pairs.known = at::stack({at::zeros({count / 2}), at::ones({count / 2})}, 1);
  return data;
}

TEST(TrainStudent, FollowsAJudgeAndTheBlindDoNot) {
  const auto seen = cosines(0, 48), held = cosines(48, 12);
  const auto exam_of = [&](const std::string& blind) {
    auto config = tiny_student_config();
    config.blind_to = blind;
    auto student = rewards::train_student(config, seen, training_in("follows" + blind), silent);
    rewards::calibrate(student, held);
    auto generator = at::detail::createCPUGenerator(1);
    return rewards::evaluate_student(student, held, 0, generator);
  };
  const auto full = exam_of("");
  EXPECT_GT(full[0].agreement.spearman, 0.85);
  EXPECT_GT(full[1].pair_accuracy, 0.85);
  EXPECT_GE(full[1].accuracy_by_strength[2], full[1].accuracy_by_strength[0]);
  EXPECT_GT(full[1].tie_auc, 0.6);
  EXPECT_GT(full[0].surest_half_error, 0);
  EXPECT_EQ(full[1].points, 0);
  EXPECT_LT(exam_of("prompt")[0].agreement.spearman, 0.5);
  EXPECT_LT(exam_of("image")[0].agreement.spearman, 0.5);
}

TEST(TrainStudent, SameSeedSameStudent) {
  const auto data = cosines(0, 12);
  const auto train = [&](int64_t seed) {
    auto options = training_in("seed");
    options.epochs = 1;
    options.loop.seed = seed;
    return rewards::train_student(tiny_student_config(), data, options, silent)
        .members[2]
        .heads[1]
        .weight;
  };
  EXPECT_TRUE(at::equal(train(1), train(1)));
  EXPECT_FALSE(at::equal(train(1), train(2)));
}

// Reddish images are well aligned with any prompt.
struct Colours {
  TinyClip tiny = tiny_clip();
  at::Tensor images = two_colours();
  rewards::StudentData data{};
};
Colours colours() {
  Colours problem;
  const at::NoGradGuard no_grad;
  auto& data = problem.data;
  data.images = rewards::image_features(problem.tiny.clip, problem.images);
  data.texts = unit(at::ones({2, 6}));
  data.points.image = at::arange(40);
  data.points.text = at::arange(40).remainder(2);
  data.points.bins = at::zeros({40, 2, 5});
  data.points.bins.slice(0, 0, 20).select(2, 4).fill_(1);
  data.points.bins.slice(0, 20).select(2, 0).fill_(1);
  data.points.known = at::ones({40, 2});
  data.pairs.a = data.pairs.b = data.pairs.text = at::zeros({0}, at::kLong);
  data.pairs.preference = data.pairs.known = at::zeros({0, 2});
  data.digest = "colours";
  return problem;
}

rewards::TunedStudent tuned(const Colours& problem,
                            const rewards::StudentTraining& options,
                            const std::function<void(const std::string&)>& print = silent) {
  auto generator = at::detail::createCPUGenerator(3);
  const rewards::StudentTower tower{
      .clip = problem.tiny.clip,
      .tokenizer = problem.tiny.tokenizer,
      .images = [&](const at::Tensor& rows) { return problem.images.index_select(0, rows); },
      .prompts = {"a red circle", "a blue square"},
      .layers = {.vision = 1, .text = 0}};
  return rewards::tune_student(rewards::make_student(tiny_student_config(), generator), tower,
                               problem.data, options, print);
}

TEST(TuneStudent, ChangesTheChosenLayersOnlyAndLearns) {
  const Colours problem = colours();
  auto options = training_in("tune");
  options.epochs = 40;
  options.loop.train_batch_size = 20;
  const auto result = tuned(problem, options);
  const auto before = tensors_of(problem.tiny.clip), after = tensors_of(result.clip);
  for (const auto& [name, tensor] : before) {
    const bool trains = name.starts_with("vision_model.encoder.layers.1.") ||
                        name.starts_with("vision_model.post_layernorm");
    EXPECT_EQ(at::equal(tensor, after.at(name)), !trains) << name;
    EXPECT_FALSE(after.at(name).requires_grad());
  }
  const at::NoGradGuard no_grad;
  const auto score =
      rewards::student_scores(result.student, rewards::image_features(result.clip, problem.images),
                              unit(at::ones({40, 6})));
  EXPECT_GT((score.score.slice(0, 0, 20).min() - score.score.slice(0, 20).max()).item<double>(),
            0.2);
}

TEST(TuneStudent, ResumedEqualsUninterrupted) {
  const Colours problem = colours();
  auto options = training_in("whole");
  options.epochs = 10;
  options.loop.train_batch_size = 20;
  const auto whole = tuned(problem, options);
  options.loop.output_dir = training_in("parts").loop.output_dir;
  options.loop.logging_steps = 12;  // after the checkpoint at 10
  EXPECT_THROW(
      tuned(problem, options, [](const std::string&) { throw std::runtime_error("killed"); }),
      std::runtime_error);
  options.loop.resume_from_checkpoint = "latest";
  const auto resumed = tuned(problem, options);
  const auto a = tensors_of(whole.clip), b = tensors_of(resumed.clip);
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  const auto c = tensors_of(whole.student), d = tensors_of(resumed.student);
  for (const auto& [name, tensor] : c) EXPECT_TRUE(at::equal(tensor, d.at(name))) << name;
  Colours other = problem;
  other.data.digest = "others";
  EXPECT_NE(refusal([&] { tuned(other, options); }).find("data"), std::string::npos);
}

}  // namespace
