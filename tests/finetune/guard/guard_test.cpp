#include "finetune/guard/guard.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "finetune/guard/records.hpp"
#include "tests/finetune/guard/evidence.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

using guard::State;

double figure(const guard::Verdict& verdict, const std::string& name) {
  for (const auto& [key, value] : verdict.figures) {
    if (key == name) return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// A state after the start, at which nothing is flagged.
guard::GuardState started(const guard::Measures& start, int64_t held_out = 1) {
  guard::GuardState state;
  const auto verdict = guard::judge(state, guard::ordinary_options(held_out), start,
                                    guard::pairs_of_images(start.trained.size(0) / 2), 0);
  EXPECT_EQ(verdict.state, State::kFine);
  EXPECT_EQ(verdict.accepted_step, 0);
  return state;
}

// The verdict on `now` of 16 prompts.
guard::Verdict judged(guard::GuardState& state, const guard::Measures& now, int64_t step) {
  return guard::judge(state, guard::ordinary_options(now.held_out.size(1)), now,
                      guard::pairs_of_images(16), step);
}

guard::Verdict verdict_on(const guard::Measures& now) {
  guard::GuardState state =
      started(guard::ordinary(16, now.held_out.size(1)), now.held_out.size(1));
  return judged(state, now, 10);
}

TEST(Guard, CallsAProvenFallGamedWhereTheTrainedRewardRises) {
  guard::Measures now = guard::ordinary(16);
  now.trained = now.trained + 1;
  now.held_out = now.held_out - 0.4;
  const auto verdict = verdict_on(now);
  EXPECT_EQ(verdict.state, State::kStop);
  EXPECT_EQ(verdict.kind, "gamed");
  EXPECT_NEAR(figure(verdict, "guard/fall"), 0.4, 1e-12);
  EXPECT_NEAR(figure(verdict, "guard/trained"), 1, 1e-12);
  EXPECT_NEAR(figure(verdict, "guard/held_out/other0"), -0.4, 1e-12);
  EXPECT_EQ(figure(verdict, "guard/state"), 3);
  EXPECT_EQ(guard::verdict_text(verdict),
            "guard: stop (gamed): the held-out rewards moved by -0.40 deviations (standard error "
            "0.00, 16 prompts, a proven fall), the trained ones by +1.00; accepted/ keeps step 0");
  EXPECT_EQ(verdict.worst.size(), 8u);
}

TEST(Guard, CallsItCollapsedWhereBothFall) {
  guard::Measures now = guard::ordinary(16);
  now.trained = now.trained - 1;
  now.held_out = now.held_out - 1;
  EXPECT_EQ(verdict_on(now).kind, "collapsed");
}

TEST(Guard, WarnsOfAProvenFallOfMoreThanHalfTheTolerance) {
  guard::Measures now = guard::ordinary(16);
  now.held_out = now.held_out - 0.12;
  EXPECT_EQ(verdict_on(now).state, State::kFine);
  now.held_out = now.held_out - 0.08;
  const auto verdict = verdict_on(now);
  EXPECT_EQ(verdict.state, State::kWarn);
  EXPECT_NE(verdict.reason.find("within the tolerance of 0.25"), std::string::npos);
}

// Half of the prompts fall by 3 and half rise by 2.1: a fall of 0.45 at a standard error of 0.66.
TEST(Guard, WarnsOfAFallThatIsNotProven) {
  guard::Measures now = guard::ordinary(16);
  now.held_out = now.held_out - 3;
  now.held_out.narrow(0, 0, 16) += 5.1;
  const auto verdict = verdict_on(now);
  EXPECT_EQ(verdict.state, State::kWarn);
  EXPECT_EQ(verdict.reason.find("proven"), std::string::npos);
}

// Of 16 prompts, half fall by 1.4 and half rise by 0.4: -0.5 at a standard error of 0.23, which
// t(0.95, 15) = 1.75 proves and t(0.995, 15) = 2.95, the level of ten evaluations, does not.
TEST(Guard, StopsAtTheSecondEvaluationInARowThatOneTestProves) {
  guard::Measures down = guard::ordinary(16), up = guard::ordinary(16);
  down.held_out = down.held_out - 1.4;
  down.held_out.narrow(0, 0, 16) += 1.8;
  guard::GuardState state = started(guard::ordinary(16));
  EXPECT_EQ(judged(state, down, 1).state, State::kWarn);
  EXPECT_EQ(judged(state, up, 2).state, State::kFine);
  EXPECT_EQ(judged(state, down, 3).state, State::kWarn);
  const auto verdict = judged(state, down, 4);
  EXPECT_EQ(verdict.state, State::kStop);
  EXPECT_NE(verdict.reason.find("beyond the tolerance for the second time in a row"),
            std::string::npos);
  EXPECT_EQ(verdict.accepted_step, 2);
}

TEST(Guard, StopsAtASecondLossOfPromptsInARow) {
  const guard::Measures start = guard::ordinary(16, 2);
  guard::Measures down = guard::ordinary(16, 2);
  down.held_out.select(1, 0) += 2;
  down.held_out.select(1, 1) -= 1.4;
  down.held_out.select(1, 1).narrow(0, 0, 16) += 1.8;
  guard::GuardOptions options = guard::ordinary_options(2);
  options.read_prompts = {1};
  guard::GuardState state;
  guard::judge(state, options, start, guard::pairs_of_images(16), 0);
  EXPECT_EQ(guard::judge(state, options, down, guard::pairs_of_images(16), 1).state, State::kWarn);
  EXPECT_EQ(guard::judge(state, options, down, guard::pairs_of_images(16), 2).state, State::kStop);
}

// One of two is no majority: its fall of 0.6 leaves a mean that is not down.
TEST(Guard, DoesNotStopWhereHalfOfTheHeldOutRewardsFallFar) {
  guard::Measures now = guard::ordinary(16, 2);
  now.held_out.select(1, 0) -= 0.6;
  now.held_out.select(1, 1) += 0.6;
  EXPECT_EQ(verdict_on(now).state, State::kFine);
}

TEST(Guard, IsNotMovedByOneHeldOutRewardThatRisesWhileTwoFallFar) {
  guard::Measures now = guard::ordinary(16, 3);
  now.held_out.select(1, 0) += 3;
  now.held_out.narrow(1, 1, 2) -= 0.6;
  const auto verdict = verdict_on(now);
  EXPECT_EQ(verdict.state, State::kStop);  // a large fall of most, though the mean rose
  now.held_out.narrow(1, 1, 2) += 0.3;
  EXPECT_EQ(verdict_on(now).state, State::kFine);
}

// Two tastes rise by 1, one reward that reads the prompt falls by 0.4: the mean is up by 0.53.
TEST(Guard, StopsWherePromptsAreLessFollowedThoughTastesRise) {
  guard::Measures start = guard::ordinary(16, 3), now = start;
  now.trained = now.trained + 1;
  now.held_out = now.held_out + 1;
  now.held_out.select(1, 2) -= 1.4;
  guard::GuardOptions options = guard::ordinary_options(3);
  const auto verdict_by = [&](const std::vector<int64_t>& read_prompts) {
    options.read_prompts = read_prompts;
    guard::GuardState state;
    guard::judge(state, options, start, guard::pairs_of_images(16), 0);
    return guard::judge(state, options, now, guard::pairs_of_images(16), 10);
  };
  EXPECT_EQ(verdict_by({}).state, State::kFine);
  EXPECT_EQ(verdict_by({0, 1, 2}).state, State::kFine);  // all: they are the held-out rewards
  EXPECT_EQ(verdict_by({1}).state, State::kFine);
  const auto verdict = verdict_by({2});
  EXPECT_EQ(verdict.state, State::kStop);
  EXPECT_NEAR(figure(verdict, "guard/following"), -0.4, 1e-12);
  EXPECT_EQ(guard::verdict_text(verdict),
            "guard: stop (gamed): the held-out rewards that read the prompt moved by -0.40 "
            "deviations (standard error 0.00, 16 prompts, a proven fall), the trained ones by "
            "+1.00; accepted/ keeps step 0");
  now.held_out.select(1, 2) += 0.2;
  EXPECT_EQ(verdict_by({2}).state, State::kWarn);
  now.held_out.select(1, 2) += 0.1;
  EXPECT_EQ(verdict_by({2}).state, State::kFine);
  EXPECT_THROW(verdict_by({3}), c10::Error);
}

TEST(Guard, SaysWhatScoresAreMissing) {
  guard::Measures now = guard::ordinary(16);
  now.held_out = at::full_like(now.held_out, std::numeric_limits<double>::quiet_NaN());
  now.trained.narrow(0, 0, 4).fill_(std::numeric_limits<double>::quiet_NaN());
  const auto verdict = verdict_on(now);
  EXPECT_EQ(verdict.state, State::kWarn);
  EXPECT_NE(verdict.reason.find("56 % of the scores are missing"), std::string::npos)
      << verdict.reason;
}

TEST(Guard, KeepsTheLastEvaluationThatWasNotFlagged) {
  guard::GuardState state = started(guard::ordinary(16));
  guard::Measures now = guard::ordinary(16);
  EXPECT_EQ(judged(state, now, 5).accepted_step, 5);
  now.held_out = now.held_out - 0.2;
  EXPECT_EQ(judged(state, now, 10).accepted_step, 5);
  now.held_out = now.held_out + 0.2;
  EXPECT_EQ(judged(state, now, 15).accepted_step, 15);
}

TEST(Guard, StopsAtTheSecondEvaluationInARowAboveTheBudgetOfKl) {
  guard::GuardState state = started(guard::ordinary(16));
  guard::Measures now = guard::ordinary(16);
  now.kl_nats = 101;
  EXPECT_EQ(judged(state, now, 1).state, State::kWarn);
  now.kl_nats = 99;
  EXPECT_EQ(judged(state, now, 2).state, State::kFine);
  now.kl_nats = 101;
  EXPECT_EQ(judged(state, now, 3).state, State::kWarn);
  const auto verdict = judged(state, now, 4);
  EXPECT_EQ(verdict.state, State::kStop);
  EXPECT_EQ(verdict.kind, "drift");  // neither reward moved
}

TEST(Guard, ComparesWithAControlWhereThereIsOne) {
  guard::GuardState state = started(guard::ordinary(16));
  guard::Measures now = guard::ordinary(16);
  now.held_out = now.held_out - 1;  // and so did the control
  const guard::Reference control{now.trained, now.held_out};
  EXPECT_EQ(
      guard::judge(state, guard::ordinary_options(), now, guard::pairs_of_images(16), 5, &control)
          .state,
      State::kFine);
  EXPECT_EQ(judged(state, now, 5).state, State::kStop);
}

// Three epochs of 8 prompts with 8 images: the held-out score falls as the trained one rises.
bool observe_gamed_epochs(guard::GuardState& state, double slope) {
  auto generator = at::detail::createCPUGenerator(5);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 64; ++i) ids.push_back(i / 8);
  bool asks = false;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const at::Tensor x = at::randn({64}, generator, at::kDouble);
    const at::Tensor y = slope * x + at::randn({64}, generator, at::kDouble);
    asks = guard::observe_epoch(state, guard::ordinary_options(), x, y.unsqueeze(1), ids);
    EXPECT_EQ(asks && epoch < 2, false);
  }
  return asks;
}

