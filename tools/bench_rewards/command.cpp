// `laurel bench-rewards`: which reward puts the right picture above the wrong ones.

#include "tools/bench_rewards/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/evaluation/one_to_many.hpp"
#include "tools/bench_rewards/items.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/score/images.hpp"

using data::BadInput;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct BenchRewardsConfig {
  std::string rewards = "aesthetic,clip_score";
  std::string output, world;
  int64_t count = 100, seed = 0, batch_size = 16;
  ModelConfig model;
  RewardSourceConfig sources;
  DeviceConfig device;
};

// Scores of one reward: of each item the right picture's first; empty where one is missing.
struct BenchScores {
  std::vector<std::vector<double>> of_item;
  double milliseconds = 0;  // an image, with its decoding
  int64_t left_out = 0;     // items
};

BenchScores bench_scores(const std::vector<BenchItem>& items,
                         const rewards::WeightedReward& reward,
                         const ScoringOptions& options) {
  BenchScores scores;
  std::vector<ScoreJob> jobs;
  std::vector<std::pair<size_t, size_t>> places;  // of each job: its item, its place there
  for (size_t i = 0; i < items.size(); ++i) {
    scores.of_item.emplace_back(1 + items[i].wrong.size(), std::nan(""));
    for (size_t k = 0; k <= items[i].wrong.size(); ++k) {
      jobs.push_back(
          {k == 0 ? items[i].right : items[i].wrong[k - 1], items[i].prompt, jobs.size()});
      places.emplace_back(i, k);
    }
  }
  const auto start = std::chrono::steady_clock::now();
  score_files(
      jobs, {reward}, options,
      {.scored =
           [&](const ScoreJob& job, const std::vector<double>& raw) {
             scores.of_item[places[job.row].first][places[job.row].second] = raw[0];
           },
       .failed = [](const ScoreJob&, const std::string& fault) { data::log_error(fault); }});
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
  scores.milliseconds = spent.count() / static_cast<double>(jobs.size());
  for (auto& own : scores.of_item) {
    if (std::all_of(own.begin(), own.end(), [](double one) { return std::isfinite(one); }))
      continue;
    own.clear();
    ++scores.left_out;
  }
  return scores;
}

// The items by slice, "" for all of them, and, as "wrong: CHANGE", those wrong pictures alone.
std::map<std::string, std::vector<rewards::RankedItem>> slices_of(
    const std::vector<BenchItem>& items, const BenchScores& scores) {
  std::vector<std::string> prompts;
  for (const auto& item : items) prompts.push_back(item.prompt);
  const auto groups = rewards::ids_of_texts(prompts);
  std::map<std::string, std::vector<rewards::RankedItem>> slices;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto& own = scores.of_item[i];
    if (own.empty()) continue;
    const rewards::RankedItem whole{groups[i], own[0], {own.begin() + 1, own.end()}};
    slices[""].push_back(whole);
    if (!items[i].slice.empty()) slices[items[i].slice].push_back(whole);
    std::map<std::string, rewards::RankedItem> by_change;
    for (size_t k = 0; k < items[i].changes.size(); ++k) {
      auto& part = by_change[items[i].changes[k]];
      part.group = groups[i];
      part.right = own[0];
      part.wrong.push_back(own[k + 1]);
    }
    for (const auto& [change, part] : by_change) slices["wrong: " + change].push_back(part);
  }
  return slices;
}

std::string share_with_interval(const rewards::Interval& value) {
  return data::formatted("%5.1f [%5.1f, %5.1f]", 100 * value.value, 100 * value.low,
                         100 * value.high);
}

ordered_json figure_json(const rewards::Interval& value) {
  return {{"value", value.value}, {"interval", {value.low, value.high}}};
}

