#include "tools/bench/stages.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "rewards/clip/files.hpp"
#include "tests/support/refusal.hpp"
#include "tools/bench/command.hpp"
#include "tools/bench/measure.hpp"
#include "tools/bench/random_model.hpp"
#include "tools/bench/shapes.hpp"

namespace {

namespace fs = std::filesystem;

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
                                     {.repeats = 3});
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(result.flops, 2 * 8 * 8 * 8);
  EXPECT_LE(result.least, result.median);
  EXPECT_LE(result.median, result.most);
}

TEST(Measure, TableAndJsonTellTheSame) {
  const bench::MachineInfo machine{
      .device = "a CPU", .precision = "bf16", .threads = 2, .load = 0.5, .ceiling = 100e9};
  const std::vector<bench::Measurement> results{{.name = "UNet forward",
                                                 .batch = 8,
                                                 .median = 0.1,
                                                 .least = 0.09,
                                                 .most = 0.2,
                                                 .usage = {},
                                                 .flops = 5e9,
                                                 .peak_mb = 300}};
  const auto root = data::parse_json(bench::json(machine, results));
  const auto& stage = root["stages"][0];
  EXPECT_EQ(root["device"], "a CPU");
  EXPECT_EQ(root["precision"], "bf16");
  EXPECT_DOUBLE_EQ(stage["gflop_per_s"].get<double>(), 50);
  EXPECT_DOUBLE_EQ(stage["share_of_matmul"].get<double>(), 0.5);
  const std::string table = bench::table(machine, results);
  EXPECT_NE(table.find("100.0 ms"), std::string::npos);
  EXPECT_NE(table.find("50 %"), std::string::npos);
  EXPECT_NE(table.find("bf16 matrix product 100.0 GFLOP/s"), std::string::npos);
}

TEST(Measure, AColdRunIsTheOneThatIsTimed) {
  int runs = 0;
  const auto result = bench::measure({"work", 2,
                                      [&] {
                                        ++runs;
                                        at::mm(at::ones({8, 8}), at::ones({8, 8}));
                                      },
                                      3.5},
                                     {.repeats = 1, .cold = true});
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(result.flops, 2 * 8 * 8 * 8);
  EXPECT_EQ(result.weights_mb, 3.5);
}

TEST(Measure, TheMachineHasAName) {
  EXPECT_EQ(bench::this_machine("a GPU", "fp32").device, "a GPU");
  EXPECT_FALSE(bench::this_machine("", "fp32").device.empty());
}

TEST(BenchShapes, EachStageRuns) {
  for (const char* shape : {"tiny", "tiny-xl", "tiny-sd3", "tiny-flux"}) {
    for (const auto& plan : bench::make_shape_stages({.shape = shape, .resolution = 64})) {
      const auto result = bench::measure(plan.make(), {.repeats = 1, .cold = true});
      EXPECT_EQ(result.name, plan.name);
      EXPECT_GT(result.flops, 1e5);
      EXPECT_GT(result.weights_mb, 0);
    }
  }
}

// Counting without values finds the operations and the weights of the real stages.
TEST(BenchShapes, ForecastsAreOfTheSameWork) {
  for (const char* shape : {"tiny-xl", "tiny-sd3", "tiny-flux"}) {
    const bench::ShapeOptions options{.shape = shape, .resolution = 64};
    const auto plans = bench::make_shape_stages(options);
    const auto forecasts = bench::forecast_shape_stages(options);
    ASSERT_EQ(forecasts.size(), plans.size());
    for (size_t i = 0; i < plans.size(); ++i) {
      const auto result = bench::measure(plans[i].make(), {.repeats = 1, .cold = true});
      EXPECT_EQ(forecasts[i].name, result.name);
      EXPECT_EQ(forecasts[i].batch, result.batch);
      EXPECT_EQ(forecasts[i].flops, result.flops) << shape << " " << result.name;
      EXPECT_NEAR(forecasts[i].weights, result.weights_mb * 1024 * 1024, 1);
      EXPECT_GT(forecasts[i].beside, 0);
    }
  }
}

// Parameters as published, and the operations that the test of each network counts: 2.443 TFLOP of
// Stable Diffusion 3.5 medium at 512 px, 21.50 of FLUX.1 dev.
TEST(BenchShapes, TransformersOfRealSizesAreForecast) {
  const auto sd = bench::forecast_shape_stages({.shape = "sd35m", .resolution = 512});
  EXPECT_EQ(sd[0].name, "transformer");
  EXPECT_EQ(sd[0].batch, 2);  // guided
  EXPECT_NEAR(sd[0].flops, 2 * 2.443e12, 0.05e12);
  EXPECT_NEAR(sd[0].weights, 4 * (2.24e9 + 384 * 384 * 1536), 0.05e9);
  EXPECT_NEAR(sd[1].flops, 2.515e12, 0.05e12);
  const auto flux =
      bench::forecast_shape_stages({.shape = "flux", .resolution = 512, .compute = at::kBFloat16});
  EXPECT_EQ(flux[0].batch, 1);  // the guidance is an input
  EXPECT_NEAR(flux[0].flops, 21.5e12, 0.4e12);
  EXPECT_NEAR(flux[0].weights, 23.8e9, 0.2e9);
}

