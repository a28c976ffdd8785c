// `laurel train-reward pairs`: people's choices -> a taste.

#include "tools/train_reward/pairs.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/log.hpp"
#include "data/base/strings.hpp"
#include "data/storage/folder_lock.hpp"
#include "rewards/pairs/files.hpp"
#include "rewards/pairs/train_taste.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/progress.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/train_reward/pairs_data.hpp"
#include "tools/train_reward/reward_folder.hpp"
#include "tools/train_reward/rewards_at_hand.hpp"

using data::BadInput;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct PairsCommand {
  std::vector<std::string> data;
  std::string output, embedder;
  std::string rewards = "auto";
  int64_t folds = 5, batch_size = 16;
  RewardSourceConfig sources;
  DeviceConfig device;
};

void declare(Options& options, PairsCommand& config) {
  options.list("data", config.data,
               "choices: JSONL, JSON, CSV or a folder (docs/rewards.md); several");
  options.text("output", config.output, "folder for the reward, its card and report");
  options.short_name("output", 'o');
  options.text("rewards", config.rewards,
               "names of rewards to build on; auto: the differentiable ones; none");
  options.short_name("rewards", 'r');
  options.integer("folds", config.folds, "of cross-validation", 2, 20);
  options.text("embedder", config.embedder,
               "any CLIP for the head: PATH;act=..;tokenizer=.. [that of --clip]");
  declare_reward_sources(options, config.sources, Rarity::kRare);
  options.rare().integer("batch_size", config.batch_size, "images at once", 1, 4096);
  declare_device(options, config.device);
}

std::vector<rewards::WeightedReward> rewards_named(const PairsCommand& config,
                                                   const rewards::RewardSources& sources,
                                                   bool prompts) {
  if (config.rewards == "none") return {};
  if (config.rewards == "auto") return rewards_at_hand(sources, prompts);
  auto found = rewards::make_rewards(config.rewards, sources);
  for (const auto& reward : found) {
    if (reward.reward.info.needs_prompt && !prompts)
      throw BadInput("--rewards: " + reward.reward.info.name +
                     ": needs the prompt of every choice, and some have none; leave it out");
  }
  return found;
}

// A line of the table of held-out agreement.
struct Row {
  std::string name;
  rewards::PairAgreement agreement;
};

// The taste, then each reward, on the pairs that the taste was measured on.
std::vector<Row> held_out_rows(const TasteInput& input,
                               const rewards::TrainedTaste& trained,
                               int64_t person) {
  const auto& answers = input.data.answers;
  std::vector<Row> rows{{"this taste", rewards::agreement_with(trained.held_out, answers, person)}};
  std::vector<int64_t> a, b;
  for (const auto& answer : answers) {
    a.push_back(answer.a);
    b.push_back(std::max<int64_t>(answer.b, 0));
  }
  const at::Tensor difference = input.data.scores.index_select(0, at::tensor(a, at::kLong)) -
                                input.data.scores.index_select(0, at::tensor(b, at::kLong));
  for (size_t k = 0; k < input.data.rewards.size(); ++k) {
    const at::Tensor same_pairs = difference.select(1, static_cast<int64_t>(k))
                                      .masked_fill(trained.held_out.isnan(), std::nan(""));
    rows.push_back({input.data.rewards[k], rewards::agreement_with(same_pairs, answers, person)});
  }
  rows.push_back({"own consistency", rewards::own_consistency(answers, person)});
  return rows;
}

std::string table_of(const std::vector<Row>& rows) {
  std::string text = "| on held-out pairs | agreement, 95 % interval | pairs |\n|---|---|---|\n";
  for (const auto& row : rows)
    text += "| " + row.name + " | " + share_text(row.agreement.share) + " | " +
            std::to_string(row.agreement.pairs) + " |\n";
  return text;
}

ordered_json json_of(const std::vector<Row>& rows) {
  ordered_json json = ordered_json::array();
  for (const auto& row : rows) {
    ordered_json line = share_json(row.agreement.share);
    line["name"] = row.name;
    line["pairs"] = row.agreement.pairs;
    json.push_back(line);
  }
  return json;
}

std::string ridge_text(double ridge) {
  return std::isfinite(ridge) ? data::formatted("%.3g", ridge) : "infinite";
}

// What the reward was trained on and how.
std::string facts_of(const TasteInput& input, const rewards::TrainedTaste& trained) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  std::string text = number(input.pairs) + " pairs (" + number(input.ties) + " ties), " +
                     number(input.likes) + " single likes and dislikes, " + number(input.pictures) +
                     " pictures, " + number(static_cast<int64_t>(input.data.people.size())) +
                     (input.data.people.size() == 1 ? " person" : " people") + ". " +
                     number(trained.folds.count) + " folds of " + trained.folds.unit + "; ridge " +
                     ridge_text(trained.ridges.shared);
  if (input.data.people.size() > 1)
    text += ", of a person's difference " + ridge_text(trained.ridges.own);
  return text + "; nu of ties " + data::formatted("%.3g", trained.taste.tie) + ".";
}