// Prints a reward's table and returns its part of the JSON.
ordered_json report_reward(const std::string& name,
                           const std::vector<BenchItem>& items,
                           const BenchScores& scores) {
  ordered_json report{{"reward", name},
                      {"ms_an_image", scores.milliseconds},
                      {"left_out", scores.left_out},
                      {"slices", ordered_json::object()}};
  std::cout
      << name << data::formatted(", %.1f ms an image\n", scores.milliseconds)
      << "  slice                items  one to one            one to many           reciprocal "
         "rank, %\n";
  for (const auto& [slice, ranked] : slices_of(items, scores)) {
    const auto figures = rewards::one_to_many_figures(ranked);
    const std::string title = slice.empty() ? "all" : slice;
    std::cout << data::formatted("  %-19s  %5lld  ", title.c_str(),
                                 static_cast<long long>(figures.items))
              << share_with_interval(figures.one_to_one) << "  "
              << share_with_interval(figures.one_to_many) << "  "
              << share_with_interval(figures.reciprocal_rank) << "\n";
    report["slices"][title] = {{"items", figures.items},
                               {"ties", figures.ties},
                               {"one_to_one", figure_json(figures.one_to_one)},
                               {"one_to_many", figure_json(figures.one_to_many)},
                               {"reciprocal_rank", figure_json(figures.reciprocal_rank)}};
  }
  return report;
}

// The file of items; those of --world are made first.
fs::path items_file(const BenchRewardsConfig& config, const std::vector<std::string>& files) {
  if (files.size() + (config.world.empty() ? 0 : 1) != 1)
    throw BadInput(
        "bench-rewards: expected one file of items, or --world FOLDER to make some, found " +
        std::to_string(files.size()) + " files");
  if (config.world.empty()) return files[0];
  const fs::path folder = config.world, list = folder / "items.jsonl";
  if (fs::exists(list))
    throw BadInput("--world " + config.world +
                   ": expected a new folder, found items.jsonl in it; name that file instead");
  write_world_items({config.count, static_cast<uint64_t>(config.seed)},
                    open_model(config.model).vae, folder);
  return list;
}

int bench_rewards_command(const std::vector<std::string>& arguments) {
  BenchRewardsConfig config;
  Options options("bench-rewards",
                  "Which reward puts the right picture of a prompt above up to nine wrong ones.",
                  "ITEMS.jsonl");
  options.text("rewards", config.rewards, "names; each is measured separately");
  options.short_name("rewards", 'r');
  options.text("output", config.output, "JSON of the figures");
  options.short_name("output", 'o');
  options.group("items of the built-in world");
  options.text("world", config.world, "new folder: makes the items there first");
  options.integer("count", config.count, "of --world", 2, 10000);
  options.integer("seed", config.seed, "of --world", 0);
  declare_model(options, config.model);
  options.group("models and machine");
  declare_reward_sources(options, config.sources);
  options.integer("batch_size", config.batch_size, "images at once", 1, 4096);
  declare_device(options, config.device);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  const auto rewards =
      rewards::make_rewards(config.rewards, reward_sources(config.sources, placement.device));
  const auto items = read_bench_items(items_file(config, parsed.positional));
  ordered_json report = ordered_json::array();
  int64_t left_out = 0;
  for (const auto& reward : rewards) {
    const auto scores =
        bench_scores(items, reward, {.batch_size = config.batch_size, .device = placement.device});
    left_out = std::max(left_out, scores.left_out);
    if (scores.left_out == static_cast<int64_t>(items.size()))
      throw BadInput(reward.reward.info.name + ": no item could be scored, see above");
    report.push_back(report_reward(reward.reward.info.name, items, scores));
  }
  if (!config.output.empty()) data::write_file(config.output, data::to_text(report, 2) + "\n");
  if (left_out == 0) return 0;
  data::log_error(std::to_string(left_out) + " items left out, see above");
  return kBadInput;
}

}  // namespace

const Command kBenchRewards{"bench-rewards",
                            "rewards on one right picture against several wrong ones",
                            bench_rewards_command};

}  // namespace tools
