#include "finetune/run/run_folder.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/digital_source.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/images/image_io.hpp"
#include "data/train/metrics.hpp"
#include "finetune/run/checkpoint_files.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using data::BadInput;

constexpr const char* kCheckpoint = "checkpoint-";

std::string iso_time(double seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

int64_t step_of(const fs::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  const std::string digits = name.substr(std::min(name.size(), std::string(kCheckpoint).size()));
  const auto step = data::number_of<int64_t>(digits);
  return name.starts_with(kCheckpoint) && step && *step >= 0 ? *step : -1;
}

data::GenerationParameters parameters_of(const EvalItem& item,
                                         const at::Tensor& image,
                                         const SampleCaption& text) {
  data::GenerationParameters parameters;
  parameters.prompt = item.prompt;
  parameters.steps = text.steps;
  parameters.sampler = text.sampler;
  parameters.cfg_scale = text.guidance_scale;
  parameters.seed = item.seed;
  parameters.width = image.size(2);
  parameters.height = image.size(1);
  parameters.model = text.model;
  return parameters;
}

std::string run_kind(const fs::path& run) {
  const auto found = data::parse_json(data::read_file(run));
  const auto kind = found.is_object() ? found.value("kind", nlohmann::json()) : nlohmann::json();
  return kind.is_string() ? kind.get<std::string>() : "?";
}

void check_kind(const fs::path& folder,
                const std::string& found,
                const std::string& expected,
                bool resume) {
  if (!resume) {
    throw BadInput("output_dir " + folder.string() + ": expected a new folder, found a run of " +
                   found + "; choose another, or go on with --resume_from_checkpoint latest");
  }
  if (found != expected) {
    throw BadInput("output_dir " + folder.string() + ": expected a run of " + expected +
                   ", found one of " + found + "; choose another folder");
  }
}

// What a run that was killed left half written: checkpoints, run.json and config.toml.
void remove_half_written(const fs::path& folder) {
  if (!fs::is_directory(folder)) return;
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.starts_with(kCheckpoint) || name.starts_with("run.json.") ||
                      name.starts_with("config.toml.") || name == "accepted.tmp";
    if (ours && name.ends_with(".tmp")) stale.push_back(entry.path());
  }
  for (const auto& path : stale) fs::remove_all(path);
}

bool holds_other_files(const fs::path& folder) {
  const fs::directory_iterator files(folder);
  return std::any_of(begin(files), end(files), [](const fs::directory_entry& entry) {
    return !data::FolderLock::is_lock(entry.path());
  });
}

// The newest of the first `count` that is undamaged.
std::optional<fs::path> newest_whole(const std::vector<fs::path>& all, size_t count) {
  for (size_t i = count; i-- > 0;) {
    if (damage_of(all[i]).empty()) return all[i];
  }
  return std::nullopt;
}

// Throws BadInput for a damaged checkpoint; it names the one before it that is whole.
void check_whole(const fs::path& checkpoint, const std::vector<fs::path>& all) {
  const std::string damage = damage_of(checkpoint);
  if (damage.empty()) return;
  const auto behind = std::find_if(all.begin(), all.end(), [&](const fs::path& other) {
    return step_of(other) >= step_of(checkpoint);
  });
  const auto before = newest_whole(all, static_cast<size_t>(behind - all.begin()));
  throw BadInput(checkpoint.string() + ": expected the checkpoint as it was written, found that " +
                 damage +
                 (before ? "; go on from " + before->string() +
                               ", which is whole, with --resume_from_checkpoint latest-good"
                         : "; no whole one is left before it: start in a new folder"));
}

}  // namespace

