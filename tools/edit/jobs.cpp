#include "tools/edit/jobs.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/text/prompt_file.hpp"
#include "tools/edit/batch_file.hpp"
#include "tools/sample/conditions.hpp"
#include "tools/sample/jobs.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using diffusion::RewardBranchConfig;

namespace tools {
namespace {

std::vector<std::string> split_at(const std::string& text, char between) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(between, begin), text.size());
    parts.push_back(data::trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

template <class T>
T number_in(const EditLine& line, const std::string& key, T otherwise, T low, T high) {
  const auto found = line.settings.find(key);
  if (found == line.settings.end()) return otherwise;
  const auto value = data::number_of<T>(found->second);
  if (value && *value >= low && *value <= high) return *value;
  throw BadInput(line.where + ": " + key + ": expected a number from " + std::to_string(low) +
                 " to " + std::to_string(high) + ", found '" + found->second + "'");
}

double score_of(const std::string& text,
                const RewardBranchConfig& axes,
                const std::string& where,
                const Warn& warn) {
  if (text == "-" || text == "none") return std::nan("");
  const auto value = data::number_of<double>(text);
  if (!value || !std::isfinite(*value))
    throw BadInput(where + ": expected a number or -, found '" + text + "'");
  const double kept = std::clamp(*value, axes.lowest, axes.highest);
  if (kept != *value) {
    warn(where + ": " + text + " is outside " + data::short_number(axes.lowest) + " to " +
         data::short_number(axes.highest) + ", the model's range; requesting " +
         data::short_number(kept));
  }
  return kept;
}

EditJob job_of(const ImageEditConfig& c, const RewardBranchConfig& axes, const Warn& warn) {
  EditJob job{.image = {},
              .mask = c.mask,
              .instruction = data::trimmed(c.instruction),
              .negative_prompt = data::checked_prompt(c.negative_prompt, "--negative_prompt"),
              .caption = c.caption,
              .seed = 0,
              .steps = c.steps,
              .cfg_text = c.cfg_text,
              .cfg_image = c.cfg_image,
              .request_scale = c.request_scale,
              .strength = c.strength,
              .request = parse_request(c.request, axes, "--request", warn),
              .request_low = parse_request(c.request_low, axes, "--request_low", warn),
              .feedback = c.feedback,
              .set = {},
              .output = {},
              .where = {}};
  if (c.feedback == "auto") {
    job.feedback.clear();
    const bool asked = axes.text_dim > 0 && !job.request.empty();
    for (size_t i = 0; asked && i < axes.axes.size(); ++i)
      job.feedback += i == 0 ? "None" : "; None";
  }
  return job;
}

// A path that stays within the folder that it is put into. Throws BadInput.
fs::path inner_path(const std::string& text, const std::string& where) {
  const fs::path path = fs::path(text).lexically_normal();
  if (path.is_absolute() || path.empty() || path == "." || *path.begin() == ".." ||
      !path.has_filename() || text.find('\0') != text.npos)
    throw BadInput(where + ": expected the name of a file within --output_dir, found '" + text +
                   "'");
  if (!data::is_image_name(path))  // results.jsonl is the run's own
    throw BadInput(where + ": expected the name of an image, as edited.png, found '" + text + "'");
  return path;
}

// The job of a line, whose settings replace those of the command line. Throws BadInput.
EditJob job_of_line(const EditLine& line,
                    EditJob job,
                    const ImageEditConfig& config,
                    const RewardBranchConfig& axes,
                    const Warn& warn) {
  const fs::path images =
      config.image_dir.empty() ? fs::path(config.batch).parent_path() : fs::path(config.image_dir);
  const auto text = [&](const char* key, std::string& target) {
    const auto found = line.settings.find(key);
    if (found != line.settings.end()) target = data::checked_prompt(found->second, line.where);
  };
  const auto request = [&](const char* key, std::vector<double>& target) {
    const auto found = line.settings.find(key);
    if (found != line.settings.end())
      target = parse_request(found->second, axes, line.where + ": " + key, warn);
  };
  job.where = line.where;
  job.image = images / line.settings.at("image");
  if (line.settings.contains("mask")) job.mask = images / line.settings.at("mask");
  text("instruction", job.instruction);
  text("negative_prompt", job.negative_prompt);
  text("caption", job.caption);
  text("feedback", job.feedback);
  request("request", job.request);
  request("request_low", job.request_low);
  job.seed = number_in<uint64_t>(line, "seed", job.seed, 0, UINT64_MAX);
  job.steps = number_in<int64_t>(line, "steps", job.steps, 1, 1000);
  job.cfg_text = number_in<double>(line, "cfg_text", job.cfg_text, 0, 100);
  job.cfg_image = number_in<double>(line, "cfg_image", job.cfg_image, 0, 100);
  job.request_scale = number_in<double>(line, "request_scale", job.request_scale, 0, 100);
  job.strength = number_in<double>(line, "strength", job.strength, 0.001, 1);
  if (line.settings.contains("output")) {
    job.output = inner_path(line.settings.at("output"), line.where + ": output");
  } else if (line.settings.contains("id")) {
    job.output = inner_path(line.settings.at("id") + ".png", line.where + ": id");
  }
  return job;
}

struct Sweep {
  std::string set;
  std::vector<double> request;
};

// The requests of a sweep: varies one axis after the other over its range.
std::vector<Sweep> sweep_of(const ImageEditConfig& config,
                            const RewardBranchConfig& axes,
                            const std::vector<double>& asked) {
  if (config.sweep.empty()) return {{"", asked}};
  if (!diffusion::reads_reward(axes))
    throw BadInput("--sweep: the model has no reward conditioning; omit it");
  std::vector<Sweep> sweeps;
  for (size_t k = 0; k < axes.axes.size(); ++k) {
    const bool wanted =
        config.sweep == "all" ||
        static_cast<int64_t>(k) == diffusion::axis_index(axes, config.sweep, "--sweep");
    for (int64_t i = 0; wanted && i < config.sweep_points; ++i) {
      const double value = axes.lowest + (axes.highest - axes.lowest) * static_cast<double>(i) /
                                             static_cast<double>(config.sweep_points - 1);
      Sweep sweep{axes.axes[k] + " " + data::short_number(value), asked};
      sweep.request.resize(axes.axes.size(), std::nan(""));
      sweep.request[k] = value;
      sweeps.push_back(sweep);
    }
  }
  return sweeps;
}

// The output paths of the edits.
struct EditNumbering {
  const ImageEditConfig& config;
  int64_t first = 0;
};

void add_edits(EditPlan& plan,
               const EditJob& base,
               const EditNumbering& numbering,
               int64_t index,
               const RewardBranchConfig& axes) {
  const ImageEditConfig& config = numbering.config;
  const bool sets = config.gallery || !config.sweep.empty();
  for (int64_t i = 0; i < config.count; ++i) {
    EditJob job = base;
    job.seed += static_cast<uint64_t>(i * config.best_of);
    if (job.output.empty())
      job.output = image_name(numbering.first + index * config.count + i, job.seed);
    else if (i > 0)
      job.output.replace_filename(job.output.stem().string() + "-" + std::to_string(i) + ".png");
    const fs::path name = job.output;
    for (const auto& sweep : sweep_of(config, axes, base.request)) {
      job.set = sets && sweep.set.empty() ? "edited" : sweep.set;
      job.request = sweep.request;
      const fs::path folder = config.output_dir;
      job.output = !config.output.empty() ? fs::path(config.output)
                   : sets                 ? folder / "samples" / job.set / name
                                          : folder / name;
      plan.jobs.push_back(job);
    }
  }
}

// Adds a line's jobs to the plan. `taken`: the outputs of the lines before, and which line has
// them. Throws BadInput, and adds none, where one is taken.
void add_line(EditPlan& plan, const EditPlan& line, std::map<fs::path, std::string>& taken) {
  for (const auto& job : line.jobs) {
    const auto found = taken.find(job.output);
    if (found != taken.end())
      throw BadInput(job.where + ": output: expected a file of its own, found " +
                     job.output.string() + ", which " + found->second + " writes");
  }
  for (const auto& job : line.jobs) {
    taken.emplace(job.output, job.where);
    plan.jobs.push_back(job);
  }
}

}  // namespace

std::vector<double> parse_request(const std::string& text,
                                  const RewardBranchConfig& axes,
                                  const std::string& where,
                                  const Warn& warn) {
  const bool reads = diffusion::reads_reward(axes);
  if (text == "none" || (!reads && text == "auto")) return {};
  if (!reads)
    throw BadInput(where +
                   ": the model has no reward conditioning; omit it, or train a model with laurel "
                   "finetune edit");
  if (text == "auto") return std::vector<double>(axes.axes.size(), axes.highest);
  const auto parts = split_at(text, ',');
  std::vector<double> request(axes.axes.size(), std::nan(""));
  const bool named = text.find('=') != std::string::npos;
  if (!named && parts.size() != axes.axes.size()) {
    std::string list;
    for (const auto& axis : axes.axes) list += (list.empty() ? "" : ", ") + axis;
    throw BadInput(where + ": expected " + std::to_string(axes.axes.size()) + " values (" + list +
                   "), found '" + text + "'");
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    if (named && equals == std::string::npos)
      throw BadInput(where + ": expected AXIS=VALUE, found '" + parts[i] + "'");
    const auto axis = named ? static_cast<size_t>(diffusion::axis_index(
                                  axes, data::trimmed(parts[i].substr(0, equals)), where))
                            : i;
    const std::string value = named ? data::trimmed(parts[i].substr(equals + 1)) : parts[i];
    request[axis] = score_of(value, axes, where, warn);
  }
  return request;
}

std::string request_text(const std::vector<double>& request, const RewardBranchConfig& axes) {
  std::string text;
  for (size_t i = 0; i < request.size(); ++i) {
    if (std::isnan(request[i])) continue;
    text += (text.empty() ? "" : ", ") + axes.axes[i] + "=" + data::short_number(request[i]);
  }
  return text;
}

void check_edit(const ImageEditConfig& config) {
  if (config.batch.empty() == config.image.empty()) {
    throw BadInput("laurel edit: expected --image FILE or --batch FILE, found " +
                   std::string(config.batch.empty() ? "neither" : "both"));
  }
  if (config.batch.empty() && data::trimmed(config.instruction).empty())
    throw BadInput(
        "--instruction: expected an instruction, such as \"make the circle red\", found "
        "nothing");
  if (!config.output.empty() &&
      (config.count > 1 || !config.batch.empty() || config.gallery || !config.sweep.empty()))
    throw BadInput("--output: expected one edit, found several; give a folder with --output_dir");
  if (config.best_of > 1 && config.reward.empty())
    throw BadInput("--best_of: expected a reward to choose by, found none; give one with --reward");
}

EditPlan plan_edits(const ImageEditConfig& config,
                    const RewardBranchConfig& axes,
                    uint64_t random_seed,
                    const Warn& warn) {
  EditPlan plan;
  EditJob base = job_of(config, axes, warn);
  sweep_of(config, axes, base.request);  // throws for a bad axis before any image
  base.seed = config.seed < 0 ? random_seed : static_cast<uint64_t>(config.seed);
  const bool counts_on = !config.resume && config.batch.empty();
  const EditNumbering numbering{config, counts_on ? next_number(config.output_dir) : 0};
  int64_t index = 0;
  if (config.batch.empty()) {
    for (const auto& image : data::list_images(config.image)) {
      base.image = image;
      add_edits(plan, base, numbering, index++, axes);
    }
    return plan;
  }
  std::map<fs::path, std::string> taken;
  for (const auto& line : read_edit_lines(config.batch)) {
    try {
      if (!line.fault.empty()) throw BadInput(line.fault);
      EditPlan of_line;
      add_edits(of_line, job_of_line(line, base, config, axes, warn), numbering, index, axes);
      add_line(plan, of_line, taken);
    } catch (const BadInput& error) {
      plan.faults.push_back(error.what());
    }
    ++index;
  }
  return plan;
}

PixelSize edit_size(int64_t width, int64_t height, int64_t resolution, int64_t unit) {
  const double w = static_cast<double>(width), h = static_cast<double>(height),
               u = static_cast<double>(unit);
  double factor = static_cast<double>(resolution) / std::max(w, h);
  factor = std::ceil(std::min(w, h) * factor / u) * u / std::min(w, h);
  const auto side = [&](double pixels) {
    // The shorter side is a multiple up to rounding.
    return static_cast<int64_t>(std::floor(pixels * factor / u + 1e-9)) * unit;
  };
  return {side(w), side(h)};
}

at::Tensor fitted_middle(const at::Tensor& image, const PixelSize& size) {
  const int64_t height = image.size(1), width = image.size(2);
  const double scale = std::min(static_cast<double>(width) / static_cast<double>(size.width),
                                static_cast<double>(height) / static_cast<double>(size.height));
  const auto part = [&](int64_t side, int64_t all) {
    return std::clamp<int64_t>(std::llround(static_cast<double>(side) * scale), 1, all);
  };
  const int64_t rows = part(size.height, height), columns = part(size.width, width);
  const at::Tensor middle = image.narrow(1, (height - rows) / 2, rows)
                                .narrow(2, (width - columns) / 2, columns)
                                .contiguous();
  return fitted_image(middle, size.height, size.width);
}

}  // namespace tools
