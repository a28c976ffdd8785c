#include "finetune/distill/lcd.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/weights/safetensors.hpp"
#include "finetune/distill/distill.hpp"
#include "finetune/task/optimizer.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

using finetune::LcdBatch;
using finetune::LcdLoss;
using finetune::LcdSchedule;

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

LcdSchedule sd_schedule(diffusion::Prediction prediction = diffusion::Prediction::kEpsilon) {
  diffusion::SchedulerConfig config;
  config.prediction_type = prediction;
  return finetune::lcd_schedule(diffusion::make_schedule(config), 50, 10);
}

TEST(LcdSchedule, PointsAndLevelsOfStableDiffusion) {
  const LcdSchedule schedule = sd_schedule();
  EXPECT_EQ(schedule.t.size(0), 50);
  EXPECT_EQ(schedule.t[0].item<int64_t>(), 19);
  EXPECT_EQ(schedule.t[49].item<int64_t>(), 999);
  EXPECT_EQ(schedule.previous[0].item<int64_t>(), 0);  // where the student is the identity
  EXPECT_EQ(schedule.previous[49].item<int64_t>(), 979);
  EXPECT_NEAR(schedule.levels.signal[19].item<double>(), std::sqrt(0.982244), 1e-6);
  EXPECT_NEAR(schedule.levels.signal[979].item<double>(), std::sqrt(0.00591277), 1e-6);
  EXPECT_NEAR(schedule.levels.noise[979].item<double>(), std::sqrt(1 - 0.00591277), 1e-7);
}

TEST(LcdSchedule, RefusesAStepThatDoesNotDivideAndNamesOnesThatDo) {
  const auto schedule = diffusion::make_schedule({});
  EXPECT_EQ(refusal([&] { finetune::lcd_schedule(schedule, 48, 10); }),
            "num_ddim_timesteps: expected a divisor of the schedule's 1000 timesteps, found 48; "
            "take 40 or 50");
  EXPECT_NE(refusal([&] { finetune::lcd_schedule(schedule, 0, 10); }), "");
  EXPECT_NE(refusal([&] { finetune::lcd_schedule(schedule, 2000, 10); }), "");
}

TEST(BoundaryScalings, AreTheIdentityAtZeroAndX0Elsewhere) {
  const auto scalings = finetune::boundary_scalings(at::tensor({0, 1, 2, 19, 999}, at::kLong), 10);
  const double skip[] = {1.0, 2.49377e-3, 6.24610e-4, 6.92516e-6, 2.505e-9};
  const double out[] = {0.0, 0.998752, 0.999688, 0.9999965, 1.0};
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(scalings.skip[i].item<double>(), skip[i], 1e-5 * skip[i] + 1e-12);
    EXPECT_NEAR(scalings.out[i].item<double>(), out[i], 1e-6);
  }
}

TEST(ConsistencyOutput, GivesXAtZeroAndIsRightInBothParameterisations) {
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor x = at::randn({2, 1, 2, 2}, generator, at::kDouble),
                   o = at::randn({2, 1, 2, 2}, generator, at::kDouble),
                   zero = at::zeros({2}, at::kLong), late = at::full({2}, 499, at::kLong);
  const LcdSchedule eps = sd_schedule(), v = sd_schedule(diffusion::Prediction::kV);
  EXPECT_TRUE(at::equal(finetune::consistency_output(eps, o, x, zero), x));
  const double alpha = eps.levels.signal[499].item<double>(),
               sigma = eps.levels.noise[499].item<double>();
  EXPECT_LT(relative_error(finetune::consistency_output(eps, o, x, late), (x - sigma * o) / alpha),
            1e-7);
  EXPECT_LT(relative_error(finetune::consistency_output(v, o, x, late), alpha * x - sigma * o),
            1e-7);
}

// A teacher that knows the noise exactly stays on the line between noise and image, whatever w.
TEST(SolverStep, FollowsAnExactTeacherForAnyGuidance) {
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor x0 = at::randn({3, 1, 2, 2}, generator, at::kDouble),
                   noise = at::randn({3, 1, 2, 2}, generator, at::kDouble),
                   index = at::tensor({0, 20, 49}, at::kLong), w = at::tensor({0.0, 4.0, 14.0});
  const LcdSchedule schedule = sd_schedule();
  const auto noised = [&](const at::Tensor& points) {
    const auto level = finetune::levels_at(schedule, points.index_select(0, index));
    return level.signal * x0 + level.noise * noise;
  };
  const at::Tensor stepped =
      finetune::solver_step(schedule, at::cat({noise, noise}), noised(schedule.t), index, w);
  EXPECT_LT(relative_error(stepped, noised(schedule.previous)), 1e-12);
}

TEST(LcdLoss, OfAHandComputedPairAndItsGradient) {
  const at::Tensor a = at::tensor({0.003, 1.0}, at::kDouble),
                   b = at::tensor({0.0, 0.0}, at::kDouble);
  const double c = 0.004;
  EXPECT_NEAR(finetune::lcd_loss(a, b, LcdLoss::kHuber, c).item<double>(),
              ((0.005 - c) + (std::sqrt(1 + c * c) - c)) / 2, 1e-12);
  EXPECT_NEAR(finetune::lcd_loss(a, b, LcdLoss::kL2, c).item<double>(), (9e-6 + 1) / 2, 1e-12);
  EXPECT_LT(
      gradient_error(
          [&](const at::Tensor& x) { return finetune::lcd_loss(x, b, LcdLoss::kHuber, c); }, a),
      1e-6);
}