TEST(Guard, BrakesOnceWhereTheLeadingSignalIsProvenAndTheHeldOutRewardsAreDown) {
  guard::GuardState state = started(guard::ordinary(16));
  EXPECT_TRUE(observe_gamed_epochs(state, -1));
  guard::Measures now = guard::ordinary(16);
  EXPECT_EQ(judged(state, now, 1).state, State::kWarn);  // not down yet
  now.held_out.narrow(0, 0, 16) -= 0.2;
  now.held_out.narrow(0, 16, 16) += 0.1;
  const auto verdict = judged(state, now, 2);
  EXPECT_EQ(verdict.state, State::kBrake);
  EXPECT_LT(figure(verdict, "guard/cov/other0"), -0.5);
  state.braked = true;
  EXPECT_EQ(judged(state, now, 3).state, State::kWarn);
}

TEST(Guard, AsksForFewEvaluationsAndForNoneWhereRewardsAgree) {
  guard::GuardState state = started(guard::ordinary(16));
  EXPECT_FALSE(observe_gamed_epochs(state, 1));
  state.epochs.clear();
  for (int64_t k = 0; k < guard::kEarlyEvaluations; ++k) {
    EXPECT_TRUE(observe_gamed_epochs(state, -1));
    state.epochs.clear();
  }
  EXPECT_FALSE(observe_gamed_epochs(state, -1));
}

