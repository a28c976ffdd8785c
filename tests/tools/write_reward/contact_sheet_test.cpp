#include "tools/write_reward/contact_sheet.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

TEST(WriteRewardSheet, TakesTheEnds) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto ends = tools::extremes_of(at::tensor({3.0, nan, 1.0, 5.0, 2.0}, at::kDouble), 5);
  EXPECT_EQ(ends.best, (std::vector<int64_t>{3, 0}));
  EXPECT_EQ(ends.worst, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(tools::extremes_of(at::arange(20, at::kDouble), 5).worst,
            (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(tools::extremes_of(at::full({3}, nan, at::kDouble), 5).best.empty());
}

TEST(WriteRewardSheet, ShowsTheBestAboveTheWorst) {
  const auto folder = tests::fresh_folder();
  std::vector<fs::path> files;
  for (int i = 0; i < 4; ++i) {
    files.push_back(folder / (std::to_string(i) + ".png"));
    data::write_png(files.back(), at::full({3, 20, 400}, i / 3.0));
  }
  tools::write_contact_sheet(folder / "sheet.png", files, at::arange(4, at::kDouble));
  const at::Tensor sheet = data::read_image(folder / "sheet.png");
  ASSERT_EQ(sheet.sizes(), (std::vector<int64_t>{3, 2 * (160 + 24), 2 * 160}));
  EXPECT_NEAR(sheet[0][80][80].item<double>(), 1, 0.01);        // the best
  EXPECT_NEAR(sheet[0][184 + 80][80].item<double>(), 0, 0.01);  // the worst
  EXPECT_NEAR(sheet[0][10][80].item<double>(), 0.5, 0.01);      // beside a wide picture
  const at::Tensor label = sheet.narrow(1, 160, 24);
  EXPECT_GT(label.max().item<double>(), 0.8);      // white on black
  EXPECT_EQ(label[0][0].max().item<double>(), 0);  // and not cut off above or below
  EXPECT_EQ(label[0][23].max().item<double>(), 0);
}

}  // namespace
