#include "finetune/run/guard_control.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

fs::path scores_at(const TrainingRun& run, int64_t step) {
  return fs::path(run.config.guard_control) / "samples" / ("step-" + std::to_string(step)) /
         "scores.jsonl";
}

[[noreturn]] void refuse(const fs::path& file, const std::string& found) {
  throw data::BadInput("guard_control: " + file.string() +
                       ": expected an evaluation at this run's prompts and seeds, found " + found +
                       "; run the control with the same eval_every, eval_prompts, eval_images and "
                       "eval_seed, and without a reward");
}

double score_of(const nlohmann::json& line, const std::string& name) {
  const auto rewards = line.find("rewards");
  if (rewards == line.end() || !rewards->is_object()) return std::nan("");
  const auto found = rewards->find(name);
  return found != rewards->end() && found->is_number() ? found->get<double>() : std::nan("");
}

// Throws BadInput where no image has a score by a reward that the run is judged by.
void check_judged(const guard::Reference& control,
                  const guard::GuardOptions& judged,
                  const fs::path& file) {
  std::vector<std::string> all = judged.trained, missing;
  all.insert(all.end(), judged.held_out.begin(), judged.held_out.end());
  const at::Tensor known =
      at::cat({control.trained, control.held_out}, 1).isnan().logical_not().any(0);
  for (size_t m = 0; m < all.size(); ++m)
    if (!known[static_cast<int64_t>(m)].item<bool>()) missing.push_back(all[m]);
  if (missing.empty()) return;
  throw data::BadInput("guard_control: " + file.string() + ": expected scores of " +
                       data::joined(all, ", ") + ", by which this run is judged, found none of " +
                       data::joined(missing, ", ") + "; run the control with --eval_rewards " +
                       data::joined(all, ","));
}

// [I, names]
at::Tensor table_of(const std::vector<nlohmann::json>& lines,
                    const std::vector<std::string>& names) {
  at::Tensor table = at::empty(
      {static_cast<int64_t>(lines.size()), static_cast<int64_t>(names.size())}, at::kDouble);
  for (size_t i = 0; i < lines.size(); ++i) {
    for (size_t m = 0; m < names.size(); ++m)
      table[static_cast<int64_t>(i)][static_cast<int64_t>(m)] = score_of(lines[i], names[m]);
  }
  return table;
}

}  // namespace

void check_control(const TrainingRun& run, int64_t rounds) {
  const int64_t every = run.config.eval_every > 0 ? run.config.eval_every : rounds;
  for (int64_t round = every; round < rounds + every; round += every)
    control_at(run, std::min(round, rounds));
}

guard::Reference control_at(const TrainingRun& run, int64_t step) {
  const fs::path file = scores_at(run, step);
  if (!fs::exists(file)) refuse(file, "no such file");
  std::istringstream text(data::read_file(file));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) {
    lines.push_back(data::parse_json_object(line, file.string()));
    const size_t i = lines.size() - 1;
    const bool same = i < run.eval_set.items.size() &&
                      lines[i].value("prompt", nlohmann::json()) == run.eval_set.items[i].prompt &&
                      lines[i].value("seed", nlohmann::json()) == run.eval_set.items[i].seed;
    if (!same) refuse(file, "another prompt or seed in line " + std::to_string(i + 1));
  }
  if (lines.size() != run.eval_set.items.size())
    refuse(file, std::to_string(lines.size()) + " images instead of " +
                     std::to_string(run.eval_set.items.size()));
  const guard::Reference control{table_of(lines, run.guarded.trained),
                                 table_of(lines, run.guarded.held_out)};
  check_judged(control, run.guarded, file);
  return control;
}

}  // namespace finetune