// ---- one step against Python ----

struct Case {
  const char* name;
  diffusion::Prediction prediction;
  LcdLoss loss;
  bool embedded;
};

diffusion::Network golden_unet(bool embedded, double factor) {
  diffusion::Network unet = diffusion::load_unet(golden::folder() / "unet_lcm");
  if (!embedded) {
    diffusion::unet_of(unet).config.time_cond_proj_dim = 0;
    diffusion::unet_of(unet).time_cond_proj = {};
  }
  for_each_tensor(unet, "",
                  [&](const std::string&, at::Tensor& tensor) { tensor = tensor * factor; });
  return unet;
}

LcdBatch golden_batch(const data::Weights& file) {
  const auto& tensors = file.tensors;
  return {.latents = tensors.at("latents"),
          .noise = tensors.at("noise"),
          .index = tensors.at("index"),
          .conditions = {.text = {tensors.at("hidden"), {}},
                         .negative = {tensors.at("empty"), {}},
                         .guidance_w = tensors.at("w")}};
}

void compare(const data::Weights& file,
             const std::string& prefix,
             const std::string& what,
             const at::Tensor& found,
             double tolerance) {
  const auto expected = file.tensors.find(prefix + "." + what);
  if (expected == file.tensors.end()) return;
  golden::expect_agreement("LCD " + prefix + " " + what, relative_error(found, expected->second),
                           tolerance);
}

void check_step(const Case& c) {
  const auto file = data::read_safetensors(golden::folder() / "lcd.safetensors");
  diffusion::Network student = golden_unet(c.embedded, 1.0);
  const diffusion::Network average = golden_unet(c.embedded, 0.9),
                           teacher = golden_unet(false, 1.1);
  finetune::TrainingConfig config;
  config.train_full = true;
  config.learning_rate = 1e-3;
  config.adam_weight_decay = 0.01;
  config.max_grad_norm = 0.1;
  config.ema_decay = 0.95;
  auto optimizer = finetune::make_optimizer(config, train::parameters_of(student, ""), 10);
  optimizer.state.ema.ramp = false;
  for (auto& shadow : optimizer.state.ema.shadow) shadow.mul_(0.9);
  const diffusion::Network target = finetune::averaged_unet(student, optimizer);
  const auto drawn = finetune::lcd_predict(student, target, teacher, sd_schedule(c.prediction),
                                           golden_batch(file));
  const at::Tensor loss = finetune::lcd_loss(drawn.predicted, drawn.target, c.loss, 1e-3);
  loss.backward();
  compare(file, c.name, "predicted", drawn.predicted, 1e-5);
  compare(file, c.name, "target", drawn.target, 1e-5);
  compare(file, c.name, "loss", loss, 1e-5);
  double largest = 0, error = 0;  // of the gradient as one vector
  for (const auto& param : optimizer.state.params) {
    const auto expected = file.tensors.find(std::string(c.name) + ".grad." + param.name);
    if (expected == file.tensors.end()) continue;
    largest = std::max(largest, expected->second.abs().max().item<double>());
    error = std::max(error, (param.value.grad() - expected->second).abs().max().item<double>());
  }
  ASSERT_GT(largest, 0);
  // The gradient is that of a small difference: an AMD EPYC gave 1.3e-5, where an Intel gave less
  // than 1e-5.
  golden::expect_agreement(std::string("LCD ") + c.name + " gradient", error / largest, 3e-5);
  EXPECT_EQ(finetune::take_step(optimizer).fault, "");
  for (size_t i = 0; i < optimizer.state.params.size(); ++i) {
    const auto& param = optimizer.state.params[i];
    compare(file, c.name, "after." + param.name, param.value.detach(), 1e-5);
    compare(file, c.name, "average." + param.name, optimizer.state.ema.shadow[i], 1e-5);
  }
}

TEST(LcdStep, EqualsThePublishedAlgorithmWithNoisePrediction) {
  check_step({"eps", diffusion::Prediction::kEpsilon, LcdLoss::kHuber, true});
}
TEST(LcdStep, EqualsThePublishedAlgorithmWithVelocityPrediction) {
  check_step({"v", diffusion::Prediction::kV, LcdLoss::kL2, true});
}
TEST(LcdStep, EqualsThePublishedAlgorithmWithoutTheGuidanceEmbedding) {
  check_step({"fixed", diffusion::Prediction::kEpsilon, LcdLoss::kHuber, false});
}

// ---- the student ----

TEST(Student, WithAFreshGuidanceEmbeddingIsTheTeacherForEveryW) {
  auto generator = at::detail::createCPUGenerator(3);
  const diffusion::Network teacher = diffusion::make_unet(tests::tiny_unet_config(), generator);
  const diffusion::Network student = finetune::make_student(teacher, 16);
  const at::Tensor x = at::randn({2, 4, 8, 8}, generator), hidden = at::randn({2, 3, 8}, generator),
                   t = at::tensor({19, 999}, at::kLong);
  const LcdSchedule schedule = sd_schedule();
  const diffusion::Conditioning conditions{.text = {hidden, {}},
                                           .guidance_w = at::tensor({3.0, 9.0}, at::kFloat)};
  EXPECT_TRUE(at::equal(finetune::consistency(student, schedule, x, t, conditions),
                        finetune::consistency(teacher, schedule, x, t, conditions)));
}

}  // namespace