ordered_json report_of(const TasteInput& input,
                       const rewards::TrainedTaste& trained,
                       const std::vector<Row>& rows) {
  ordered_json report{{"kind", "pairs"},
                      {"pairs", input.pairs},
                      {"ties", input.ties},
                      {"likes", input.likes},
                      {"pictures", input.pictures},
                      {"people", input.data.people},
                      {"rewards", input.data.rewards},
                      {"folds", trained.folds.count},
                      {"folds_of", trained.folds.unit},
                      {"ridge", trained.ridges.shared},
                      {"ridge_of_people", trained.ridges.own},  // null: infinite
                      {"tie", trained.taste.tie},
                      {"held_out", json_of(rows)}};
  for (size_t p = 0; input.data.people.size() > 1 && p < input.data.people.size(); ++p)
    report["held_out_of"][input.data.people[p]] =
        json_of(held_out_rows(input, trained, static_cast<int64_t>(p)));
  report["left_out"] = input.left_out;
  return report;
}

std::string card_text(const TasteInput& input,
                      const rewards::TrainedTaste& trained,
                      const std::vector<Row>& rows) {
  std::string text =
      "What a person prefers: Bradley-Terry with ties (Davidson 1970) on CLIP image embeddings" +
      std::string(input.data.rewards.empty()
                      ? ""
                      : " and the scores of " + data::joined(input.data.rewards, ", ")) +
      ". A difference of 1 is odds of e.\n\n" + facts_of(input, trained) + "\n\n" + table_of(rows) +
      "\nHeld out: no picture of a measured pair was trained on, nor did it choose the ridge. "
      "Intervals are Wilson's and treat pairs as independent. Own consistency: pairs that were "
      "asked twice.\n";
  if (!trained.taste.people.empty())
    text += "\nPeople: " + data::joined(trained.taste.people, ", ") +
            ". Without `;person=NAME` the reward is what they share.\n";
  return text;
}

rewards::TrainedTaste train(const TasteInput& input, int64_t folds) {
  Progress progress("Fitting", folds + 1, "fit");
  return rewards::train_taste(input.data, folds, [&] { progress.advance(); });
}

int print_result(const PairsCommand& config,
                 const TasteInput& input,
                 const rewards::TrainedTaste& trained,
                 const std::vector<Row>& rows) {
  std::cout << facts_of(input, trained) << "\n";
  for (const auto& row : rows)
    std::cout << data::formatted("  %-18s %-22s %6lld pairs\n", row.name.c_str(),
                                 share_text(row.agreement.share).c_str(),
                                 static_cast<long long>(row.agreement.pairs));
  std::cout << "wrote " << config.output << "; use it by --define 'mine=pairs:" << config.output
            << "'\n";
  if (input.left_out.empty()) return 0;
  data::log_error(std::to_string(input.left_out.size()) + " pictures left out, see above");
  return kBadInput;
}

int train_pairs_command(const std::vector<std::string>& arguments) {
  PairsCommand config;
  Options options("train-reward pairs",
                  "Learns a taste from choices between pictures, likes and dislikes.");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel train-reward pairs: unexpected '" + parsed.positional[0] + "'");
  if (config.data.empty())
    throw BadInput("--data: expected a file or folder of choices, found none");
  check_reward_folder("train-reward pairs", config.output);
  const rewards::Choices choices = read_all_choices(config.data);
  for (const auto& line : choices.left_out) data::log_error(line);
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  const auto sources = reward_sources(config.sources, placement.device);
  const auto clip = head_clip(config.embedder, sources);
  const TasteInput input =
      taste_input(choices, clip, rewards_named(config, sources, have_prompts(choices)),
                  {.batch_size = config.batch_size, .device = placement.device});
  if (input.too_many_people)
    data::log_warning("more than 200 people: their choices are learnt as one person's");
  auto trained = train(input, config.folds);
  trained.taste.fingerprint = clip->images(rewards::clip_test_image())[0].cpu();
  const auto rows = held_out_rows(input, trained, -1);
  const data::FolderLock lock(config.output);
  rewards::save_taste(config.output, trained.taste);
  write_card(config.output,
             {.family = "pairs",
              .settings = trained.taste.people.empty() ? "" : ";person=NAME",
              .description = card_text(input, trained, rows)},
             report_of(input, trained, rows), options.resolved());
  return print_result(config, input, trained, rows);
}

}  // namespace

const Command kTrainPairs{"pairs", "a taste, from choices between pictures and likes",
                          train_pairs_command};

}  // namespace tools
