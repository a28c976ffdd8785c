#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/error.hpp"
#include "data/json.hpp"
#include "tools/bench/measure.hpp"
#include "tools/bench/shapes.hpp"
#include "tools/commands.hpp"

namespace {

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

TEST(Measure, AColdRunIsTheOneThatIsTimed) {
  int runs = 0;
  const auto result = bench::measure({"work", 2,
                                      [&] {
                                        ++runs;
                                        at::mm(at::ones({8, 8}), at::ones({8, 8}));
                                      },
                                      3.5},
                                     1, /*cold=*/true);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(result.flops, 2 * 8 * 8 * 8);
  EXPECT_EQ(result.weights_mb, 3.5);
}

TEST(BenchShapes, EachStageRuns) {
  for (const auto& plan : bench::make_shape_stages({.shape = "tiny", .resolution = 64})) {
    const auto result = bench::measure(plan.make(), 1, true);
    EXPECT_EQ(result.name, plan.name);
    EXPECT_GT(result.flops, 1e5);
    EXPECT_GT(result.weights_mb, 0);
  }
}

TEST(BenchShapes, CheckpointingTakesAForwardPassMore) {
  const auto flops = [](bool checkpointing) {
    const auto plans = bench::make_shape_stages(
        {.shape = "tiny", .resolution = 64, .gradient_checkpointing = checkpointing});
    return bench::measure(plans[2].make(), 1, true).flops;
  };
  const double plain = flops(false), recomputed = flops(true);
  EXPECT_GT(recomputed, 1.2 * plain);
  EXPECT_LT(recomputed, 1.7 * plain);
}

TEST(BenchShapes, BadInputIsNamed) {
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd16"}), data::BadInput);
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd15", .resolution = 500}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"--shape", "sd16"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"--shape", "sd15", "--resolution", "100"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"--shape", "sd15", "--model", "x"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"--shape", "tiny", "--only", "text"}), data::BadInput);
}

TEST(Bench, BadInputIsNamed) {
  EXPECT_THROW(tools::cmd_bench({"--model", "/nowhere"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"--repeats", "0"}), data::BadInput);
  EXPECT_THROW(tools::cmd_bench({"folder"}), data::BadInput);
}

}  // namespace
