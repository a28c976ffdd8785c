#include "tools/train_reward/judge_student/report.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/format.hpp"
#include "data/images/image_io.hpp"
#include "rewards/evaluation/robustness_probes.hpp"
#include "rewards/judge_student/evaluate.hpp"
#include "rewards/judge_student/reward.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kReportResamples = 1000;
constexpr size_t kProbed = 64;  // images used by the probes

nlohmann::ordered_json to_json(const rewards::AxisEvaluation& result) {
  nlohmann::ordered_json json;
  if (result.points >= 2) {
    json = {{"points", result.points},
            {"spearman", result.agreement.spearman},
            {"spearman_95", {result.agreement.spearman_low, result.agreement.spearman_high}},
            {"pearson", result.agreement.pearson},
            {"mean_absolute_error", result.agreement.mean_absolute_error},
            {"nll", result.nll},
            {"ece", result.ece},
            {"error_follows_deviation", result.error_follows_deviation},
            {"surest_half_error", result.surest_half_error}};
  }
  if (result.pairs > 0) {
    json["pairs"] = result.pairs;
    json["pair_accuracy"] = result.pair_accuracy;
    json["accuracy_by_strength"] = result.accuracy_by_strength;
    json["tie_auc"] = result.tie_auc;
  }
  return json;
}

// Spearman correlation of the CLIP score with the judge, by axis.
std::map<std::string, double> clip_baseline(const rewards::StudentData& data,
                                            const std::vector<std::string>& axes) {
  std::map<std::string, double> found;
  const at::Tensor score = (data.images.index_select(0, data.points.image) *
                            data.texts.index_select(0, data.points.text))
                               .sum(1);
  const at::Tensor v = at::linspace(0, 1, static_cast<int64_t>(rewards::kBins));
  for (size_t k = 0; k < axes.size(); ++k) {
    const auto axis = static_cast<int64_t>(k);
    const at::Tensor rows = data.points.known.select(1, axis).nonzero().squeeze(1);
    if (rows.size(0) < 2) continue;
    const at::Tensor wanted = (data.points.bins.select(1, axis) * v).sum(1);
    found[axes[k]] = rewards::spearman(score.index_select(0, rows), wanted.index_select(0, rows));
  }
  return found;
}

void print_row(const std::string& model, const rewards::AxisEvaluation& result) {
  std::cout << data::formatted("  %-13s %-10s", model.c_str(), result.axis.c_str());
  if (result.points >= 2) {
    std::cout << data::formatted(" %6lld %8.3f %8.3f-%8.3f %6.3f %6.3f %6.3f %6.2f",
                                 static_cast<long long>(result.points), result.agreement.spearman,
                                 result.agreement.spearman_low, result.agreement.spearman_high,
                                 result.agreement.mean_absolute_error, result.nll, result.ece,
                                 result.error_follows_deviation);
  } else {
    std::cout << data::formatted(" %6s %8s %17s %6s %6s %6s %6s", "-", "-", "-", "-", "-", "-",
                                 "-");
  }
  if (result.pairs > 0)
    std::cout << data::formatted(" %6lld %9.3f\n", static_cast<long long>(result.pairs),
                                 result.pair_accuracy);
  else
    std::cout << data::formatted(" %6s %9s\n", "-", "-");
}

nlohmann::ordered_json to_json(const std::vector<rewards::RobustnessProbe>& probes) {
  nlohmann::ordered_json report;
  for (const auto& probe : probes) {
    std::cout << data::formatted("  %-28s %+7.2f deviations, above the original: %3.0f %%\n",
                                 probe.name.c_str(), probe.change, 100 * probe.above);
    report[probe.name] = {{"change", probe.change}, {"above", probe.above}};
  }
  return report;
}

// The first judged images that have one size, with their prompts.
rewards::RewardBatch probed_images(const JudgedImages& judged) {
  rewards::RewardBatch batch;
  std::vector<at::Tensor> images;
  const auto& points = judged.data.points;
  for (int64_t i = 0; i < points.image.size(0) && images.size() < kProbed; ++i) {
    const at::Tensor image =
        data::read_image(judged.files[static_cast<size_t>(points.image[i].item<int64_t>())]);
    if (!images.empty() && image.sizes() != images.front().sizes()) continue;
    images.push_back(image);
    batch.prompts.push_back(judged.prompts[static_cast<size_t>(points.text[i].item<int64_t>())]);
  }
  if (!images.empty()) batch.images = at::stack(images);
  return batch;
}

}  // namespace