TEST(BenchShapes, FewerBlocksAreAShareOfTheWhole) {
  const auto of = [](int64_t blocks) {
    return bench::forecast_shape_stages({.shape = "flux", .resolution = 256, .blocks = blocks})[0];
  };
  const auto one = of(1), two = of(2), all = of(0);
  EXPECT_NEAR(of(3).flops - two.flops, two.flops - one.flops, 1e-3 * one.flops);
  EXPECT_NEAR(of(3).weights - two.weights, two.weights - one.weights, 1);
  EXPECT_EQ(of(38).weights, all.weights);
  EXPECT_LT(one.weights, all.weights / 20);
}

// No machine has the memory for a block of FLUX.1 at 65,536 pixels a side.
TEST(BenchShapes, WhatDoesNotFitInMemoryIsRefusedBeforeItIsMade) {
  const auto plans = bench::make_shape_stages({.shape = "flux", .resolution = 65536, .blocks = 1});
  const std::string said = refusal([&] { plans[0].make(); });
  EXPECT_NE(said.find("memory: flux, stage transformer: expected "), std::string::npos) << said;
  EXPECT_NE(said.find(" free; nothing smaller fits"), std::string::npos) << said;
}

// A written model is read back unchanged, with its CLIP.
TEST(RandomModelFiles, IsSavedAsACheckpoint) {
  for (const char* shape : {"tiny", "tiny-xl", "tiny-sd3"}) {
    const fs::path folder = fs::path(testing::TempDir()) / (std::string("random_") + shape);
    fs::remove_all(folder);
    const auto model = bench::make_random_model(shape, 0);
    bench::save_random_model(folder, model);
    const auto read = diffusion::load_pipeline(folder);
    EXPECT_EQ(read.class_name, model.pipeline.class_name);
    EXPECT_EQ(diffusion::native_size(read), 64);
    const auto written = diffusion::tensors_of(model.pipeline.network).tensors;
    for (const auto& [name, tensor] : diffusion::tensors_of(read.network).tensors)
      EXPECT_TRUE(at::allclose(tensor, written.at(name), 1e-3, 1e-4)) << name;
    EXPECT_EQ(rewards::load_clip(folder / "clip").vision.config.patch_size, 14);
    const int64_t t5_rows = read.t5_text ? read.t5_text->max_sequence_length : 0;
    EXPECT_EQ(diffusion::encode_prompts(read, {"a red circle"}).hidden.size(1), 77 + t5_rows);
  }
}

// All stages of a complete model run, including an update of two images, which form one pair.
class RandomModel : public testing::TestWithParam<const char*> {};

TEST_P(RandomModel, HasEveryStage) {
  const auto model = bench::make_random_model(GetParam(), 0);
  const std::optional<rewards::Clip> clip = model.clip;
  bench::StageOptions options;
  options.images = options.steps = options.update_steps = 2;
  options.gradient_checkpointing = true;
  options.train = "lora";
  const std::set<std::string> wanted{
      "sampling",           "guided sampling", "guided sampling: passes alone",
      "PRDP update",        "DRaFT step",      "RG-LCD step",
      "CLIP image features"};
  int found = 0;
  for (const auto& plan : bench::make_stages(model.pipeline, clip, options)) {
    if (!wanted.contains(plan.name)) continue;
    ++found;
    const auto result = bench::measure(plan.make(), {.repeats = 1, .cold = true});
    EXPECT_GT(result.flops, 1e4) << plan.name;
  }
  // Sampling of one and of two; a transformer of flow matching is not distilled.
  EXPECT_EQ(found, model.pipeline.scheduler.flow ? 7 : 8);
}

INSTANTIATE_TEST_SUITE_P(Families, RandomModel, testing::Values("tiny-xl", "tiny-sd3"));

TEST(RandomModelFiles, FitsTheResolutionThatIsAsked) {
  EXPECT_EQ(diffusion::native_size(bench::make_random_model("tiny", 128).pipeline), 128);
  EXPECT_THROW(bench::make_random_model("tiny", 100), data::BadInput);
  EXPECT_THROW(bench::make_random_model("huge", 0), data::BadInput);
  EXPECT_THROW(bench::make_random_model("tiny-flux", 0), data::BadInput);  // without T5
}

TEST(BenchShapes, BadInputIsNamed) {
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd16"}), data::BadInput);
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd15", .resolution = 500}), data::BadInput);
  EXPECT_THROW(bench::make_shape_stages({.shape = "flux", .resolution = 520}), data::BadInput);
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd15", .blocks = 2}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--dry_run"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--shape", "sd16"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--shape", "sd15", "--resolution", "100"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--shape", "sd15", "--model", "x"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--shape", "tiny", "--only", "nothing"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--save_model", "x"}), data::BadInput);
}

TEST(Bench, BadInputIsNamed) {
  EXPECT_THROW(tools::kBench.run({"--model", "/nowhere"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"--repeats", "0"}), data::BadInput);
  EXPECT_THROW(tools::kBench.run({"folder"}), data::BadInput);
}

}  // namespace
