// laurel bench: measures speed and memory of each stage on this machine.

#include "tools/bench/command.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <filesystem>
#include <iostream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/profile/matmul_ceiling.hpp"
#include "rewards/clip/files.hpp"
#include "tools/bench/random_model.hpp"
#include "tools/bench/shapes.hpp"
#include "tools/bench/stages.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kCeilingRepeats = 5;

struct BenchConfig {
  ModelConfig checkpoint;
  std::string output;
  std::vector<std::string> only;
  int64_t repeats = 5, threads = 0;
  bench::StageOptions stages;
  std::string shape;  // full-size networks with random weights instead of a checkpoint
  int64_t resolution = 0, blocks = 0;
  std::string save_model;
  bool dry_run = false;
  bool cold = false;  // time the first run
  DeviceConfig device;
};

void declare(Options& options, BenchConfig& config) {
  declare_model(options, config.checkpoint);
  options.list("only", config.only, "name of a stage or its beginning; repeatable");
  options.alias("stage", "only");
  options.integer("repeats", config.repeats, "timed runs per stage, after one untimed run", 1,
                  1000);
  options.integer("threads", config.threads, "CPU threads; 0: libtorch's choice", 0, 1024);
  options.integer("images", config.stages.images,
                  "images of end-to-end sampling and of training steps", 2, 1024);
  options.integer("steps", config.stages.steps, "sampling steps", 1, 1000);
  options.integer("update_steps", config.stages.update_steps, "steps of the update's trajectories",
                  1, 1000);
  options.number("cfg_scale", config.stages.guidance, "guidance scale of both", 1, 100);
  options.choice("train", config.stages.train, {"lora", "full"}, "what the LCD steps train");
  options.text(
      "shape", config.shape,
      "sd15, sd21, sdxl, sd35m, sd35l or flux with random weights: measures unet or transformer, "
      "vae, decode_gradient, prdp; any stage by --only");
  options.integer("resolution", config.resolution, "pixels, with --shape; 0: its native resolution",
                  0, 4096);
  options.integer("blocks", config.blocks,
                  "first blocks of a transformer's --shape, of each kind; 0: all", 0, 1000);
  options.flag("dry_run", config.dry_run,
               "print operations and memory of --shape's stages, counted without computing");
  options.text("save_model", config.save_model,
               "folder to write the model of --shape to, without measuring");
  options.flag("gradient_checkpointing", config.stages.gradient_checkpointing,
               "recompute activations in training stages [with --shape: true]");
  declare_device(options, config.device);
  options.text("output", config.output, "file for the results as JSON");
  options.short_name("output", 'o');
}

bool is_wanted(const std::string& name, const std::vector<std::string>& only) {
  if (only.empty()) return true;
  return std::any_of(only.begin(), only.end(),
                     [&](const auto& start) { return name.starts_with(start); });
}

std::string stage_names(const std::vector<bench::StagePlan>& plans) {
  std::string names;
  for (const auto& plan : plans) {
    if (names.find(plan.name) == std::string::npos)
      names += (names.empty() ? "" : ", ") + plan.name;
  }
  return names;
}

void check_names(const std::vector<bench::StagePlan>& plans, const std::vector<std::string>& only) {
  for (const auto& start : only) {
    const bool found = std::any_of(plans.begin(), plans.end(),
                                   [&](const auto& plan) { return plan.name.starts_with(start); });
    if (!found)
      throw data::BadInput("--only: expected one of " + stage_names(plans) + ", found '" + start +
                           "'");
  }
}

using Results = std::vector<bench::Measurement>;

Results measured(const std::vector<bench::StagePlan>& plans, const BenchConfig& config) {
  check_names(plans, config.only);
  Results results;
  const auto wanted = std::count_if(plans.begin(), plans.end(), [&](const auto& plan) {
    return is_wanted(plan.name, config.only);
  });
  Progress progress("Measuring", wanted, "stage");
  for (const auto& plan : plans) {
    if (!is_wanted(plan.name, config.only)) continue;
    results.push_back(bench::measure(
        plan.make(),
        {.repeats = config.repeats, .cold = config.cold, .device = config.stages.device}));
    progress.advance(1, plan.name);
  }
  return results;
}

void move_clip(rewards::Clip& clip, at::Device device) {
  for_each_tensor(clip, "", [&](const std::string&, at::Tensor& t) { t = t.to(device); });
}

