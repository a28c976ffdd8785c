// `laurel train-reward pairs`: people's choices -> a taste.

#include "tools/train_reward/pairs.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/log.hpp"
#include "data/base/strings.hpp"
#include "data/storage/folder_lock.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/pairs/files.hpp"
#include "rewards/pairs/train_taste.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/train_reward/member_options.hpp"
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
  int64_t folds = 5, batch_size = 16, seed = 0;
  double margin_scale = 0;
  MemberConfig members{.vary = "data"};
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
  options.number("margin_scale", config.margin_scale,
                 "log-odds a unit of a choice's margin, by which its winner is to lead; 0: none", 0,
                 1e6);
  options.text("embedder", config.embedder,
               "any CLIP for the head: PATH;act=..;tokenizer=.. [that of --clip]");
  declare_reward_sources(options, config.sources, Rarity::kRare);
  options.rare().integer("batch_size", config.batch_size, "images at once", 1, 4096);
  options.rare().integer("seed", config.seed, "of members and label noise", 0);
  declare_members(options, config.members);
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
  std::string text = number(input.pairs) + " pairs (" + number(input.ties) + " ties" +
                     (input.soft > 0 ? ", " + number(input.soft) + " soft labels" : "") + "), " +
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

// Turns the answers of a share of the decided pairs and likes around, for studies of wrong labels.
void add_label_noise(std::vector<rewards::TasteAnswer>& answers, double share, int64_t seed) {
  std::vector<size_t> decided;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].outcome != rewards::kTied) decided.push_back(i);
  }
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  const auto count = static_cast<int64_t>(decided.size());
  const auto order = at::randperm(count, generator, at::kLong);
  for (int64_t i = 0; i < std::llround(share * static_cast<double>(count)); ++i) {
    auto& outcome = answers[decided[static_cast<size_t>(order[i].item<int64_t>())]].outcome;
    outcome = outcome == rewards::kWonA ? rewards::kWonB : rewards::kWonA;
  }
}

// With --members, the taste becomes the mean of fits to bootstraps of the answers.
rewards::TrainedTaste train(const TasteInput& input, const PairsCommand& config) {
  const bool bootstrap = config.members.vary == "data" && config.members.members > 1;
  const int64_t members = bootstrap ? config.members.members : 0;
  Progress progress("Fitting", config.folds + 1 + members, "fit");
  auto trained = rewards::train_taste(input.data, config.folds, [&] { progress.advance(); });
  std::vector<rewards::Taste> fits;
  for (int64_t m = 0; m < members; ++m) {
    auto generator = at::detail::createCPUGenerator(seed_of_member(config.seed, m));
    fits.push_back(rewards::fit_taste(rewards::resampled(input.data, generator), trained.ridges));
    progress.advance();
  }
  if (bootstrap) trained.taste = rewards::mean_of_members(trained.taste, fits);
  return trained;
}

void print_result(const TasteInput& input,
                  const rewards::TrainedTaste& trained,
                  const std::vector<Row>& rows) {
  std::cout << facts_of(input, trained) << "\n";
  for (const auto& row : rows)
    std::cout << data::formatted("  %-18s %-22s %6lld pairs\n", row.name.c_str(),
                                 share_text(row.agreement.share).c_str(),
                                 static_cast<long long>(row.agreement.pairs));
}

std::string members_text(const PairsCommand& config) {
  std::string text;
  if (config.members.members > 1)
    text += "\nThe mean of " + std::to_string(config.members.members) +
            (config.members.vary == "clip" ? " members, each of its own CLIP.\n"
                                           : " members, fitted to bootstraps of the choices; the "
                                             "table is of a fit to all of them.\n");
  if (config.members.label_noise > 0)
    text += data::formatted("\nFor a study, %g %% of the decided choices were turned around.\n",
                            100 * config.members.label_noise);
  return text;
}

// What every member is trained on.
struct PairsMaterial {
  const rewards::Choices& choices;
  const rewards::RewardSources& sources;
  at::Device device;
  std::string settings;  // resolved
};

// Trains on one CLIP and writes the reward's folder. -> pictures that were left out
size_t train_one(const PairsCommand& config,
                 const PairsMaterial& material,
                 const std::shared_ptr<rewards::ClipEmbedder>& clip,
                 const fs::path& folder) {
  TasteInput input = taste_input(
      material.choices, clip,
      rewards_named(config, material.sources, have_prompts(material.choices)), config.margin_scale,
      {.batch_size = config.batch_size, .device = material.device});
  if (input.too_many_people)
    data::log_warning("more than 200 people: their choices are learnt as one person's");
  add_label_noise(input.data.answers, config.members.label_noise, config.seed);
  auto trained = train(input, config);
  const data::FolderLock lock(folder);
  trained.taste.fingerprint = clip->images(rewards::clip_test_image())[0].cpu();
  const auto rows = held_out_rows(input, trained, -1);
  ordered_json report = report_of(input, trained, rows);
  if (config.members.members > 1) report["members"] = config.members.members;
  if (config.members.label_noise > 0) report["label_noise"] = config.members.label_noise;
  rewards::save_taste(folder, trained.taste);
  rewards::write_member_list(folder, {});
  write_card(folder,
             {.family = "pairs",
              .settings = trained.taste.people.empty() ? "" : ";person=NAME",
              .description = card_text(input, trained, rows) + members_text(config)},
             report, material.settings);
  print_result(input, trained, rows);
  return input.left_out.size();
}

// A folder for each CLIP of --clips, and their list.
size_t train_on_clips(const PairsCommand& config,
                      const PairsMaterial& material,
                      const std::vector<fs::path>& clips) {
  const fs::path output = config.output;
  std::vector<rewards::ListedMember> list;
  size_t left_out = 0;
  for (const auto& clip : clips) {
    const fs::path folder = output / std::to_string(list.size() + 1);
    left_out =
        train_one(config, material, rewards::load_clip_embedder(clip, material.device), folder);
    list.push_back({folder, clip});
  }
  rewards::write_member_list(output, list);
  return left_out;
}

void check(const PairsCommand& config) {
  if (config.data.empty())
    throw BadInput("--data: expected a file or folder of choices, found none");
  if (config.members.vary == "seed")
    throw BadInput(
        "--vary seed: the fit has a single optimum, so that all members would be equal; use "
        "--vary data");
  if (config.members.vary == "clip" && !config.embedder.empty())
    throw BadInput("--embedder: goes with one CLIP, found --vary clip; name them all by --clips");
  check_reward_folder("train-reward pairs", config.output);
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
  check(config);
  const auto clips = clips_of_members(config.members);
  const rewards::Choices choices = read_all_choices(config.data);
  for (const auto& line : choices.left_out) data::log_error(line);
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  const auto sources = reward_sources(config.sources, placement.device);
  const PairsMaterial material{choices, sources, placement.device, options.resolved()};
  const size_t left_out =
      clips.empty()
          ? train_one(config, material, head_clip(config.embedder, sources), config.output)
          : train_on_clips(config, material, clips);
  std::cout << "wrote " << config.output << "; use it by --define 'mine=pairs:" << config.output
            << "'\n";
  if (left_out == 0) return 0;
  data::log_error(std::to_string(left_out) + " pictures left out, see above");
  return kBadInput;
}

}  // namespace

const Command kTrainPairs{"pairs", "a taste, from choices between pictures and likes",
                          train_pairs_command};

}  // namespace tools