TEST(Guard, GoesOnFromItsFileAsFromItself) {
  guard::GuardState state = started(guard::ordinary(16));
  observe_gamed_epochs(state, -0.7);
  state.before = {.kl_over = true, .held_out_down = true, .following_down = true};
  const auto file = tests::fresh_folder("guard") / "guard.safetensors";
  guard::save_guard(file, state);
  guard::GuardState loaded = guard::load_guard(file, 1);
  guard::Measures now = guard::ordinary(16);
  now.held_out = now.held_out - 0.2;
  now.kl_nats = 200;
  EXPECT_TRUE(loaded.before.kl_over && loaded.before.held_out_down && loaded.before.following_down);
  const auto expected = judged(state, now, 7), found = judged(loaded, now, 7);
  EXPECT_EQ(guard::verdict_line(found), guard::verdict_line(expected));
  EXPECT_EQ(found.figures, expected.figures);
  EXPECT_EQ(loaded.early, 1);
  EXPECT_FALSE(guard::load_guard(file.string() + ".none", 1).start);
  EXPECT_NE(refusal([&] { guard::load_guard(file, 2); }).find("held-out rewards"),
            std::string::npos);
  data::write_safetensors(file, {});
  EXPECT_NE(refusal([&] { guard::load_guard(file, 1); }).find("counts"), std::string::npos);
}

