#include "tools/score/eval_pairs_command.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/evaluation/pair_accuracy.hpp"
#include "rewards/pairs/choices.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/score/images.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct EvalPairsConfig {
  std::string rewards = "aesthetic,clip_score";
  std::string tune;  // another file of pairs
  double tie_threshold = 0;
  std::string output;
  int64_t batch_size = 16;
  RewardSourceConfig sources;
  DeviceConfig device;
};

using ImageKey = std::pair<std::string, std::string>;  // prompt, file
using PairScores = std::map<ImageKey, std::vector<double>>;

// The pairs in a file or folder, and how many it lacks an image of, which are named.
struct ReadPairs {
  std::vector<rewards::Choice> pairs;
  size_t left_out = 0;
};
ReadPairs read_pairs(const std::string& path) {
  if (path.empty()) return {};
  auto choices = rewards::read_choices(path);
  if (choices.pairs.empty()) throw BadInput(path + ": expected pairs, found likes of one image");
  for (const auto& line : choices.left_out) data::log_error(line);
  return {std::move(choices.pairs), choices.left_out.size()};
}

// Scores each pair of image and prompt once. Images that cannot be read stay without scores.
PairScores score_pairs(const std::vector<rewards::Choice>& pairs,
                       const std::vector<rewards::WeightedReward>& rewards,
                       const ScoringOptions& options) {
  PairScores scores;
  for (const auto& pair : pairs) {
    scores[{pair.prompt, pair.a.string()}] = {};
    scores[{pair.prompt, pair.b.string()}] = {};
  }
  std::vector<ScoreJob> jobs;
  for (const auto& [key, none] : scores) jobs.push_back({key.second, key.first, jobs.size()});
  score_files(
      jobs, rewards, options,
      {.scored =
           [&](const ScoreJob& job, const std::vector<double>& raw) {
             scores[{*job.prompt, job.path.string()}] = raw;
           },
       .failed = [](const ScoreJob&, const std::string& fault) { data::log_error(fault); }});
  return scores;
}

// The pairs whose images both have scores.
std::vector<rewards::Choice> scored_pairs(const std::vector<rewards::Choice>& pairs,
                                          const PairScores& scores,
                                          const std::string& path) {
  std::vector<rewards::Choice> scored;
  for (const auto& pair : pairs) {
    if (!scores.at({pair.prompt, pair.a.string()}).empty() &&
        !scores.at({pair.prompt, pair.b.string()}).empty())
      scored.push_back(pair);
  }
  if (scored.empty() && !pairs.empty())
    throw BadInput(path + ": none of the pairs could be scored, see above");
  return scored;
}

std::vector<rewards::ScoredPair> column(const std::vector<rewards::Choice>& pairs,
                                        const PairScores& scores,
                                        size_t reward) {
  std::vector<std::string> prompts;
  for (const auto& pair : pairs) prompts.push_back(pair.prompt);
  const auto groups = rewards::ids_of_texts(prompts);
  std::vector<rewards::ScoredPair> scored;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& pair = pairs[i];
    scored.push_back({groups[i], scores.at({pair.prompt, pair.a.string()})[reward],
                      scores.at({pair.prompt, pair.b.string()})[reward],
                      rewards::label_of(pair.answer)});
  }
  return scored;
}

// Prints one line a rule and appends its JSON to `lines`.
void report(const std::string& name,
            const std::vector<rewards::ScoredPair>& pairs,
            double threshold,
            std::string& lines) {
  std::cout << name << "\n";
  for (const auto& rule : rewards::published_rules(threshold)) {
    const auto accuracy = rewards::pair_accuracy(pairs, rule);
    char text[120];
    std::snprintf(text, sizeof text, "  %-12s %6.2f %%  [%.2f, %.2f]  %5lld pairs  ",
                  rule.name.c_str(), 100 * accuracy.value, 100 * accuracy.low, 100 * accuracy.high,
                  static_cast<long long>(accuracy.pairs));
    std::cout << text << rewards::text_of(rule) << "\n";
    nlohmann::ordered_json line;
    line["reward"] = name;
    line["definition"] = rule.name;
    line["rule"] = rewards::text_of(rule);
    line["accuracy"] = accuracy.value;
    line["interval"] = {accuracy.low, accuracy.high};
    line["pairs"] = accuracy.pairs;
    lines += data::to_text(line) + "\n";
  }
}

int eval_pairs_command(const std::vector<std::string>& arguments) {
  EvalPairsConfig config;
  Options options("eval-pairs",
                  "Agreement with people's choices, under each of the field's five definitions.",
                  "PAIRS");
  options.text("rewards", config.rewards, "names; each is evaluated separately");
  options.short_name("rewards", 'r');
  options.number("tie_threshold", config.tie_threshold,
                 "PickScore's: closer probabilities predict a tie", 0, 1);
  options.text("tune", config.tune, "other pairs, to choose that threshold on");
  options.text("output", config.output, "JSONL of the figures");
  options.short_name("output", 'o');
  declare_reward_sources(options, config.sources);
  options.integer("batch_size", config.batch_size, "images at once", 1, 4096);
  declare_device(options, config.device);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (parsed.positional.size() != 1)
    throw BadInput("eval-pairs: expected one file of pairs, found " +
                   std::to_string(parsed.positional.size()));
  const auto [pairs, without_image] = read_pairs(parsed.positional[0]);
  const auto [other, other_without_image] = read_pairs(config.tune);
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const auto rewards =
      rewards::make_rewards(config.rewards, reward_sources(config.sources, placement.device));
  const ScoringOptions scoring{.batch_size = config.batch_size, .device = placement.device};
  const PairScores scores = score_pairs(pairs, rewards, scoring);
  const PairScores tuning = score_pairs(other, rewards, scoring);
  const auto known = scored_pairs(pairs, scores, parsed.positional[0]);
  const auto tuned = scored_pairs(other, tuning, config.tune);
  std::string lines;
  for (size_t m = 0; m < rewards.size(); ++m) {
    const double threshold =
        tuned.empty() ? config.tie_threshold : rewards::tuned_threshold(column(tuned, tuning, m));
    report(rewards[m].reward.info.name, column(known, scores, m), threshold, lines);
  }
  if (!config.output.empty()) data::write_file(config.output, lines);
  const size_t left_out = pairs.size() + other.size() - known.size() - tuned.size() +
                          without_image + other_without_image;
  if (left_out == 0) return 0;
  data::log_error(std::to_string(left_out) + " pairs left out, see above");
  return kBadInput;
}

}  // namespace

const Command kEvalPairs{"eval-pairs", "a reward's agreement with people's choices",
                         eval_pairs_command};

}  // namespace tools
