#include "tools/train_reward/social_evaluate.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "rewards/evaluation/agreement.hpp"
#include "rewards/registry/registry.hpp"
#include "rewards/scorers/aesthetic.hpp"
#include "rewards/scorers/clip_score.hpp"
#include "rewards/social/reward.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr int64_t kSocialResamples = 1000;

using ImageKey = std::pair<std::string, std::string>;  // prompt, image

struct Survey {
  std::vector<ImageKey> a, b;
  std::vector<int64_t> group;  // number of the prompt
  at::Tensor votes_a, votes_b;
};

Survey read_survey(const fs::path& path) {
  Survey survey;
  std::map<std::string, int64_t> groups;
  std::vector<double> votes_a, votes_b;
  std::istringstream lines(data::read_file(path));
  int64_t number = 0;
  for (std::string text; std::getline(lines, text);) {
    const std::string where = path.string() + ":" + std::to_string(++number);
    const auto line = data::parse_json_object(text, where);
    const bool good = line.value("prompt", nlohmann::json()).is_string() &&
                      line.value("image_a", nlohmann::json()).is_string() &&
                      line.value("image_b", nlohmann::json()).is_string() &&
                      line.value("votes_a", nlohmann::json()).is_number() &&
                      line.value("votes_b", nlohmann::json()).is_number();
    if (!good) throw BadInput(where + ": expected prompt, image_a, image_b, votes_a and votes_b");
    const std::string prompt = line["prompt"];
    survey.a.emplace_back(prompt, line["image_a"]);
    survey.b.emplace_back(prompt, line["image_b"]);
    survey.group.push_back(
        groups.emplace(prompt, static_cast<int64_t>(groups.size())).first->second);
    votes_a.push_back(line["votes_a"]);
    votes_b.push_back(line["votes_b"]);
  }
  if (survey.a.empty()) throw BadInput(path.string() + ": expected pairs, found none");
  survey.votes_a = at::tensor(votes_a, at::kDouble);
  survey.votes_b = at::tensor(votes_b, at::kDouble);
  return survey;
}

using ImageScores = std::map<ImageKey, double>;

// Whether `scores` agrees with the majority, pair by pair. -> [N]
at::Tensor rights(const Survey& survey, const ImageScores& scores) {
  std::vector<double> a, b;
  for (size_t i = 0; i < survey.a.size(); ++i) {
    const auto of = [&](const ImageKey& key) {
      const auto found = scores.find(key);
      return found == scores.end() ? 0.0 : found->second;
    };
    a.push_back(of(survey.a[i]));
    b.push_back(of(survey.b[i]));
  }
  return rewards::pair_agreement(at::tensor(a, at::kDouble), at::tensor(b, at::kDouble),
                                 survey.votes_a, survey.votes_b);
}

ImageScores scored(const rewards::Reward& reward, const Survey& survey, const fs::path& folder) {
  const at::NoGradGuard no_grad;
  ImageScores scores;
  for (const auto* side : {&survey.a, &survey.b}) {
    for (const ImageKey& key : *side) {
      if (scores.count(key)) continue;
      const auto image = data::read_image(folder / key.second).unsqueeze(0);
      scores[key] = reward.score({image, {key.first}}).item<double>();
    }
  }
  return scores;
}

// Adds the popularity of the images in their log and their curated rate.
void add_log(const fs::path& folder,
             const rewards::CurateOptions& options,
             std::vector<std::pair<std::string, ImageScores>>& all) {
  if (!fs::exists(folder / "log.jsonl")) return;
  const auto log = rewards::read_social_log(folder / "log.jsonl");
  const auto curated = rewards::curate(log, options);
  ImageScores popularity, rate;
  for (size_t i = 0; i < log.images.size(); ++i) {
    const ImageKey key{log.prompts[static_cast<size_t>(log.images[i].prompt)],
                       log.images[i].file.lexically_relative(folder).string()};
    popularity[key] = static_cast<double>(curated.images[i].popularity);
    rate[key] = curated.images[i].rate;
  }
  all.emplace_back("popularity", popularity);
  all.emplace_back("curated_rate", rate);
}

// Adds a simulated community's true appeal of each image, an upper bound up to chance.
void add_truth(const fs::path& folder, std::vector<std::pair<std::string, ImageScores>>& all) {
  if (!fs::exists(folder / "truth.jsonl")) return;
  ImageScores appeal;
  std::istringstream lines(data::read_file(folder / "truth.jsonl"));
  for (std::string text; std::getline(lines, text);) {
    const auto line = data::parse_json_object(text, (folder / "truth.jsonl").string());
    appeal[{line.value("prompt", ""), line.value("image", "")}] = line.value("appeal", 0.0);
  }
  all.emplace_back("true_appeal", appeal);
}

nlohmann::ordered_json to_json(const rewards::Interval& interval) {
  return {{"value", interval.value}, {"95", {interval.low, interval.high}}};
}

}  // namespace

nlohmann::ordered_json evaluate_social(const fs::path& folder,
                                       const fs::path& reward,
                                       const rewards::RewardSources& sources,
                                       const rewards::CurateOptions& options) {
  const Survey survey = read_survey(folder / "survey.jsonl");
  std::vector<std::pair<std::string, ImageScores>> all;
  const auto clip = rewards::load_clip_embedder(reward, at::kCPU);
  all.emplace_back("social", scored(rewards::social_reward(clip), survey, folder));
  for (const auto* entry : {&rewards::kClipScoreEntry, &rewards::kAestheticEntry}) {
    if (entry->weights && !sources.weights.contains(entry->weights->flag)) continue;
    const std::string& name = entry->info.name;
    all.emplace_back(name, scored(rewards::make_reward(name, sources), survey, folder));
  }
  add_log(folder, options, all);
  add_truth(folder, all);
  const at::Tensor social = rights(survey, all.front().second);
  const at::Tensor decided = social.isnan().logical_not();
  std::vector<int64_t> groups;
  for (size_t i = 0; i < survey.group.size(); ++i) {
    if (decided[static_cast<int64_t>(i)].item<bool>()) groups.push_back(survey.group[i]);
  }
  nlohmann::ordered_json report{{"pairs", groups.size()},
                                {"ties", "votes skipped, scores a half; mean over pairs"}};
  std::cout << data::formatted(
      "%s: %zu pairs; share right (95 %% over prompts), and what `social` has more\n",
      folder.string().c_str(), groups.size());
  for (const auto& [name, scores] : all) {
    auto generator = at::detail::createCPUGenerator(0);
    const at::Tensor right = rights(survey, scores).masked_select(decided);
    const auto share = rewards::grouped_mean(right, groups, kSocialResamples, generator);
    const auto more = rewards::grouped_mean(social.masked_select(decided) - right, groups,
                                            kSocialResamples, generator);
    report[name] = {{"right", to_json(share)}, {"social_minus", to_json(more)}};
    std::cout << data::formatted("  %-13s %.3f (%.3f to %.3f)   %+.3f (%+.3f to %+.3f)\n",
                                 name.c_str(), share.value, share.low, share.high, more.value,
                                 more.low, more.high);
  }
  return report;
}

}  // namespace tools
