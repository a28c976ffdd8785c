#include "rewards/combine/statistics.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "tests/support/refusal.hpp"

namespace {

at::Tensor rows(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}

TEST(Statistics, AreWrittenReadAndTiedToTheirData) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_statistics.json";
  const at::Tensor x = rows({1, 5, 3, 9}, 2);
  const auto measured = rewards::measure_statistics({"a", "b"}, x);
  data::write_file(path, rewards::statistics_text(measured));
  const auto read = rewards::read_statistics(path, {"b", "a"});  // asked in another order
  EXPECT_EQ(read.digest, measured.digest);
  EXPECT_EQ(measured.digest.size(), 64u);
  EXPECT_NE(rewards::measure_statistics({"a", "b"}, x + 1e-9).digest, measured.digest);
  EXPECT_NEAR(rewards::standardised(read.moments, rows({11, 4}, 2))[0][0].item<double>(), 2, 1e-12);
  EXPECT_NEAR(rewards::standardised(read.moments, rows({11, 4}, 2))[0][1].item<double>(), 2, 1e-12);
  EXPECT_NE(refusal([&] { rewards::read_statistics(path, {"c"}); }).find("mean and std of c"),
            std::string::npos);
  data::write_file(path, "{}");
  EXPECT_NE(refusal([&] { rewards::read_statistics(path, {"a"}); }).find("--save-statistics"),
            std::string::npos);
  EXPECT_NE(refusal([] { rewards::measure_statistics({"a"}, rows({1}, 1)); }).find("at least two"),
            std::string::npos);
}

}  // namespace