data::FolderLock open_run(const fs::path& folder,
                          const RunRecord& record,
                          const std::string& config_text,
                          bool resume) {
  data::FolderLock lock(folder);
  const fs::path run = folder / "run.json";
  remove_half_written(folder);
  const bool known = fs::exists(run);
  if (known) check_kind(folder, run_kind(run), record.kind, resume);
  if (!known && holds_other_files(folder)) {
    throw BadInput("output_dir " + folder.string() +
                   ": expected a new or empty folder, found other files in it; choose another");
  }
  if (!known) {  // first, so that a run that is killed here is still known as one
    const nlohmann::ordered_json line{{"laurel", "0.1.0"},       {"kind", record.kind},
                                      {"model", record.model},   {"reward", record.reward},
                                      {"seed", record.seed},     {"started", iso_time(data::now())},
                                      {"device", record.device}, {"synthetic", record.synthetic}};
    data::write_file(run, data::to_text(line, 1) + "\n");
  }
  data::write_file(folder / "config.toml", config_text);
  return lock;
}

std::vector<fs::path> checkpoints(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!fs::exists(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (step_of(entry.path()) >= 0 && fs::exists(entry.path() / "state.safetensors"))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return step_of(a) < step_of(b); });
  return found;
}

std::optional<fs::path> find_checkpoint(const fs::path& folder, const std::string& name) {
  const auto all = checkpoints(folder);
  if (name == "latest" || name == "latest-good") {
    if (all.empty()) return std::nullopt;
    if (name == "latest-good")
      if (const auto whole = newest_whole(all, all.size())) return whole;
    check_whole(all.back(), all);
    return all.back();
  }
  for (const fs::path& place : {fs::path(name), folder / name}) {
    if (!fs::exists(place / "state.safetensors")) continue;
    check_whole(place, all);
    return place;
  }
  throw BadInput(
      "resume_from_checkpoint: expected `latest`, `latest-good` or a folder that holds "
      "state.safetensors, found " +
      name);
}

void prune_checkpoints(const fs::path& folder, int64_t limit) {
  if (limit == 0) return;
  const auto all = checkpoints(folder);
  for (size_t i = 0; i + static_cast<size_t>(limit) < all.size(); ++i) remove_checkpoint(all[i]);
}

void check_same_config(const std::string& now,
                       const std::string& then,
                       const std::vector<std::string>& free,
                       const std::string& where) {
  const auto current = data::values_by_key(now), stored = data::values_by_key(then);
  for (const auto& [key, value] : stored) {
    if (std::find(free.begin(), free.end(), key) != free.end()) continue;
    const auto found = current.find(key);
    if (found == current.end() || found->second == value) continue;
    throw BadInput(where + ": " + key + ": the checkpoint was made with " + value + ", found " +
                   found->second + "; set it back, or start in a new folder");
  }
}

void write_samples(const fs::path& folder,
                   const EvalSet& set,
                   const Evaluation& evaluation,
                   const SampleCaption& text) {
  std::string lines;
  for (size_t i = 0; i < set.items.size(); ++i) {
    const EvalItem& item = set.items[i];
    const at::Tensor image = evaluation.images[static_cast<int64_t>(i)];
    char file[32];
    std::snprintf(file, sizeof file, "%04zu.png", i);
    data::GenerationParameters parameters = parameters_of(item, image, text);
    nlohmann::ordered_json scores = nlohmann::ordered_json::object();
    for (size_t m = 0; m < evaluation.names.size(); ++m) {
      const double score =
          evaluation.rewards[static_cast<int64_t>(i)][static_cast<int64_t>(m)].item<double>();
      scores[evaluation.names[m]] = score;
      parameters.extra.push_back({evaluation.names[m] + " Score", data::short_number(score)});
    }
    data::PngText chunks = data::generated_mark();
    chunks["parameters"] = data::parameters_text(parameters);
    data::write_png(folder / file, image, chunks);
    lines += data::to_text(nlohmann::ordered_json{{"file", file},
                                                  {"prompt", item.prompt},
                                                  {"seed", item.seed},
                                                  {"split", item.split},
                                                  {"rewards", scores}}) +
             "\n";
  }
  data::write_file(folder / "scores.jsonl", lines);
}

}  // namespace finetune
