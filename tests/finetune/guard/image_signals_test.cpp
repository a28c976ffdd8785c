// The signals that look at images and models, and the statistics of images.

#include <gtest/gtest.h>

#include <cmath>

#include "finetune/guard/image_statistics.hpp"
#include "tests/finetune/guard/evidence.hpp"

namespace {

using guard::Measures;
using guard::State;

State state_of(const guard::Signal& signal, const Measures& now) {
  const Measures start = guard::ordinary(8);
  const auto options = guard::ordinary_options();
  const auto ids = guard::pairs_of_images(8);
  const guard::PairedChange none;
  return signal
      .judge({.options = options,
              .start = start,
              .now = now,
              .prompt_ids = ids,
              .trained = none,
              .held_out = none,
              .following = none})
      .state;
}

int64_t column_of(const std::string& name) {
  const auto& rows = guard::image_statistics();
  for (size_t s = 0; s < rows.size(); ++s) {
    if (rows[s].name == name) return static_cast<int64_t>(s);
  }
  return -1;
}

TEST(Signals, AllFindAnOrdinaryEvaluationFine) {
  for (const auto& signal : guard::signals())
    EXPECT_EQ(state_of(signal, guard::ordinary(8)), State::kFine) << signal.name;
}

TEST(Signals, DiversityWarnsAndThenStops) {
  Measures now = guard::ordinary(8);
  for (const auto& [diversity, state] : {std::pair{0.13, State::kFine},
                                         {0.11, State::kWarn},
                                         {0.071, State::kWarn},
                                         {0.069, State::kStop},
                                         {Measures::kNone, State::kFine}}) {
    now.diversity = diversity;
    EXPECT_EQ(state_of(guard::kDiversitySignal, now), state) << diversity;
  }
}

TEST(Signals, MembersWarnAtTwiceTheirDisagreement) {
  Measures now = guard::ordinary(8);
  now.disagreement = 0.19;
  EXPECT_EQ(state_of(guard::kMembersSignal, now), State::kFine);
  now.disagreement = 0.21;
  EXPECT_EQ(state_of(guard::kMembersSignal, now), State::kWarn);
}

TEST(Signals, ImagesWarnOfAFarShiftAndOfBurntOutPixels) {
  Measures now = guard::ordinary(8);
  now.statistics.select(1, column_of("jpeg_kb")) += 2;
  EXPECT_EQ(state_of(guard::kImagesSignal, now), State::kFine);
  now.statistics.select(1, column_of("jpeg_kb")) += 2;
  EXPECT_EQ(state_of(guard::kImagesSignal, now), State::kWarn);
  now = guard::ordinary(8);
  now.statistics.select(1, column_of("clipped")).fill_(0.04);
  EXPECT_EQ(state_of(guard::kImagesSignal, now), State::kFine);
  now.statistics.select(1, column_of("clipped")).fill_(0.06);
  EXPECT_EQ(state_of(guard::kImagesSignal, now), State::kWarn);
}

TEST(Signals, DegenerationWarnsOfTiesAndOfOneImageForAllPrompts) {
  Measures now = guard::ordinary(8);
  now.trained.narrow(0, 0, 8).zero_();  // 4 of 8 prompts
  EXPECT_EQ(state_of(guard::kDegenerationSignal, now), State::kWarn);
  now = guard::ordinary(8);
  now.nearest.narrow(0, 0, 4).fill_(0.1);  // a quarter
  EXPECT_EQ(state_of(guard::kDegenerationSignal, now), State::kFine);
  now.nearest.narrow(0, 0, 5).fill_(0.1);
  EXPECT_EQ(state_of(guard::kDegenerationSignal, now), State::kWarn);
}

TEST(NearestElsewhere, LooksAtOtherPromptsOnly) {
  const at::Tensor features = at::tensor({1.0, 0.0, 2.0, 0.0, 0.0, 3.0}).view({3, 2});
  const at::Tensor nearest = guard::nearest_elsewhere(features, {0, 0, 1});
  EXPECT_TRUE(at::allclose(nearest, at::ones({3}, at::kDouble)));
  EXPECT_NEAR(guard::nearest_elsewhere(features, {0, 1, 2})[0].item<double>(), 0, 1e-6);
  EXPECT_TRUE(std::isnan(guard::nearest_elsewhere(features, {4, 4, 4})[1].item<double>()));
  EXPECT_THROW(guard::nearest_elsewhere(features, {0}), c10::Error);
}

// Left half black, right half white.
TEST(ImageStatistics, AreThoseOfAPictureByHand) {
  at::Tensor image = at::zeros({1, 3, 4, 4});
  image.slice(3, 2, 4).fill_(1);
  const at::Tensor row = guard::measure_statistics(image)[0];
  const auto value = [&](const std::string& name) { return row[column_of(name)].item<double>(); };
  EXPECT_NEAR(value("luma"), 0.5, 1e-6);
  EXPECT_NEAR(value("contrast"), 0.5, 1e-6);
  EXPECT_EQ(value("saturation"), 0);
  EXPECT_EQ(value("clipped"), 1);
  EXPECT_NEAR(value("laplacian"), 1, 1e-5);  // +1 and -1 beside the edge
  EXPECT_GT(value("jpeg_kb"), 0.1);
  image.zero_();
  image.select(1, 0).fill_(0.8);
  image.select(1, 1).fill_(0.3);
  image.select(1, 2).fill_(0.2);
  EXPECT_NEAR(guard::measure_statistics(image)[0][column_of("saturation")].item<double>(), 0.6,
              1e-6);
  EXPECT_EQ(guard::clipped_share(image)[0].item<double>(), 0);
  EXPECT_THROW(guard::measure_statistics(at::zeros({3, 4, 4})), c10::Error);
}

}  // namespace
