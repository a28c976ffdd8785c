#include "tools/score/rank_command.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <limits>
#include <map>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/images/image_files.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/score/image_prompts.hpp"
#include "tools/score/images.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct RankConfig {
  std::string reward = "clip_score";
  PromptSources prompts;
  double temperature = 0;  // 0: no probabilities
  RewardSourceConfig sources;
  DeviceConfig device;
};

struct RankedImage {
  std::string file;
  double score;
};

// Best first; a missing score comes last.
void print_group(const std::string& prompt, std::vector<RankedImage> entries, double temperature) {
  const auto value = [](const RankedImage& entry) {
    return std::isfinite(entry.score) ? entry.score : -std::numeric_limits<double>::infinity();
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const RankedImage& a, const RankedImage& b) { return value(a) > value(b); });
  double sum = 0;
  for (const auto& entry : entries)
    sum += std::exp((value(entry) - value(entries[0])) / std::max(temperature, 1e-12));
  std::cout << (prompt.empty() ? "(no prompt)" : prompt) << "\n";
  for (size_t i = 0; i < entries.size(); ++i) {
    char line[64];
    std::snprintf(line, sizeof line, "%4zu  %10.4f  ", i + 1, entries[i].score);
    std::cout << line;
    if (temperature > 0) {
      const double share = std::exp((value(entries[i]) - value(entries[0])) / temperature) / sum;
      std::snprintf(line, sizeof line, "%5.1f %%  ", 100 * share);
      std::cout << line;
    }
    std::cout << entries[i].file << "\n";
  }
}

std::vector<fs::path> images_of(const std::vector<std::string>& places) {
  const auto images = data::list_images(places);
  if (images.size() < 2)
    throw BadInput("rank: expected at least two images, found " + std::to_string(images.size()));
  return images;
}

int rank_command(const std::vector<std::string>& arguments) {
  RankConfig config;
  Options options("rank", "Orders the images of each prompt, best first.",
                  "IMAGE|FOLDER|PATTERN...");
  options.text("reward", config.reward, "to order by, or weighted: a=1,b=0.5 (raw units)");
  options.short_name("reward", 'r');
  options.text("prompt", config.prompts.prompt, "of all images [as laurel score finds them]");
  options.short_name("prompt", 'p');
  options.number("temperature", config.temperature,
                 "print each image's share of a softmax; 1: PickScore's probabilities", 0, 1e9);
  declare_reward_sources(options, config.sources);
  declare_device(options, config.device);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  const auto files = images_of(parsed.positional);
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const auto rewards =
      rewards::make_rewards(config.reward, reward_sources(config.sources, placement.device));
  ScoringOptions scoring{.device = placement.device};
  for (const auto& part : rewards) scoring.need_prompt |= part.reward.info.needs_prompt;
  std::map<std::string, std::vector<RankedImage>> groups;
  int64_t failed = 0;
  score_files(jobs_of(files, config.prompts), rewards, scoring,
              {.scored =
                   [&](const ScoreJob& job, const std::vector<double>& raw) {
                     double total = 0;
                     for (size_t m = 0; m < raw.size(); ++m) total += rewards[m].weight * raw[m];
                     groups[*job.prompt].push_back({job.path.string(), total});
                   },
               .failed =
                   [&](const ScoreJob&, const std::string& fault) {
                     data::log_error(fault);
                     ++failed;
                   }});
  for (auto& [prompt, entries] : groups) {
    std::sort(entries.begin(), entries.end(),
              [](const RankedImage& a, const RankedImage& b) { return a.file < b.file; });
    print_group(prompt, entries, config.temperature);
  }
  return failed ? 2 : 0;
}

}  // namespace

const Command kRank{"rank", "order the images of each prompt, best first", rank_command};

}  // namespace tools
