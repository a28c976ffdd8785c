#include "tools/score/edits.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/edit_dataset.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/folder_lock.hpp"
#include "rewards/combine/combine.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/judge/edit_judge.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/cli/console/progress.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::ordered_json;

namespace tools {
namespace {

constexpr double kHighest = 5;  // of an edit's score

struct EditScorer {
  std::vector<rewards::WeightedReward> rewards;
  std::vector<RewardAxis> axes;
  rewards::EditJudge judge;  // may be empty
  at::Device device = at::kCPU;
  std::string settings;  // what the scores depend on; a run resumes only with the same
};

EditScorer make_scorer(const ScoreEditsConfig& config,
                       const RewardSourceConfig& sources,
                       at::Device device) {
  EditScorer scorer;
  scorer.device = device;
  const auto where = reward_sources(sources, device);
  scorer.settings = data::to_text(ordered_json{{"judge", config.judge},
                                               {"model", config.judge_model},
                                               {"axes", config.axes},
                                               {"axis", config.axis},
                                               {"rewards", config.rewards},
                                               {"sources", identity_of(where)}});
  std::vector<std::string> wanted;
  const auto want = [&](const std::string& name) {
    if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) wanted.push_back(name);
  };
  for (const auto& text : config.axis) {
    scorer.axes.push_back(parse_reward_axis(text));
    want(scorer.axes.back().reward);
  }
  if (!config.rewards.empty()) {
    for (const auto& one : rewards::parse_reward_weights(config.rewards)) want(one.name);
  }
  if (wanted.empty() && config.judge.empty()) {
    throw BadInput(
        "laurel score --edit: expected --judge, --axis NAME=REWARD:LOW..HIGH or --rewards to score "
        "with, found none");
  }
  std::string names;
  for (const auto& name : wanted) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) scorer.rewards = rewards::make_rewards(names, where);
  if (config.judge.empty()) return scorer;
  rewards::EditJudgeOptions options{.axes = {},
                                    .model = config.judge_model,
                                    .seconds = config.judge_timeout,
                                    .retries = config.judge_retries,
                                    .allow_remote = sources.allow_remote};
  for (const auto& text : config.axes) options.axes.push_back(rewards::edit_axis(text));
  if (options.axes.empty()) {
    for (const char* name : {"instruction_following", "detail_preserving", "generation_quality"})
      options.axes.push_back(rewards::edit_axis(name));
  }
  scorer.judge = rewards::make_edit_judge(config.judge, options);
  return scorer;
}

struct EditRating {
  std::map<std::string, double> scores, raw;
  std::string feedback;
};

// An edit's line with its scores; paths of images are relative to the output's folder.
std::string rated_line(const data::EditTriple& edit,
                       const EditRating& rated,
                       const fs::path& output) {
  const auto name = [&](const fs::path& image) {
    const fs::path whole = fs::absolute(image);
    return output.empty() ? whole.string()
                          : fs::proximate(whole, fs::absolute(output).parent_path()).string();
  };
  ordered_json line = data::renamed_line(edit, name(edit.source), name(edit.edited));
  if (!rated.scores.empty()) {
    ordered_json scores = line.value("scores", ordered_json::object());
    for (const auto& [axis, score] : rated.scores) scores[axis] = score;
    line["scores"] = scores;
  }
  if (!rated.feedback.empty()) line["feedback"] = rated.feedback;
  if (!rated.raw.empty()) line["rewards"] = rated.raw;
  return data::to_text(line);
}

// Throws BadInput when the judge has no answer for it.
void ask_judge(const EditScorer& scorer, const data::EditTriple& edit, EditRating& rated) {
  const auto png = [](const fs::path& image) { return data::encode_png(data::read_image(image)); };
  const auto verdict = scorer.judge({png(edit.source), png(edit.edited), edit.instruction});
  if (!verdict.problem.empty()) throw BadInput(edit.where + ": the judge: " + verdict.problem);
  for (const auto& [axis, score] : verdict.scores) rated.scores[axis] = score;
  rated.feedback = data::joined(verdict.feedback, "; ");
}

EditRating rate(const EditScorer& scorer, const data::EditTriple& edit) {
  EditRating rated;
  if (!scorer.rewards.empty()) {
    const rewards::RewardBatch batch{
        .images = data::read_image(edit.edited).unsqueeze(0).to(scorer.device),
        .prompts = {edit.instruction}};
    const at::Tensor raw = rewards::score_all(scorer.rewards, batch).cpu();  // [1, M]
    for (size_t m = 0; m < scorer.rewards.size(); ++m) {
      const double value = raw[0][static_cast<int64_t>(m)].item<double>();
      rated.raw[scorer.rewards[m].reward.info.name] = value;
    }
    for (const auto& axis : scorer.axes) {
      const double value = rated.raw.at(axis.reward);
      if (std::isfinite(value)) rated.scores[axis.axis] = score_on_axis(axis, value);
    }
  }
  if (scorer.judge) ask_judge(scorer, edit, rated);
  return rated;
}

