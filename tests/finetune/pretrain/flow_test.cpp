#include "finetune/pretrain/flow.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/networks/mmdit/forward.hpp"
#include "diffusion/sampling/sigma_schedule.hpp"
#include "tests/finetune/pretrain/same_network.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/mmdit.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::NoiseSchedule;

constexpr int64_t kTimesteps = 1000;

diffusion::MMDiTConfig tiny_flow_config() {
  diffusion::MMDiTConfig config = tests::tiny_mmdit_config();
  config.pos_embed_max_size = 4;
  config.qk_norm = true;
  return config;
}

finetune::PretrainBatch some_batch(int64_t count, const at::Tensor& t) {
  return {.latents = at::randn({count, 4, 8, 8}),
          .hidden = at::randn({count, 3, 6}),
          .pooled = at::randn({count, 5}),
          .caption = at::arange(count),
          .t = t,
          .noise = at::randn({count, 4, 8, 8})};
}

// Without the adaLN-Zero start, so that every layer counts.
diffusion::Network random_network(uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return diffusion::make_mmdit(tiny_flow_config(), generator);
}

TEST(LogitNormalTimes, AreTheQuantilesOfTheirDistribution) {
  auto generator = at::detail::createCPUGenerator(3), again = at::detail::createCPUGenerator(3);
  const at::Tensor t = finetune::logit_normal_times(2000, 0.5, 0.8, generator);
  const double offset = at::rand({1}, again, at::kDouble).item<double>();
  const at::Tensor z = at::logit(t.to(at::kDouble));
  EXPECT_NEAR(z.mean().item<double>(), 0.5, 5e-3);
  EXPECT_NEAR(z.std().item<double>(), 0.8, 5e-3);
  // by hand: the 501st of 2,000 lies at the quantile (500 + offset) / 2000
  const double place = (z[500].item<double>() - 0.5) / 0.8;
  EXPECT_NEAR(0.5 * std::erfc(-place / std::sqrt(2.0)), (500 + offset) / 2000, 1e-6);
  EXPECT_TRUE(t.diff().ge(0).all().item<bool>());
}

TEST(FlowNetwork, BeginsAsZeroAndItsOutputLearnsFirst) {
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::Network network = finetune::make_flow_network(tiny_flow_config(), generator);
  const auto params = train::parameters_of(network, "");
  const auto batch = some_batch(3, at::rand({3}));
  const at::Tensor loss = finetune::flow_loss(network, batch, kTimesteps, nullptr);
  const at::Tensor target = batch.noise - batch.latents;
  EXPECT_NEAR(loss.item<double>(), target.square().mean().item<double>(), 1e-6);
  loss.backward();
  for (const auto& param : params) {
    const at::Tensor& grad = param.value.grad();
    const bool moves = grad.defined() && grad.abs().max().item<double>() > 0;
    EXPECT_EQ(moves, param.name.starts_with("proj_out")) << param.name;
  }
}

TEST(FlowLoss, IsTheErrorOfTheVelocityAtAThousandTimesT) {
  const auto network = random_network(2);
  const auto batch = some_batch(2, at::tensor({0.25, 0.8}, at::kFloat));
  const at::Tensor x = at::stack({0.75 * batch.latents[0] + 0.25 * batch.noise[0],
                                  0.2 * batch.latents[1] + 0.8 * batch.noise[1]});
  const auto& mmdit = std::get<diffusion::MMDiT>(network);
  const at::Tensor output =
      diffusion::mmdit_forward(mmdit, x, at::tensor({250.0, 800.0}, at::kFloat),
                               diffusion::embed_text(mmdit, batch.hidden), batch.pooled);
  const double expected = (output - (batch.noise - batch.latents)).square().mean().item<double>();
  EXPECT_NEAR(finetune::flow_loss(network, batch, kTimesteps, nullptr).item<double>(), expected,
              1e-5);
}

// A teacher of x0 that knows nothing: its velocity by hand.
finetune::VelocityTeacher some_teacher(double guidance_scale) {
  auto generator = at::detail::createCPUGenerator(5);
  diffusion::SchedulerConfig config;
  return {diffusion::make_unet(tests::tiny_unet_config(), generator),
          diffusion::make_schedule(config), at::randn({3, 12, 8}).to(at::kHalf), guidance_scale};
}

// At a level of the teacher's own schedule the timestep is whole, so that all can be written down.
TEST(TeacherVelocity, IsItsEpsilonLessItsX0AtTheSameRatioOfNoiseToSignal) {
  const auto teacher = some_teacher(1);
  const double bar = teacher.schedule.alphas_cumprod[400];
  const double ratio = std::sqrt((1 - bar) / bar), t = ratio / (1 + ratio);
  const at::Tensor x = at::randn({1, 4, 8, 8});
  const at::Tensor scaled = x / std::sqrt((1 - t) * (1 - t) + t * t);
  const at::Tensor hidden = teacher.hidden.slice(0, 2, 3).to(at::kFloat);
  const at::Tensor epsilon = diffusion::forward(teacher.network, scaled, at::tensor({400}), hidden);
  const at::Tensor x0 = (scaled - std::sqrt(1 - bar) * epsilon) / std::sqrt(bar);
  const at::Tensor found =
      finetune::teacher_velocity(teacher, x, at::tensor({t}, at::kFloat), at::tensor({int64_t{2}}));
  EXPECT_TRUE(at::allclose(found, epsilon - x0, 1e-3, 1e-3))
      << (found - (epsilon - x0)).abs().max();
}

