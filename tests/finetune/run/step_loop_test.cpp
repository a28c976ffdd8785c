#include "finetune/run/step_loop.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/base/format.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::BatchResult;

constexpr double kRate = 1e-2;

// A run of adapters without evaluations, whose batches are what `accumulate` says.
struct Loop {
  finetune::TrainingTask task = tests::tiny_task();
  finetune::FinetuneConfig config = tests::tiny_config();
  finetune::RunOptions options;
  std::vector<std::string> said{};
  finetune::Reporter reporter = tests::reporter_into(&said);
  finetune::TrainingRun run;
  finetune::StepLoop loop{};
  int64_t drawn = 0;  // batches
  at::Tensor start;   // the first parameter before the run

  explicit Loop(int64_t steps,
                const std::filesystem::path& folder = tests::fresh_folder("loop"),
                const std::string& resume = "")
      : options(tests::run_options(folder, "prdp", 0, resume)),
        run((config.eval_prompts = 0,
             config.checkpointing_steps = 0,
             config.learning_rate = kRate,
             config.adam_weight_decay = 0,
             finetune::make_training_run(
                 task, config, options, reporter, {.command = "laurel test"}, steps))) {
    loop.max_train_steps = steps;
    loop.report_every = 2;
    loop.accumulate = [this] { return ones(static_cast<double>(++drawn)); };
    start = first().clone();
  }

  at::Tensor first() const { return run.optimizer.state.params[0].value.detach(); }

  // A gradient of ones, under which AdamW without decay moves every parameter by the learning rate.
  BatchResult ones(double loss) {
    for (const auto& param : run.optimizer.state.params)
      param.value.mutable_grad() = at::ones_like(param.value.detach());
    return {.figures = {{"loss", loss}}};
  }

  // Updates of the first parameter since the start, each of the learning rate.
  double moves() const { return (start - first()).mean().item<double>() / kRate; }
};

TEST(StepLoop, LogsTheMeansBetweenTwoLines) {
  Loop test(5);
  test.loop.after_step = [] { return finetune::MetricValues{{"learnt", 3}}; };
  test.loop.state = [&] {
    return finetune::MetricValues{{"queries", static_cast<double>(10 * test.drawn)}};
  };
  test.loop.words = [](const auto& means) { return data::formatted("!%.1f", means.at("learnt")); };
  const auto result = run_steps(test.run, test.loop);
  EXPECT_EQ(result.steps, 5);
  EXPECT_NEAR(test.moves(), 5, 1e-3);
  const auto lines = tests::metrics(test.options.folder, false);
  ASSERT_EQ(lines.size(), 3u);  // of steps 1 and 2, 3 and 4, 5
  const double losses[] = {1.5, 3.5, 5}, queries[] = {20, 40, 50};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(lines[i]["loss"].get<double>(), losses[i]);
    EXPECT_EQ(lines[i]["queries"].get<double>(), queries[i]);
    EXPECT_EQ(lines[i]["learnt"].get<double>(), 3);
    EXPECT_EQ(lines[i]["lr"].get<double>(), kRate);
    EXPECT_GT(lines[i]["grad_norm"].get<double>(), 1);
  }
  ASSERT_FALSE(test.said.empty());
  EXPECT_TRUE(test.said[0].starts_with("step 2: loss 1.50000!3.0, ")) << test.said[0];
}

// The second half begins between two lines.
TEST(StepLoop, ALineOfAResumedRunHoldsTheMeansOfBothHalves) {
  const auto folder = tests::fresh_folder("halves");
  for (const std::string resume : {"", "latest"}) {
    Loop test(4, folder, resume);
    test.loop.report_every = 3;
    test.drawn = resume.empty() ? 0 : 2;
    test.options.stop_requested = [&] { return resume.empty() && test.drawn == 2; };
    run_steps(test.run, test.loop);
  }
  const auto lines = tests::metrics(folder, false);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["loss"].get<double>(), 2);  // of 1, 2, 3
  EXPECT_EQ(lines[0]["step"].get<int>(), 3);
  EXPECT_EQ(lines[1]["loss"].get<double>(), 4);
}

TEST(StepLoop, ALossThatIsNotFiniteGoesBackToTheCopyAndIsCounted) {
  Loop test(4);
  int64_t good_before = -1;
  test.loop.accumulate = [&]() -> BatchResult {
    if (++test.drawn != 3) return test.ones(1);
    good_before = static_cast<int64_t>(test.run.good.has_value());
    test.ones(1);
    return {.figures = {}, .fault = "the loss"};
  };
  const auto result = run_steps(test.run, test.loop);
  EXPECT_EQ(good_before, 1);
  EXPECT_EQ(result.epochs, 4);
  EXPECT_EQ(result.steps, 3);  // of the optimizer
  EXPECT_EQ(result.lost_epochs, 1);
  EXPECT_NEAR(test.moves(), 1, 1e-3);  // the copy is of the start; then the fourth step
  EXPECT_EQ(test.said[1], "epoch 3: the loss is not finite: back to the last good parameters");
}

TEST(StepLoop, ACopyIsMadeEvery20Steps) {
  Loop test(22);
  test.loop.accumulate = [&]() -> BatchResult {
    if (++test.drawn == 22) return {.figures = {}, .fault = "the loss"};
    return test.ones(1);
  };
  EXPECT_EQ(run_steps(test.run, test.loop).lost_epochs, 1);
  EXPECT_NEAR(test.moves(), 20, 1e-2);
}

TEST(StepLoop, TooManyLostEndInOneLine) {
  Loop test(9);
  test.loop.accumulate = [&]() -> BatchResult {
    if (++test.drawn > 1) return {.figures = {}, .fault = "the loss"};
    return test.ones(1);
  };
  std::string message;
  try {
    run_steps(test.run, test.loop);
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  EXPECT_EQ(message,
            "laurel test: the loss was not finite in 3 of 20 steps; lower the learning rate");
  EXPECT_EQ(test.drawn, 4);
}

TEST(StepLoop, RefusesAModelThatIsFaultyFromTheStart) {
  Loop test(3);
  test.loop.accumulate = [] { return BatchResult{.figures = {}, .fault = "the loss"}; };
  EXPECT_EQ(refusal([&] { run_steps(test.run, test.loop); }),
            "model: expected finite images, found values that are not, in the loss; check the "
            "checkpoint");
}

TEST(StepLoop, AGradientThatIsNotFiniteSkipsTheStep) {
  Loop test(3);
  test.loop.accumulate = [&] {
    const BatchResult batch = test.ones(1);
    if (++test.drawn == 2)
      test.run.optimizer.state.params[0].value.mutable_grad().fill_(
          std::numeric_limits<float>::infinity());
    return batch;
  };
  const auto result = run_steps(test.run, test.loop);
  EXPECT_EQ(result.skipped_steps, 1);
  EXPECT_EQ(result.lost_epochs, 0);
  EXPECT_EQ(result.steps, 2);
  EXPECT_NEAR(test.moves(), 2, 1e-3);
  EXPECT_TRUE(test.said[0].starts_with("step 2: the gradient of ")) << test.said[0];
}

TEST(StepLoop, StopsWhenAskedTo) {
  Loop test(9);
  test.options.stop_requested = [&] { return test.drawn == 2; };
  const auto result = run_steps(test.run, test.loop);
  EXPECT_EQ(result.stopped, "asked to");
  EXPECT_EQ(result.epochs, 2);
  EXPECT_TRUE(std::filesystem::exists(test.options.folder / "checkpoint-2/state.safetensors"));
}

}  // namespace
