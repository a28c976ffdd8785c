#include "tools/bench/stages.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "rewards/clip/files.hpp"
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
  auto plans = bench::make_shape_stages({.shape = "tiny", .resolution = 64});
  for (const auto& plan : bench::make_shape_stages({.shape = "tiny-xl", .resolution = 64}))
    plans.push_back(plan);
  for (const auto& plan : plans) {
    const auto result = bench::measure(plan.make(), {.repeats = 1, .cold = true});
    EXPECT_EQ(result.name, plan.name);
    EXPECT_GT(result.flops, 1e5);
    EXPECT_GT(result.weights_mb, 0);
  }
}

TEST(BenchShapes, CheckpointingTakesAForwardPassMore) {
  const auto flops = [](bool checkpointing) {
    const auto plans = bench::make_shape_stages(
        {.shape = "tiny", .resolution = 64, .gradient_checkpointing = checkpointing});
    return bench::measure(plans[2].make(), {.repeats = 1, .cold = true}).flops;
  };
  const double plain = flops(false), recomputed = flops(true);
  EXPECT_GT(recomputed, 1.2 * plain);
  EXPECT_LT(recomputed, 1.7 * plain);
}

// A written model is read back unchanged, with its CLIP.
TEST(RandomModel, IsSavedAsACheckpoint) {
  for (const char* shape : {"tiny", "tiny-xl"}) {
    const fs::path folder = fs::path(testing::TempDir()) / (std::string("random_") + shape);
    fs::remove_all(folder);
    const auto model = bench::make_random_model(shape, 0);
    bench::save_random_model(folder, model);
    const auto read = diffusion::load_pipeline(folder);
    EXPECT_EQ(read.class_name, model.pipeline.class_name);
    EXPECT_EQ(diffusion::native_size(read), 64);
    EXPECT_TRUE(at::allclose(diffusion::unet_of(read.network).conv_in.weight,
                             diffusion::unet_of(model.pipeline.network).conv_in.weight, 1e-3));
    EXPECT_EQ(rewards::load_clip(folder / "clip").vision.config.patch_size, 14);
    EXPECT_EQ(diffusion::encode_prompts(read, {"a red circle"}).hidden.size(1), 77);
  }
}

// All stages of a complete model run, including an update of two images, which form one pair.
TEST(RandomModel, HasEveryStage) {
  const auto model = bench::make_random_model("tiny-xl", 0);
  const std::optional<rewards::Clip> clip = model.clip;
  bench::StageOptions options;
  options.images = options.steps = options.update_steps = 2;
  options.gradient_checkpointing = true;
  const std::set<std::string> wanted{
      "sampling",    "guided sampling", "guided sampling: passes alone",
      "PRDP update", "RG-LCD step",     "CLIP image features"};
  int found = 0;
  for (const auto& plan : bench::make_stages(model.pipeline, clip, options)) {
    if (!wanted.contains(plan.name)) continue;
    ++found;
    const auto result = bench::measure(plan.make(), {.repeats = 1, .cold = true});
    EXPECT_GT(result.flops, 1e4) << plan.name;
  }
  EXPECT_EQ(found, 7);  // sampling of one and of two
}

TEST(RandomModel, FitsTheResolutionThatIsAsked) {
  EXPECT_EQ(diffusion::native_size(bench::make_random_model("tiny", 128).pipeline), 128);
  EXPECT_THROW(bench::make_random_model("tiny", 100), data::BadInput);
  EXPECT_THROW(bench::make_random_model("huge", 0), data::BadInput);
}

TEST(BenchShapes, BadInputIsNamed) {
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd16"}), data::BadInput);
  EXPECT_THROW(bench::make_shape_stages({.shape = "sd15", .resolution = 500}), data::BadInput);
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