// Of a teacher that says the noise itself, the velocity is that of the data.
TEST(TeacherVelocity, OfTheTrueNoiseIsTheTrueVelocity) {
  const at::Tensor x0 = at::randn({4, 4, 8, 8}), noise = at::randn({4, 4, 8, 8});
  const at::Tensor t = at::tensor({0.1, 0.4, 0.6, 0.9}, at::kFloat).view({4, 1, 1, 1});
  const at::Tensor x = (1 - t) * x0 + t * noise;
  const at::Tensor norm = ((1 - t).square() + t.square()).sqrt();
  const auto said = diffusion::predict(diffusion::Prediction::kEpsilon, {(1 - t) / norm, t / norm},
                                       noise, x / norm);
  EXPECT_TRUE(at::allclose(said.epsilon - said.x0, noise - x0, 1e-4, 1e-4));
}

TEST(TeacherVelocity, OfGuidanceStartsFromTheEmptyCaption) {
  auto teacher = some_teacher(3);
  const at::Tensor x = at::randn({2, 4, 8, 8}), t = at::tensor({0.3, 0.7}, at::kFloat);
  const at::Tensor captions = at::tensor({int64_t{1}, int64_t{2}});
  const at::Tensor guided = finetune::teacher_velocity(teacher, x, t, captions);
  teacher.guidance_scale = 1;
  const at::Tensor plain = finetune::teacher_velocity(teacher, x, t, captions),
                   empty = finetune::teacher_velocity(teacher, x, t, at::zeros_like(captions));
  EXPECT_TRUE(at::allclose(guided, empty + 3 * (plain - empty), 1e-3, 1e-3));
  EXPECT_FALSE(at::allclose(guided, plain, 1e-2, 1e-2));
}

// Beyond the teacher's noisiest level the target is the data's.
TEST(FlowLoss, AsksTheTeacherWhereItsScheduleReaches) {
  const auto network = random_network(2);
  const auto teacher = some_teacher(1);
  const double last = diffusion::training_sigmas(teacher.schedule).back();
  const double edge = last / (1 + last);
  ASSERT_NEAR(edge, 0.936, 2e-3);
  const auto loss = [&](double t, const finetune::VelocityTeacher* from) {
    at::manual_seed(4);
    const auto batch = some_batch(1, at::tensor({t}, at::kFloat));
    return finetune::flow_loss(network, batch, kTimesteps, from).item<double>();
  };
  EXPECT_EQ(loss(edge + 0.01, &teacher), loss(edge + 0.01, nullptr));
  EXPECT_NE(loss(edge - 0.01, &teacher), loss(edge - 0.01, nullptr));
}

finetune::LatentSet some_set() {
  auto generator = at::detail::createCPUGenerator(8);
  const auto half = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::kFloat).to(at::kHalf);
  };
  // Two captions, each with one image.
  return {half({2, 4, 8, 8}), at::full({2, 4, 8, 8}, 0.01, at::kHalf), at::tensor({1, 2}),
          half({3, 3, 6}), half({3, 5})};
}

finetune::PretrainOptions tiny_options(const fs::path& folder, int64_t steps) {
  finetune::PretrainOptions options;
  options.loop.output_dir = folder;
  options.loop.max_train_steps = steps;
  options.loop.train_batch_size = 4;
  options.loop.lr_warmup_steps = 1;
  options.lr_decay_from = 1.0;  // what is left of a run must not depend on where it was cut
  options.loop.validation_steps = options.loop.checkpointing_steps = 2;
  options.optimizer = "muon";
  return options;
}

finetune::PretrainResult trained(const finetune::PretrainOptions& options,
                                 const finetune::FlowObjectiveOptions& flow) {
  const auto set = some_set();
  return finetune::pretrain(options, finetune::flow_objective(flow, {}), {}, set, set, {},
                            [](const std::string&) {});
}

TEST(PretrainFlow, LearnsAndKeepsTheTableOfPositions) {
  auto options = tiny_options(tests::fresh_folder(), 80);
  options.loop.learning_rate = 1e-2;
  options.loop.ema_decay = 0.5;
  options.loop.validation_steps = options.loop.checkpointing_steps = 1000;
  const auto first = trained(tiny_options(tests::fresh_folder("_none"), 1),
                             {.model = tiny_flow_config(), .teacher = {}});
  const auto last = trained(options, {.model = tiny_flow_config(), .teacher = {}});
  EXPECT_LT(last.held_out_loss, 0.8 * first.held_out_loss);
  EXPECT_TRUE(at::equal(std::get<diffusion::MMDiT>(last.network).position_table,
                        diffusion::sincos_positions(tiny_flow_config())));
}

TEST(PretrainFlow, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  const fs::path whole_folder = tests::fresh_folder("_whole"),
                 cut_folder = tests::fresh_folder("_cut");
  finetune::FlowObjectiveOptions flow{
      .model = tiny_flow_config(),
      .teacher = std::make_shared<finetune::VelocityTeacher>(some_teacher(2))};
  auto whole = trained(tiny_options(whole_folder, 8), flow);
  trained(tiny_options(cut_folder, 4), flow);
  auto options = tiny_options(cut_folder, 8);
  EXPECT_THROW(trained(options, flow), data::BadInput);  // not without being told to
  options.loop.resume_from_checkpoint = "latest";
  auto resumed = trained(options, flow);
  EXPECT_EQ(resumed.steps, 8);
  EXPECT_EQ(resumed.held_out_loss, whole.held_out_loss);
  tests::expect_same_network(resumed.network, whole.network);
  flow.teacher = nullptr;
  EXPECT_THROW(trained(options, flow), data::BadInput);  // of another objective
}

}  // namespace
