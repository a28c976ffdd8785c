#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iostream>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/image_io.hpp"
#include "tools/commands.hpp"
#include "tools/device.hpp"
#include "tools/image_prompts.hpp"
#include "tools/reward_options.hpp"
#include "tools/score_report.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct ScoreConfig {
  std::string rewards = "aesthetic,clip_score";
  std::string normalise = "range";
  PromptSources prompts;
  std::string prompts_file;
  std::string format = "table";
  std::string output;
  std::string sort = "file";
  int64_t top = 0;  // 0: all
  int64_t batch_size = 16;
  bool write_png = false;
  bool list = false;
  RewardSourceConfig sources;
  DeviceConfig device;
};

// What is scored so far. Images wait until a batch of one size is full.
struct Work {
  std::vector<std::string> files, prompts;  // of the images that could be read
  std::vector<at::Tensor> waiting;          // [3, H, W] each: the last of `files`
  std::vector<at::Tensor> raw;              // [<= batch, M] each
  int64_t failed = 0;
};

void declare(Options& options, ScoreConfig& config) {
  options.text("rewards", config.rewards, "names, or name=weight for a weighted total");
  options.short_name("rewards", 'r');
  options.flag("list", config.list, "show the rewards with unit, range and meaning");
  options.choice("normalise", config.normalise, {"none", "range", "prompt"},
                 "scale before weighting");
  options.group("prompts (else NAME.txt, metadata.jsonl or the PNG's own text)");
  options.text("prompt", config.prompts.prompt, "one prompt for all images");
  options.short_name("prompt", 'p');
  options.text("prompts", config.prompts_file, "file with a prompt a line, in order of names");
  options.group("output");
  options.choice("format", config.format, {"table", "jsonl", "csv"}, "of the result");
  options.short_name("format", 'f');
  options.text("output", config.output, "file to write instead of printing");
  options.short_name("output", 'o');
  options.text("sort", config.sort, "file, total or a reward (largest first)");
  options.integer("top", config.top, "only the first N; 0: all", 0);
  options.flag("write_png", config.write_png, "add the scores to each PNG's parameters text");
  options.group("models and machine");
  declare_reward_sources(options, config.sources);
  options.integer("batch_size", config.batch_size, "images at once", 1, 4096);
  declare_device(options, config.device);
}

void print_list() {
  for (const auto& info : rewards::reward_infos()) {
    std::cout << info.name << "\n    " << info.description << "\n    unit " << info.unit
              << ", usually " << info.low << " to " << info.high
              << (info.needs_prompt ? ", needs a prompt" : "")
              << (info.differentiable ? ", differentiable" : "") << "\n";
  }
}

std::vector<fs::path> collect(const std::vector<std::string>& places) {
  if (places.empty()) throw BadInput("score: expected images, folders or patterns, found nothing");
  std::vector<fs::path> images;
  for (const auto& place : places) {
    for (const auto& image : data::list_images(place)) images.push_back(image);
  }
  std::sort(images.begin(), images.end());
  images.erase(std::unique(images.begin(), images.end()), images.end());
  return images;
}

using Rewards = std::vector<rewards::WeightedReward>;

void score_waiting(Work& work, const Rewards& rewards, const Placement& placement) {
  if (work.waiting.empty()) return;
  const std::vector<std::string> prompts(
      work.prompts.end() - static_cast<int64_t>(work.waiting.size()), work.prompts.end());
  const auto images = at::stack(work.waiting).to(placement.device);
  work.raw.push_back(rewards::score_all(rewards, {images, prompts}).cpu());
  work.waiting.clear();
}

// Names on stderr what cannot be read or lacks a prompt that a reward needs: then undefined. An
// image `alone` is the whole request: its BadInput goes on.
at::Tensor read_or_report(const fs::path& path,
                          const std::string& prompt,
                          bool need_prompt,
                          bool alone) {
  try {
    if (need_prompt && prompt.empty())
      throw BadInput(path.string() +
                     ": no prompt found, which these rewards need; give --prompt or --prompts");
    return data::read_image(path);
  } catch (const BadInput& error) {
    if (alone) throw;
    std::cerr << "laurel: " << error.what() << "\n";
    return {};
  }
}

// In order, in batches of neighbours of one size.
Work score_all_images(const std::vector<fs::path>& paths,
                      const ScoreConfig& config,
                      const Rewards& rewards,
                      const Placement& placement,
                      bool need_prompt) {
  const at::NoGradGuard no_grad;
  const PrecisionScope precision(placement);
  const auto prompts = prompts_of_images(paths, config.prompts);
  Work work;
  const auto score = [&] { score_waiting(work, rewards, placement); };
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto image = read_or_report(paths[i], prompts[i], need_prompt, paths.size() == 1);
    if (!image.defined()) {
      ++work.failed;
      continue;
    }
    if (!work.waiting.empty() && work.waiting[0].sizes() != image.sizes()) score();
    work.waiting.push_back(image);
    work.files.push_back(paths[i].string());
    work.prompts.push_back(prompts[i]);
    if (static_cast<int64_t>(work.waiting.size()) == config.batch_size) score();
  }
  score();
  return work;
}

ScoreReport report_of(const Rewards& rewards,
                      const Work& work,
                      const rewards::ScoredBatch& scored) {
  ScoreReport report;
  for (const auto& part : rewards) report.rewards.push_back(part.reward.info);
  for (size_t i = 0; i < work.files.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    ScoredImage image{work.files[i], work.prompts[i], {}, {}, scored.total[row].item<double>()};
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
    if (fs::path(image.file).extension() != ".png") {
      std::cerr << "laurel: " << image.file << ": not a PNG: its scores are not written into it\n";
      continue;
    }
    const auto text = data::read_png_text(image.file);
    const auto found = text.find("parameters");
    const std::string before = found == text.end() ? image.prompt : found->second;
    data::update_png_text(image.file, {{"parameters", with_scores(before, report, image)}});
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
  const auto rewards =
      rewards::make_rewards(config.rewards, reward_sources(config.sources, placement.device));
  const auto normaliser = rewards::normaliser_by_name(config.normalise);
  bool need_prompt = normaliser == rewards::Normaliser::kPrompt;
  for (const auto& part : rewards) need_prompt |= part.reward.info.needs_prompt;
  const Work work = score_all_images(paths, config, rewards, placement, need_prompt);
  if (work.files.empty()) throw BadInput("score: none of the images could be scored, see above");
  const auto raw = at::cat(work.raw);
  ScoreReport report =
      report_of(rewards, work, rewards::combine(rewards, raw, work.prompts, normaliser));
  sort_by(report, config.sort);
  if (config.write_png) write_into_pngs(report);
  if (config.top > 0 && report.images.size() > static_cast<size_t>(config.top))
    report.images.resize(static_cast<size_t>(config.top));
  deliver(report, config);
  if (work.failed)
    std::cerr << "laurel: " << work.failed << " of " << paths.size()
              << " images not scored, see above\n";
  return work.failed ? 2 : 0;
}

}  // namespace

int cmd_score(const std::vector<std::string>& arguments) {
  ScoreConfig config;
  Options options("score", "Rates images with rewards; higher is better.",
                  "IMAGE|FOLDER|PATTERN...");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (config.list) {
    print_list();
    return 0;
  }
  config.prompts.prompts = config.prompts_file;
  return score(collect(parsed.positional), config);
}

}  // namespace tools
