#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/error.hpp"
#include "data/json.hpp"
#include "tools/bench/flops.hpp"
#include "tools/bench/measure.hpp"
#include "tools/commands.hpp"

namespace {

TEST(FlopCounter, MatrixProductsByHand) {
  const at::Tensor a = at::ones({3, 5}), b = at::ones({5, 7});
  const bench::FlopCounter counter;
  at::mm(a, b);
  EXPECT_EQ(counter.flops(), 2 * 3 * 5 * 7);
  at::bmm(at::ones({2, 3, 5}), at::ones({2, 5, 7}));
  EXPECT_EQ(counter.flops(), 3 * 2 * 3 * 5 * 7);
  at::linear(a, at::ones({7, 5}), at::ones({7}));
  EXPECT_EQ(counter.flops(), 4 * 2 * 3 * 5 * 7);
}

TEST(FlopCounter, ConvolutionsAndTheirGradients) {
  const at::Tensor x = at::ones({2, 3, 8, 8}).requires_grad_(true);
  const at::Tensor w = at::ones({4, 3, 3, 3}).requires_grad_(true);
  const int64_t once = 2 * (2 * 4 * 4 * 4) * (3 * 3 * 3);
  at::Tensor y;
  {
    const bench::FlopCounter counter;
    y = at::conv2d(x, w, {}, /*stride=*/2, /*padding=*/1);  // [2, 4, 4, 4]
    EXPECT_EQ(counter.flops(), once);
  }
  const bench::FlopCounter counter;
  y.sum().backward();
  EXPECT_EQ(counter.flops(), 2 * once);  // towards the input, and towards the weight
}

TEST(FlopCounter, ElementwiseWorkCountsNothing) {
  const bench::FlopCounter counter;
  at::ones({64}).exp().sum();
  EXPECT_EQ(counter.flops(), 0);
}

TEST(Median, OfOddAndEvenCounts) {
  EXPECT_EQ(bench::median({3, 1, 2}), 2);
  EXPECT_EQ(bench::median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(bench::median({7}), 7);
}

TEST(Measure, RunsOnceMoreThanItTimes) {
  int runs = 0;
  const auto result = bench::measure({"work", 2,
                                      [&] {
                                        ++runs;
                                        at::mm(at::ones({8, 8}), at::ones({8, 8}));
                                      }},
                                     3);
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(result.flops, 2 * 8 * 8 * 8);
  EXPECT_LE(result.least, result.median);
  EXPECT_LE(result.median, result.most);
}

TEST(Measure, TableAndJsonTellTheSame) {
  const bench::Machine machine{.processor = "a CPU", .threads = 2, .load = 0.5, .ceiling = 100e9};
  const std::vector<bench::Measurement> results{{.name = "UNet forward",
                                                 .batch = 8,
                                                 .median = 0.1,
                                                 .least = 0.09,
                                                 .most = 0.2,
                                                 .flops = 5e9,
                                                 .peak_mb = 300}};
  const auto stage = data::parse_json(bench::json(machine, results))["stages"][0];
  EXPECT_DOUBLE_EQ(stage["gflop_per_s"].get<double>(), 50);
  EXPECT_DOUBLE_EQ(stage["share_of_matmul"].get<double>(), 0.5);
  const std::string table = bench::table(machine, results);
  EXPECT_NE(table.find("100.0 ms"), std::string::npos);
  EXPECT_NE(table.find("50 %"), std::string::npos);
}

TEST(Bench, BadInputIsNamed) {
  EXPECT_THROW(tools::cmd_bench({"--model", "/nowhere"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"--repeats", "0"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"folder"}), data::BadInput);
}

}  // namespace
