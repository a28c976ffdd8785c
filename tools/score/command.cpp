#include "tools/score/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/log.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/folder_lock.hpp"
#include "rewards/combine/measures.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/combine/statistics.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/cli/combination_options.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/score/edits.hpp"
#include "tools/score/image_prompts.hpp"
#include "tools/score/images.hpp"
#include "tools/score/log.hpp"
#include "tools/score/report.hpp"
#include "tools/score/rows.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct ScoreConfig {
  std::string rewards = "aesthetic,clip_score";
  CombinationConfig combination;
  PromptSources prompts;
  std::string prompts_file, baseline;
  std::string format = "table";
  std::string output, save_statistics;
  std::string sort = "file";
  int64_t top = 0;  // 0: all
  int64_t batch_size = 16, decode_threads = 2;
  bool write_png = false, list = false, dry_run = false, recursive = false;
  ScoreEditsConfig edits;
  RewardSourceConfig sources;
  DeviceConfig device;
};

void declare(Options& options, ScoreConfig& config) {
  options.text("rewards", config.rewards, "names, or name=weight for a weighted total");
  options.short_name("rewards", 'r');
  options.rare().flag("recursive", config.recursive,
                      "of a folder, also the images of folders inside it");
  options.flag("list", config.list, "show the rewards with unit, range and meaning");
  options.flag("dry_run", config.dry_run, "load the models only; list each tensor that is mapped");
  declare_combination(options, config.combination);
  options.text("baseline", config.baseline,
               "JSONL of earlier scores, which are subtracted file by file");
  options.text("save_statistics", config.save_statistics, "write each reward's mean and spread");
  options.group("prompts (else NAME.txt, metadata.jsonl or the PNG's own text)");
  options.text("prompt", config.prompts.prompt, "one prompt for all images");
  options.short_name("prompt", 'p');
  options.text("prompts", config.prompts_file, "file with a prompt a line, in order of names");
  options.group("output");
  options.choice("format", config.format, {"table", "jsonl", "csv"}, "of the result");
  options.short_name("format", 'f');
  options.text("output", config.output, "file instead of printing; a killed run can be resumed");
  options.short_name("output", 'o');
  options.text("sort", config.sort, "file, total or a reward (largest first)");
  options.integer("top", config.top, "only the first N; 0: all", 0);
  options.flag("write_png", config.write_png, "add the scores to each PNG's parameters text");
  options.group("models and machine");
  declare_reward_sources(options, config.sources);
  options.integer("batch_size", config.batch_size, "images at once", 1, 4096);
  options.rare().integer("decode_threads", config.decode_threads, "threads that decode images", 1,
                         256);
  declare_device(options, config.device);
  declare_score_edits(options, config.edits);
}

void print_list() {
  for (const auto* entry : rewards::reward_entries()) {
    const rewards::RewardInfo& info = entry->info;
    std::cout << info.name << "\n    " << info.description << "\n    unit " << info.unit
              << ", usually " << info.low << " to " << info.high
              << (info.needs_prompt ? ", needs a prompt" : "")
              << (info.differentiable ? ", differentiable" : "") << "\n";
  }
  std::cout << "with --define NAME=FAMILY:PATH\n";
  for (const auto* family : rewards::reward_families()) {
    if (*family->description)
      std::cout << "  " << family->name << "\n    " << family->description << "\n";
  }
}

std::vector<fs::path> collect(const std::vector<std::string>& places, bool recursive) {
  if (places.empty()) throw BadInput("score: expected images, folders or patterns, found nothing");
  auto images =
      data::list_images(places, recursive ? data::Folders::kRecursive : data::Folders::kFlat);
  std::sort(images.begin(), images.end());
  images.erase(std::unique(images.begin(), images.end()), images.end());
  return images;
}

using Rewards = std::vector<rewards::WeightedReward>;

// The images in order of their names, without those that could not be read.
struct ScoredFiles {
  std::vector<std::string> files, prompts;
  at::Tensor raw;  // [N, M] fp64
  int64_t failed = 0;
};

std::vector<std::string> names_of(const Rewards& rewards) {
  std::vector<std::string> names;
  for (const auto& part : rewards) names.push_back(part.reward.info.name);
  return names;
}

// Equal texts: a run may be resumed. Names the rewards and their weights.
std::string identity(const Rewards& rewards, const rewards::RewardSources& sources) {
  std::string text;
  for (const auto& part : rewards)
    text +=
        part.reward.info.name + " " + part.reward.info.description + part.reward.info.model + ";";
  return text + identity_of(sources);
}

