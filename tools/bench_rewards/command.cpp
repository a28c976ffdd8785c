// `laurel bench-rewards`: which reward puts the right picture above the wrong ones.

#include "tools/bench_rewards/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/storage/folder_lock.hpp"
#include "data/storage/sha256.hpp"
#include "tools/bench_rewards/figures.hpp"
#include "tools/bench_rewards/items.hpp"
#include "tools/bench_rewards/page.hpp"
#include "tools/bench_rewards/report.hpp"
#include "tools/bench_rewards/scores.hpp"
#include "tools/bench_rewards/world_items.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/reward_options.hpp"

using data::BadInput;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace tools {
namespace {

using Rewards = std::vector<rewards::WeightedReward>;

struct BenchRewardsConfig {
  std::string rewards = "aesthetic,clip_score";
  std::string output, page, variants, world;
  int64_t count = 100, seed = 0, batch_size = 16, probe_images = 32;
  ModelConfig model;
  RewardSourceConfig sources;
  DeviceConfig device;
};

// The file of items; those of --world are made first, unless an earlier run made the same.
fs::path items_file(const BenchRewardsConfig& config, const std::vector<std::string>& files) {
  if (files.size() + (config.world.empty() ? 0 : 1) != 1)
    throw BadInput(
        "bench-rewards: expected one file of items, or --world FOLDER to make some, found " +
        std::to_string(files.size()) + " files");
  if (config.world.empty()) return files[0];
  const fs::path folder = config.world, list = folder / "items.jsonl", made = folder / "made.json";
  const std::string wanted =
      data::to_text(ordered_json{{"count", config.count},
                                 {"seed", config.seed},
                                 {"model", checkpoint_path(config.model.model).string()},
                                 {"vae", config.model.vae}}) +
      "\n";
  if (fs::exists(list)) {
    if (fs::exists(made) && data::read_file(made) == wanted) return list;
    throw BadInput("--world " + config.world +
                   ": expected a new folder, or items of this count, seed and model, found others; "
                   "name its items.jsonl instead");
  }
  data::write_file(made, wanted);
  write_world_items({config.count, static_cast<uint64_t>(config.seed)},
                    open_model(config.model).vae, folder);
  return list;
}

void declare(Options& options, BenchRewardsConfig& config) {
  options.text("rewards", config.rewards, "names; each is measured separately");
  options.short_name("rewards", 'r');
  options.text(
      "variants", config.variants,
      "JSONL of prompts in other words or languages: {\"prompt\", \"variants\": {\"de\": ..}}");
  options.rare().integer("probe_images", config.probe_images,
                         "right pictures that are changed to probe each reward; 0: none", 0, 1024);
  options.group("output");
  options.text("output", config.output, "JSON of the figures; a killed run can be resumed");
  options.short_name("output", 'o');
  options.text("page", config.page, "HTML page of the figures and the worst items");
  options.group("items of the built-in world");
  options.text("world", config.world, "new folder: makes the items there first");
  options.integer("count", config.count, "of --world", 2, 10000);
  options.integer("seed", config.seed, "of --world", 0);
  declare_model(options, config.model);
  options.group("models and machine");
  declare_reward_sources(options, config.sources);
  options.integer("batch_size", config.batch_size, "images at once", 1, 4096);
  declare_device(options, config.device);
}

// Equal texts: a run may be resumed.
std::string identity(const Rewards& rewards,
                     const rewards::RewardSources& sources,
                     const std::vector<fs::path>& files) {
  std::string text;
  for (const auto& part : rewards)
    text +=
        part.reward.info.name + " " + part.reward.info.description + part.reward.info.model + ";";
  for (const auto& file : files) text += data::sha256_of_file(file) + ";";
  return text + identity_of(sources);
}

std::vector<std::vector<double>> scores_of_worst(const std::vector<size_t>& worst,
                                                 const BenchScores& scores) {
  std::vector<std::vector<double>> found;
  for (size_t i = 0; i < std::min(worst.size(), kWorstOnPage); ++i)
    found.push_back(scores.of_item[worst[i]][0]);
  return found;
}

BenchedReward bench_reward(const std::vector<BenchItem>& items,
                           const rewards::WeightedReward& reward,
                           const std::optional<rewards::RewardBatch>& probed,
                           const BenchScoring& scoring) {
  const auto scores = bench_scores(items, reward, scoring);
  if (scores.left_out == static_cast<int64_t>(items.size()))
    throw BadInput(reward.reward.info.name + ": no item could be scored, see above");
  BenchedReward found{.figures = figures_of(reward.reward.info.name, items, scores),
                      .worst_scores = {}};
  found.worst_scores = scores_of_worst(found.figures.worst, scores);
  if (probed) {
    found.figures.robustness = rewards::probe_robustness(reward.reward, *probed);
    found.figures.hacking = rewards::probe_hacking(reward.reward, *probed);
  }
  return found;
}

// Measures each reward, prints its table and writes the files. Returns the exit code.
int bench(const std::vector<BenchItem>& items,
          const Rewards& rewards,
          const BenchRewardsConfig& config,
          const BenchScoring& scoring) {
  const auto probed = probe_batch(items, config.probe_images, scoring.options.device);
  std::vector<BenchedReward> benched;
  ordered_json report = ordered_json::array();
  int64_t left_out = 0;
  for (const auto& reward : rewards) {
    benched.push_back(bench_reward(items, reward, probed, scoring));
    const auto& figures = benched.back().figures;
    std::cout << figures_text(figures) << std::flush;
    report.push_back(figures_json(figures));
    left_out = std::max(left_out, figures.left_out);
  }
  if (!config.output.empty()) data::write_file(config.output, data::to_text(report, 2) + "\n");
  if (!config.page.empty()) write_bench_page(config.page, items, benched);
  if (scoring.log) scoring.log->remove();
  if (left_out == 0) return 0;
  data::log_error(std::to_string(left_out) + " items left out, see above");
  return kBadInput;
}

int bench_rewards_command(const std::vector<std::string>& arguments) {
  BenchRewardsConfig config;
  Options options("bench-rewards",
                  "Which reward puts the right picture of a prompt above up to nine wrong ones.",
                  "ITEMS.jsonl");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  const auto sources = reward_sources(config.sources, placement.device);
  const auto rewards = rewards::make_rewards(config.rewards, sources);
  std::vector<fs::path> files{items_file(config, parsed.positional)};
  auto items = read_bench_items(
      files[0], std::any_of(rewards.begin(), rewards.end(),
                            [](const auto& part) { return part.reward.info.needs_prompt; }));
  if (!config.variants.empty()) {
    add_variants(config.variants, items);
    files.emplace_back(config.variants);
  }
  const auto lock =
      config.output.empty() ? data::FolderLock() : data::FolderLock::of_file(config.output);
  std::unique_ptr<ScoreLog> log;
  if (!config.output.empty())
    log = std::make_unique<ScoreLog>(config.output + ".part", identity(rewards, sources, files));
  if (log && log->size())
    data::log_info(std::to_string(log->size()) + " items are scored already, going on");
  std::set<std::string> known;
  const auto complain = [&](const std::string& fault) {
    if (known.insert(fault).second) data::log_error(fault);
  };
  return bench(items, rewards, config,
               {.options = {.batch_size = config.batch_size, .device = placement.device},
                .log = log.get(),
                .complain = complain});
}

}  // namespace

const Command kBenchRewards{"bench-rewards",
                            "rewards on one right picture against several wrong ones",
                            bench_rewards_command};

}  // namespace tools