nlohmann::ordered_json evaluate_students(const std::string& title,
                                         const std::vector<TrainedStudent>& all,
                                         rewards::ClipEmbedder& base,
                                         const JudgedImages& judged) {
  nlohmann::ordered_json report;
  std::cout << data::formatted("%s\n  %-13s %-10s %6s %8s %17s %6s %6s %6s %6s %6s %9s\n",
                               title.c_str(), "model", "axis", "images", "Spearman", "95 %", "MAE",
                               "NLL", "ECE", "err~sd", "pairs", "right");
  const auto embedded_by_base = embedded(judged, base);
  for (const auto& [name, student, clip] : all) {
    auto generator = at::detail::createCPUGenerator(0);
    const auto data = clip.get() == &base ? embedded_by_base : embedded(judged, *clip);
    for (const auto& result :
         rewards::evaluate_student(student, data, kReportResamples, generator)) {
      if (result.points < 2 && result.pairs == 0) continue;  // not judged here
      report[name][result.axis] = to_json(result);
      print_row(name, result);
    }
  }
  const auto& axes = all.front().student.config.axes;
  for (const auto& [axis, value] : clip_baseline(embedded_by_base, axes)) {
    report["clip_score"][axis] = {{"spearman", value}};
    std::cout << data::formatted("  %-13s %-10s %6s %8.3f\n", "clip_score", axis.c_str(), "",
                                 value);
  }
  std::fflush(stdout);
  return report;
}

nlohmann::ordered_json retest_judge(const rewards::Judgements& one,
                                    const rewards::Judgements& two) {
  std::map<std::pair<std::string, std::string>, const rewards::PointJudgement*> again;
  for (const auto& point : two.points)
    again[{point.prompt, point.image.lexically_normal().string()}] = &point;
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> values;
  for (const auto& point : one.points) {
    const auto found = again.find({point.prompt, point.image.lexically_normal().string()});
    if (found == again.end()) continue;
    for (const auto& [axis, bins] : point.axes) {
      const auto other = found->second->axes.find(axis);
      if (other == found->second->axes.end()) continue;
      values[axis].first.push_back(rewards::mean_of(bins));
      values[axis].second.push_back(rewards::mean_of(other->second));
    }
  }
  nlohmann::ordered_json report = nlohmann::ordered_json::object();
  for (const auto& [axis, pair] : values) {
    if (pair.first.size() < 2) continue;
    const double found = rewards::spearman(at::tensor(pair.first), at::tensor(pair.second));
    report[axis] = {{"images", pair.first.size()}, {"spearman", found}};
    std::cout << data::formatted("the judge asked again, %s: Spearman %.3f on %zu images\n",
                                 axis.c_str(), found, pair.first.size());
  }
  return report;
}

nlohmann::ordered_json probe(const TrainedStudent& trained, const JudgedImages& judged) {
  const auto batch = probed_images(judged);
  nlohmann::ordered_json report;
  if (batch.prompts.size() < 2) return report;
  rewards::JudgeStudent without = trained.student;
  without.config.kappa = 0;
  const auto lower = rewards::judge_student_reward(trained.clip, trained.student),
             mean = rewards::judge_student_reward(trained.clip, without);
  std::cout << data::formatted("probes, on %zu images; harmless changes:\n", batch.prompts.size());
  report["robustness"] = to_json(rewards::probe_robustness(lower, batch));
  std::cout << data::formatted("cheap changes:\n");
  report["hacking"] = to_json(rewards::probe_hacking(lower, batch));
  const auto gains = rewards::probe_ascent(mean, {mean, lower}, batch);
  std::cout << data::formatted(
      "100 steps of ascent of the mean within 8/255 a pixel: mean %+.2f deviations, lowered by "
      "the members' disagreement %+.2f\n",
      gains[0], gains[1]);
  report["ascent"] = {{"mean", gains[0]}, {"lower_bound", gains[1]}};
  return report;
}

}  // namespace tools
