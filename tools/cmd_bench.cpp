// laurel bench: speed and memory of each stage on this machine.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <filesystem>
#include <iostream>

#include "data/error.hpp"
#include "data/files.hpp"
#include "tools/bench/shapes.hpp"
#include "tools/bench/stages.hpp"
#include "tools/commands.hpp"
#include "tools/device.hpp"
#include "tools/models.hpp"
#include "tools/options.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

struct BenchConfig {
  std::string model, output;
  std::vector<std::string> only;
  int64_t repeats = 5, threads = 0;
  bench::StageOptions stages;
  std::string shape;  // full-size networks of random weights instead of a checkpoint
  int64_t resolution = 512;
  bool gradient_checkpointing = true;
  std::string precision = "fp32";
};

void declare(Options& options, BenchConfig& config) {
  options.text("model", config.model, "diffusers folder of a checkpoint [the embedded tiny-world]");
  options.short_name("model", 'm');
  options.list("only", config.only, "a stage's name or its beginning; may be given several times");
  options.alias("stage", "only");
  options.integer("repeats", config.repeats, "timed runs of each stage, after one to warm up", 1,
                  1000);
  options.integer("threads", config.threads, "CPU threads, 0: libtorch's choice", 0, 1024);
  options.integer("images", config.stages.images, "of end-to-end sampling and of the update", 2,
                  1024);
  options.integer("steps", config.stages.steps, "of sampling", 1, 1000);
  options.integer("update_steps", config.stages.update_steps, "of the update's trajectories", 1,
                  1000);
  options.number("cfg_scale", config.stages.guidance, "classifier-free guidance of both", 1, 100);
  options.text("shape", config.shape,
               "sd15 or sd21: the full-size networks with random weights: unet, vae, prdp");
  options.integer("resolution", config.resolution, "pixels, with --shape", 8, 4096);
  options.flag("gradient_checkpointing", config.gradient_checkpointing, "of prdp, with --shape");
  options.choice("precision", config.precision, {"fp32", "bf16"}, "of matrix products");
  options.text("output", config.output, "writes the figures as JSON too");
  options.short_name("output", 'o');
}

bool is_wanted(const std::string& name, const std::vector<std::string>& only) {
  if (only.empty()) return true;
  return std::any_of(only.begin(), only.end(),
                     [&](const auto& start) { return name.starts_with(start); });
}

void check_names(const std::vector<bench::StagePlan>& plans, const std::vector<std::string>& only) {
  for (const auto& start : only) {
    std::string names;
    bool found = false;
    for (const auto& plan : plans) {
      found = found || plan.name.starts_with(start);
      if (names.find(plan.name) == std::string::npos)
        names += (names.empty() ? "" : ", ") + plan.name;
    }
    if (!found)
      throw data::BadInput("--only: expected one of " + names + ", found '" + start + "'");
  }
}

std::vector<bench::Measurement> measured(const std::vector<bench::StagePlan>& plans,
                                         const BenchConfig& config) {
  check_names(plans, config.only);
  std::vector<bench::Measurement> results;
  for (const auto& plan : plans) {
    if (!is_wanted(plan.name, config.only)) continue;
    results.push_back(bench::measure(plan.make(), config.repeats, !config.shape.empty()));
    std::cerr << "." << std::flush;
  }
  std::cerr << "\n";
  return results;
}

std::vector<bench::Measurement> of_checkpoint(const BenchConfig& config) {
  const fs::path folder = checkpoint_folder(config.model);
  const auto pipeline = diffusion::load_pipeline(folder);
  std::optional<rewards::Clip> clip;
  if (fs::exists(folder / "clip" / "config.json")) clip = rewards::load_clip(folder / "clip");
  return measured(bench::make_stages(pipeline, clip, config.stages), config);
}

std::vector<bench::Measurement> of_shape(const BenchConfig& config) {
  if (!config.model.empty())
    throw data::BadInput("bench: expected --model or --shape, found both; leave one out");
  return measured(
      bench::make_shape_stages({.shape = config.shape,
                                .resolution = config.resolution,
                                .update_steps = config.stages.update_steps,
                                .gradient_checkpointing = config.gradient_checkpointing}),
      config);
}

}  // namespace

int cmd_bench(const std::vector<std::string>& arguments) {
  BenchConfig config;
  Options options("bench",
                  "Measures each stage: time, GFLOP/s, share of a matrix product's, peak memory.");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty()) {
    throw data::BadInput("laurel bench: unexpected '" + parsed.positional[0] +
                         "' (a model is given as --model)");
  }
  if (!config.shape.empty()) {  // seconds to minutes each
    if (!options.given("repeats")) config.repeats = 1;
    if (!options.given("update_steps")) config.stages.update_steps = 1;
  }
  if (config.threads > 0) at::set_num_threads(static_cast<int>(config.threads));
  const PrecisionScope precision(
      Placement{.compute = config.precision == "bf16" ? at::kBFloat16 : at::kFloat});
  const auto machine = bench::this_machine(bench::matmul_ceiling(config.repeats));
  const auto results = config.shape.empty() ? of_checkpoint(config) : of_shape(config);
  std::cout << bench::table(machine, results);
  if (!config.output.empty()) data::write_file(config.output, bench::json(machine, results));
  return 0;
}

}  // namespace tools
