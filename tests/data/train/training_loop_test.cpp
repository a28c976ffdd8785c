#include "data/train/training_loop.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <stdexcept>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

// One number as a network.
struct Number {
  at::Tensor value = at::zeros({1});
};
template <class F>
void for_each_tensor(Number& number, const std::string& prefix, F&& f) {
  f(prefix + "value", number.value);
}

train::LoopOptions options_at(const std::string& name) {
  const fs::path folder = tests::fresh_folder(name);
  return {.output_dir = folder,
          .max_train_steps = 6,
          .learning_rate = 0.5,
          .lr_warmup_steps = 3,
          .ema_decay = 0.5,
          .logging_steps = 2,
          .validation_steps = 3,
          .checkpointing_steps = 4};
}

// Adds 1 in every update, with a gradient of 1.
void count_up(train::Loop& loop) {
  at::Tensor& value = loop.state.params[0].value;
  value.mutable_grad() = at::ones({1});
  train::finish_update(loop, 2, [&] { value.detach().add_(1); });
}

TEST(Loop, WarmsUpByALineAndDecaysByALine) {
  train::Loop loop = train::new_loop(options_at("rates"));
  for (const double rate : {0.125, 0.25, 0.375, 0.5, 0.5}) {
    EXPECT_DOUBLE_EQ(train::warm_rate(loop), rate);
    ++loop.step;
  }
  EXPECT_EQ(train::linear_decay(0.3, 0.6), 1.0);
  EXPECT_DOUBLE_EQ(train::linear_decay(0.8, 0.6), 0.5);
  EXPECT_EQ(train::linear_decay(1.0, 0.6), 0.0);
  EXPECT_EQ(train::linear_decay(1.0, 1.0), 1.0);  // no decay
}

TEST(Loop, CallsEachAtItsStepsAndKeepsTheState) {
  const auto options = options_at("order");
  train::Loop loop = train::new_loop(options);
  Number number;
  train::take_weights(loop, number);
  std::string calls;
  train::run(loop, {.update =
                        [&] {
                          count_up(loop);
                          calls += "u";
                        },
                    .validate = [&] { calls += "v"; },
                    .report =
                        [&] {
                          EXPECT_EQ(loop.images, 4);  // two updates of two images
                          calls += "r";
                        }});
  EXPECT_EQ(calls, "uuruvuruuvr");
  EXPECT_EQ(number.value.item<double>(), 6);
  EXPECT_LT(train::averaged(loop, number).value.item<double>(), 6);
  EXPECT_EQ(number.value.item<double>(), 6);  // the average is put back
  EXPECT_TRUE(fs::exists(options.output_dir / "state.safetensors"));
}

TEST(Loop, GoesOnWithTheSameSettingsAlone) {
  auto options = options_at("resume");
  const auto train_on = [&](const std::string& optimizer) {
    train::Loop loop = train::new_loop(options);
    loop.settings = {{"optimizer", optimizer}};
    Number number;
    train::take_weights(loop, number);
    train::run(loop, {[&] { count_up(loop); }, [] {}, [&] { train::record(loop, false, {}); }});
    return number.value.item<double>();
  };
  EXPECT_EQ(train_on("adamw"), 6);
  EXPECT_THROW(train_on("adamw"), data::BadInput);  // would write over it
  options.resume_from_checkpoint = "latest";
  options.max_train_steps = 8;
  EXPECT_EQ(train_on("adamw"), 8);
  EXPECT_THROW(train_on("muon"), data::BadInput);
  options.learning_rate = 0.4;
  EXPECT_THROW(train_on("adamw"), data::BadInput);
  const std::string metrics = data::read_file(options.output_dir / "metrics.jsonl");
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 4);  // steps 2, 4, 6, 8
}

// The lines of metrics, as their steps.
std::string steps_of(const fs::path& metrics) {
  std::string steps;
  data::for_each_line(metrics, [&](const std::string& line, const std::string&) {
    steps += line.substr(0, line.find(',')) + "}";
  });
  return steps;
}

// A run that ends at the report of step `end`; 0: not. Its last line comes after the last state.
void train_until(const train::LoopOptions& options, int64_t end) {
  train::Loop loop = train::new_loop(options);
  Number number;
  train::take_weights(loop, number);
  train::run(loop, {[&] { count_up(loop); }, [] {},
                    [&] {
                      if (loop.step == end) throw std::runtime_error("ended");
                      train::record(loop, false, {});
                    }});
  train::record(loop, true, {});
}

TEST(Loop, AResumedRunHasEachLineOfMetricsOnce) {
  for (const int64_t end : {2, 4, 6, 0}) {
    auto options = options_at("lines");
    if (end > 0) {
      EXPECT_THROW(train_until(options, end), std::runtime_error);
    } else {
      train_until(options, end);
    }
    options.resume_from_checkpoint = "latest";
    train_until(options, 0);
    EXPECT_EQ(steps_of(options.output_dir / "metrics.jsonl"),
              R"({"step":2}{"step":4}{"step":6}{"step":6})")
        << end;
  }
  // Lines of a run that ended before its first state.
  auto options = options_at("stateless");
  data::append_line(options.output_dir / "metrics.jsonl", R"({"step":1,"loss":2})");
  options.resume_from_checkpoint = "latest";
  train_until(options, 0);
  EXPECT_EQ(steps_of(options.output_dir / "metrics.jsonl"),
            R"({"step":2}{"step":4}{"step":6}{"step":6})");
}

TEST(Loop, SkipsAGradientThatIsNotFinite) {
  train::Loop loop = train::new_loop(options_at("nan"));
  Number number;
  train::take_weights(loop, number);
  number.value.mutable_grad() = at::full({1}, std::numeric_limits<double>::quiet_NaN());
  bool stepped = false;
  EXPECT_TRUE(std::isnan(train::finish_update(loop, 1, [&] { stepped = true; })));
  EXPECT_FALSE(stepped);
  EXPECT_EQ(loop.step, 1);
  number.value.mutable_grad() = at::full({1}, 5.0);
  EXPECT_EQ(train::finish_update(loop, 1, [&] { stepped = true; }), 5.0);
  EXPECT_TRUE(stepped);
  EXPECT_NEAR(number.value.grad().item<double>(), 1.0, 1e-4);  // clipped to max_grad_norm
}

}  // namespace