std::unique_ptr<ScoreLog> open_log(const std::string& output, const std::string& identity) {
  if (output.empty()) return nullptr;
  auto log = std::make_unique<ScoreLog>(output + ".part", identity);
  if (log->size())
    data::log_info(std::to_string(log->size()) + " images are scored already, going on");
  return log;
}

using ScoredRows =
    std::vector<ScoreLog::Row>;  // one an image; raw is empty where it was not scored

// The row of an earlier run; null: none, or with another prompt.
const ScoreLog::Row* logged(const ScoreLog* log, const ScoreJob& job) {
  const auto* row = log ? log->find(job.path.string()) : nullptr;
  if (!row) return nullptr;
  const std::string prompt = job.prompt ? *job.prompt : data::caption_in_png(job.path).text;
  return row->prompt == prompt ? row : nullptr;
}

ScoredRows score_missing(const std::vector<ScoreJob>& jobs,
                         const Rewards& rewards,
                         const ScoringOptions& options,
                         ScoreLog* log) {
  ScoredRows rows(jobs.size());
  std::vector<ScoreJob> missing;
  for (const auto& job : jobs) {
    if (const auto* row = logged(log, job))
      rows[job.row] = *row;
    else
      missing.push_back(job);
  }
  constexpr size_t kWorthABar = 200;
  std::optional<Progress> progress;
  if (missing.size() >= kWorthABar)
    progress.emplace("Scoring", static_cast<int64_t>(missing.size()));
  std::vector<std::pair<std::string, ScoreLog::Row>> batch;
  const ScoringHooks hooks{.scored =
                               [&](const ScoreJob& job, const std::vector<double>& raw) {
                                 rows[job.row] = {*job.prompt, raw};
                                 batch.emplace_back(job.path.string(), rows[job.row]);
                                 if (progress) progress->advance();
                               },
                           .failed =
                               [&](const ScoreJob&, const std::string& fault) {
                                 if (jobs.size() == 1) throw BadInput(fault);
                                 data::log_error(fault);
                                 if (progress) progress->advance();
                               },
                           .batch_done =
                               [&] {
                                 if (log) log->add(batch);
                                 batch.clear();
                               }};
  score_files(std::move(missing), rewards, options, hooks);
  return rows;
}

ScoredFiles collect_rows(const std::vector<fs::path>& paths,
                         const ScoredRows& rows,
                         const Rewards& rewards) {
  const int64_t width = rewards::measure_width(rewards);
  ScoredFiles scored;
  std::vector<double> values;
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto& [prompt, raw] = rows[i];
    if (static_cast<int64_t>(raw.size()) != width) {
      ++scored.failed;
      continue;
    }
    scored.files.push_back(paths[i].string());
    scored.prompts.push_back(prompt);
    values.insert(values.end(), raw.begin(), raw.end());
  }
  if (scored.files.empty()) throw BadInput("score: none of the images could be scored, see above");
  const std::vector<int64_t> ids = rewards::ids_of_texts(scored.prompts);
  rewards::check_groups(rewards, ids);
  scored.raw = rewards::scores_of(rewards, at::tensor(values, at::kDouble).view({-1, width}), ids);
  return scored;
}

// The raw values of earlier scores for the same file names. -> [N, M]
at::Tensor read_baseline(const fs::path& path,
                         const std::vector<std::string>& files,
                         const std::vector<std::string>& names) {
  std::map<std::string, std::vector<double>> earlier;
  for (const auto& row : read_scores(path)) {
    auto& values = earlier[fs::path(row.file).filename().string()];
    if (!values.empty())
      throw BadInput(path.string() + ": expected every file name once, found two files " +
                     fs::path(row.file).filename().string() + "; score one folder at a time");
    for (const auto& name : names) {
      const auto found = row.rewards.find(name);
      if (found == row.rewards.end())
        throw BadInput(path.string() + ": expected the reward " + name + " of " + row.file +
                       ", found none; score both folders with the same rewards");
      values.push_back(found->second);
    }
  }
  std::vector<double> values;
  for (const auto& file : files) {
    const auto found = earlier.find(fs::path(file).filename().string());
    if (found == earlier.end())
      throw BadInput(path.string() + ": expected a score of " + fs::path(file).filename().string() +
                     ", found none");
    values.insert(values.end(), found->second.begin(), found->second.end());
  }
  return at::tensor(values, at::kDouble).view({-1, static_cast<int64_t>(names.size())});
}