Results of_checkpoint(const BenchConfig& config) {
  auto pipeline = open_model(config.checkpoint);
  const fs::path& folder = pipeline.source;
  move_to(pipeline, config.stages.device);
  std::optional<rewards::Clip> clip;
  if (fs::exists(folder / "clip" / "config.json")) {
    clip = rewards::load_clip(folder / "clip");
    move_clip(*clip, config.stages.device);
  }
  return measured(bench::make_stages(pipeline, clip, config.stages), config);
}

bench::ShapeOptions shape_options(const BenchConfig& config, at::ScalarType compute) {
  return {.shape = config.shape,
          .resolution = config.resolution,
          .blocks = config.blocks,
          .update_steps = config.stages.update_steps,
          .gradient_checkpointing = config.stages.gradient_checkpointing,
          .device = config.stages.device,
          .compute = compute};
}

// Stages of single networks, each created just before its stage; with --only of another stage, a
// complete random model.
Results of_shape(const BenchConfig& config, at::ScalarType compute) {
  auto plans = bench::make_shape_stages(shape_options(config, compute));
  const bool alone = std::all_of(config.only.begin(), config.only.end(), [&](const auto& start) {
    return std::any_of(plans.begin(), plans.end(),
                       [&](const auto& plan) { return plan.name.starts_with(start); });
  });
  if (alone) return measured(plans, config);
  if (config.blocks > 0)
    throw data::BadInput("blocks: expected the stages " + stage_names(plans) +
                         ", found another in --only");
  auto model = bench::make_random_model(config.shape, config.resolution);
  move_to(model.pipeline, config.stages.device);
  move_clip(model.clip, config.stages.device);
  const std::optional<rewards::Clip> clip = model.clip;
  for (auto& plan : bench::make_stages(model.pipeline, clip, config.stages)) plans.push_back(plan);
  return measured(plans, config);
}

void resolve_bench(const Options& options, BenchConfig& config) {
  if (!config.shape.empty() && !config.checkpoint.model.empty())
    throw data::BadInput("laurel bench: expected --model or --shape, found both; omit one");
  if (config.shape.empty() && !config.save_model.empty())
    throw data::BadInput("save_model: expected a --shape to write, found none");
  if (config.shape.empty() && (config.blocks > 0 || config.dry_run))
    throw data::BadInput("blocks, dry_run: expected a --shape, found none");
  if (config.threads > 0) at::set_num_threads(static_cast<int>(config.threads));
  if (config.shape.empty()) return;
  config.cold = !options.given("repeats");  // a run takes seconds to minutes
  if (config.cold) config.repeats = 1;
  if (!options.given("update_steps")) config.stages.update_steps = 1;
  if (!options.given("gradient_checkpointing")) config.stages.gradient_checkpointing = true;
}

int bench_command(const std::vector<std::string>& arguments) {
  BenchConfig config;
  Options options("bench",
                  "Measures each stage: time, GFLOP/s, fraction of a plain matrix product's rate, "
                  "peak memory.");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty()) {
    throw data::BadInput("laurel bench: expected options only, found '" + parsed.positional[0] +
                         "'; give a model as --model");
  }
  resolve_bench(options, config);
  if (!config.save_model.empty()) {
    bench::save_random_model(config.save_model,
                             bench::make_random_model(config.shape, config.resolution));
    std::cout << "random weights: " << config.save_model << "\n";
    return 0;
  }
  const Placement placement = open_device(config.device);
  config.stages.device = placement.device;
  if (config.dry_run) {
    const auto forecasts = bench::forecast_shape_stages(shape_options(config, placement.compute));
    std::cout << bench::forecast_table(forecasts);
    if (!config.output.empty()) data::write_file(config.output, bench::forecast_json(forecasts));
    return 0;
  }
  const PrecisionScope precision(placement);
  auto machine = bench::this_machine(placement.name, config.device.precision);
  const auto results =
      config.shape.empty() ? of_checkpoint(config) : of_shape(config, placement.compute);
  machine.ceiling = data::matmul_ceiling(placement.device, placement.compute, kCeilingRepeats);
  std::cout << bench::table(machine, results);
  if (!config.output.empty()) data::write_file(config.output, bench::json(machine, results));
  return 0;
}

}  // namespace

const Command kBench{"bench", "speed and memory of each stage on this machine", bench_command};

}  // namespace tools