// The finished lines of a killed run with these settings, by the edits' positions.
std::map<std::string, std::string> earlier_lines(const fs::path& part,
                                                 const std::string& settings) {
  std::map<std::string, std::string> lines;
  if (!fs::exists(part)) return lines;
  data::for_each_line(part, [&](const std::string& text, const std::string&) {
    const auto line = data::parse_json(text);
    const auto text_of = [&](const char* key) {
      const auto value = line.is_object() ? line.value(key, nlohmann::json()) : nlohmann::json();
      return value.is_string() ? value.get<std::string>() : "";
    };
    // The last line may be cut off.
    if (text_of("settings") == settings) lines[text_of("where")] = text_of("line");
  });
  return lines;
}

struct ScoredEdits {
  std::string text;
  int64_t failed = 0;
};

ScoredEdits rate_all(const EditScorer& scorer,
                     const std::vector<data::EditTriple>& edits,
                     const fs::path& output) {
  const fs::path part = output.string() + ".part";
  const auto earlier =
      output.empty() ? std::map<std::string, std::string>() : earlier_lines(part, scorer.settings);
  if (!earlier.empty())
    data::log_info(std::to_string(earlier.size()) + " edits are scored already, going on");
  Progress progress("Scoring edits", static_cast<int64_t>(edits.size()));
  ScoredEdits result;
  for (const auto& edit : edits) {
    progress.advance();
    const auto known = earlier.find(edit.where);
    if (known != earlier.end()) {
      result.text += known->second + "\n";
      continue;
    }
    std::string line;
    try {
      line = rated_line(edit, rate(scorer, edit), output);
      if (!output.empty())
        data::append_line(
            part, data::to_text(ordered_json{
                      {"settings", scorer.settings}, {"where", edit.where}, {"line", line}}));
    } catch (const BadInput& error) {
      data::log_error(error.what());
      line = rated_line(edit, {}, output);
      ++result.failed;
    }
    result.text += line + "\n";
  }
  return result;
}

}  // namespace

void declare_score_edits(Options& options, ScoreEditsConfig& config) {
  options.group("edits: a folder or JSONL of source, instruction and edited image");
  options.flag("edit", config.edit, "rate edits; their lines again with scores, to train on");
  options.text("judge", config.judge, "http://HOST/v1 or program:COMMAND: 0 to 5 and feedback");
  options.rare().text("judge_model", config.judge_model, "its name on the server [the first]");
  options.rare().list("axes", config.axes,
                      "that the judge rates, or name=question [the usual three]");
  options.list("axis", config.axis, "a reward on an axis: generation_quality=aesthetic:3..8");
  options.rare().number("judge_timeout", config.judge_timeout, "seconds for an answer", 0.01,
                        36000);
  options.rare().integer("judge_retries", config.judge_retries, "after 429, 5xx, no answer", 0,
                         100);
}

RewardAxis parse_reward_axis(const std::string& text) {
  const auto refuse = [&] {
    return BadInput(
        "--axis: expected AXIS=REWARD:LOW..HIGH, such as "
        "generation_quality=aesthetic:3..8, found '" +
        text + "'");
  };
  const size_t equals = text.find('='), colon = text.rfind(':'), dots = text.rfind("..");
  if (equals == std::string::npos || colon == std::string::npos || dots == std::string::npos ||
      equals > colon || colon > dots)
    throw refuse();
  const auto number = [&](const std::string& word) {
    const auto value = data::number_of<double>(word);
    if (!value) throw refuse();
    return *value;
  };
  const RewardAxis axis{text.substr(0, equals), text.substr(equals + 1, colon - equals - 1),
                        number(text.substr(colon + 1, dots - colon - 1)),
                        number(text.substr(dots + 2))};
  if (axis.axis.empty() || axis.reward.empty() || axis.low == axis.high) throw refuse();
  return axis;
}

double score_on_axis(const RewardAxis& axis, double raw) {
  return kHighest * std::clamp((raw - axis.low) / (axis.high - axis.low), 0.0, 1.0);
}

int score_edits(const std::vector<std::string>& places,
                const ScoreEditsConfig& config,
                const RewardSourceConfig& sources,
                const DeviceConfig& device) {
  if (places.size() != 1)
    throw BadInput("laurel score --edit: expected a folder or JSONL file of edits, found " +
                   std::to_string(places.size()) + " of them");
  const auto edits = data::read_edit_triples(places[0]);
  const Placement placement = open_device(device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  const EditScorer scorer = make_scorer(config, sources, placement.device);
  const auto lock =
      config.output.empty() ? data::FolderLock() : data::FolderLock::of_file(config.output);
  const ScoredEdits result = rate_all(scorer, edits, config.output);
  if (config.output.empty()) {
    std::cout << result.text;
  } else {
    data::write_file(config.output, result.text);
    fs::remove(config.output + ".part");
  }
  if (result.failed == 0) return 0;
  data::log_error(std::to_string(result.failed) + " of " + std::to_string(edits.size()) +
                  " edits not scored, see above");
  return 2;
}

}  // namespace tools