ScoreReport report_of(const Rewards& rewards,
                      const ScoredFiles& images,
                      const rewards::ScoredBatch& scored) {
  ScoreReport report;
  for (const auto& part : rewards) report.rewards.push_back(part.reward.info);
  for (size_t i = 0; i < images.files.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    ScoredImage image{images.files[i], images.prompts[i], {}, {}, scored.total[row].item<double>()};
    for (size_t m = 0; m < rewards.size(); ++m) {
      image.raw.push_back(scored.raw[row][static_cast<int64_t>(m)].item<double>());
      image.normalised.push_back(scored.normalised[row][static_cast<int64_t>(m)].item<double>());
    }
    report.images.push_back(image);
  }
  return report;
}

void write_into_pngs(const ScoreReport& report) {
  for (const auto& image : report.images) {
    const std::string png = data::read_file(image.file);
    if (!data::is_png(png)) {
      data::log_warning(image.file + ": not a PNG: its scores are not written into it");
      continue;
    }
    const auto text = data::png_text_of(png, image.file);
    const auto found = text.find("parameters");
    const std::string before = found == text.end() ? image.prompt : found->second;
    data::write_file(
        image.file,
        data::with_png_text(png, {{"parameters", with_scores(before, report, image)}}, image.file));
  }
}

void deliver(const ScoreReport& report, const ScoreConfig& config) {
  const std::string text = config.format == "table"   ? table_text(report)
                           : config.format == "jsonl" ? jsonl_text(report)
                                                      : csv_text(report);
  if (config.output.empty())
    std::cout << text;
  else
    data::write_file(config.output, text);
}

int score(const std::vector<fs::path>& paths, const ScoreConfig& config) {
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const auto sources = reward_sources(config.sources, placement.device);
  const auto rewards = rewards::make_rewards(config.rewards, sources);
  rewards::CombineOptions combine = combination(config.combination, rewards);
  bool need_prompt = combine.normaliser->compares_prompt_images;
  bool compares_images = false;
  for (const auto& part : rewards) {
    need_prompt |= part.reward.info.needs_prompt;
    compares_images |= part.reward.info.compares_images;
  }
  const auto lock =
      config.output.empty() ? data::FolderLock() : data::FolderLock::of_file(config.output);
  const auto log = open_log(config.output, identity(rewards, sources));
  const ScoredRows rows = score_missing(jobs_of(paths, config.prompts), rewards,
                                        {.batch_size = config.batch_size,
                                         .decode_threads = config.decode_threads,
                                         .need_prompt = need_prompt,
                                         .measures = compares_images,
                                         .device = placement.device},
                                        log.get());
  const ScoredFiles images = collect_rows(paths, rows, rewards);
  if (!config.baseline.empty())
    combine.baseline = read_baseline(config.baseline, images.files, names_of(rewards));
  if (!config.save_statistics.empty())
    data::write_file(config.save_statistics, rewards::statistics_text(rewards::measure_statistics(
                                                 names_of(rewards), images.raw)));
  ScoreReport report =
      report_of(rewards, images,
                rewards::combine(images.raw, rewards::ids_of_texts(images.prompts), combine));
  sort_by(report, config.sort);
  if (config.write_png) write_into_pngs(report);
  if (config.top > 0 && report.images.size() > static_cast<size_t>(config.top))
    report.images.resize(static_cast<size_t>(config.top));
  deliver(report, config);
  if (log) log->remove();
  if (images.failed)
    data::log_error(std::to_string(images.failed) + " of " + std::to_string(paths.size()) +
                    " images not scored, see above");
  return images.failed ? 2 : 0;
}

int dry_run(const ScoreConfig& config) {
  const Placement placement = open_device(config.device);
  auto sources = reward_sources(config.sources, placement.device);
  sources.trace = [](const std::string& line) { std::cout << "  " << line << "\n"; };
  for (const auto& part : rewards::make_rewards(config.rewards, sources)) {
    const auto& info = part.reward.info;
    std::cout << info.name << ": " << info.description
              << (info.model.empty() ? "" : "; " + info.model) << "\n";
  }
  return 0;
}

int score_command(const std::vector<std::string>& arguments) {
  ScoreConfig config;
  Options options("score", "Scores images with rewards; higher is better.",
                  "IMAGE|FOLDER|PATTERN...");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (config.list) {
    print_list();
    return 0;
  }
  if (config.dry_run) return dry_run(config);
  if (config.edits.edit) {
    config.edits.rewards = options.given("rewards") ? config.rewards : "";
    config.edits.output = config.output;
    return score_edits(parsed.positional, config.edits, config.sources, config.device);
  }
  config.prompts.prompts = config.prompts_file;
  return score(collect(parsed.positional, config.recursive), config);
}

}  // namespace

const Command kScore{"score", "rate images with rewards: a table, JSONL or CSV", score_command};

}  // namespace tools