// ---- how often it is wrong ----------------------------------------------------------------------

// Ten evaluations of a run, of `prompts` prompts: a prompt's change has a deviation of 0.64, of
// which 70 % of the variance stays from evaluation to evaluation; from the second evaluation on the
// mean falls in a straight line to -`harm`. True when the guard stops the run.
bool stops_run(int64_t prompts, int64_t held_out, double harm, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  const auto noise = [&] { return at::randn({prompts, held_out}, generator, at::kDouble); };
  const auto of_images = [](const at::Tensor& by_prompt) {
    return by_prompt.repeat_interleave(2, 0);
  };
  const guard::Measures start = guard::ordinary(prompts, held_out);
  guard::GuardState state = started(start, held_out);
  const at::Tensor lasting = 0.64 * std::sqrt(0.7) * noise();
  for (int64_t e = 1; e <= 10; ++e) {
    guard::Measures now = start;
    const double fall = harm * static_cast<double>(e - 1) / 9;
    now.held_out = start.held_out + of_images(lasting + 0.64 * std::sqrt(0.3) * noise()) - fall;
    now.trained = start.trained + 0.1 * static_cast<double>(e);
    if (guard::judge(state, guard::ordinary_options(held_out), now, guard::pairs_of_images(prompts),
                     e)
            .state == State::kStop)
      return true;
  }
  return false;
}

TEST(Guard, StopsFewHealthyRunsAndMostHackedOnes) {
  constexpr int kRuns = 100;
  int false_alarms = 0, caught = 0, caught_by_more = 0, false_by_more = 0;
  for (uint64_t seed = 0; seed < kRuns; ++seed) {
    false_alarms += stops_run(16, 1, 0, seed);
    caught += stops_run(16, 1, 0.6, 1000 + seed);
  }
  for (uint64_t seed = 0; seed < kRuns / 4; ++seed) {
    false_by_more += stops_run(48, 3, 0, 2000 + seed);
    caught_by_more += stops_run(48, 3, 0.6, 3000 + seed);
  }
  RecordProperty("false_alarms_of_100", false_alarms);
  RecordProperty("caught_of_100", caught);
  EXPECT_LE(false_alarms, 10);
  EXPECT_GE(caught, 80);
  EXPECT_LE(false_by_more, 2);
  EXPECT_EQ(caught_by_more, 25);
}

}  // namespace
