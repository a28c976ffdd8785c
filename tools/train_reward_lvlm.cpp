// `laurel train-reward lvlm`: a judge's judgements -> a student.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/image_io.hpp"
#include "data/json.hpp"
#include "data/sha256.hpp"
#include "rewards/lvlm_exam.hpp"
#include "tools/cmd_pretrain.hpp"
#include "tools/options.hpp"
#include "tools/progress.hpp"
#include "tools/reward_options.hpp"
#include "tools/train_reward.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr int64_t kResamples = 1000;
constexpr int64_t kPiece = 128;

struct Settings {
  std::vector<std::string> judgements, exams;
  std::string retest, output_dir;
  RewardSourceConfig sources;
  rewards::LvlmConfig student;
  rewards::LvlmTraining training;
};

void declare(Options& options, Settings& s) {
  options.list("judgements", s.judgements, "JSONL of `laurel judge`; several");
  options.text("output_dir", s.output_dir, "folder for the student and its report");
  options.text("clip", s.sources.clip, "CLIP folder whose embeddings it reads [embedded]");
  options.list("exam", s.exams, "more judgements, of other prompts, to judge it by; several");
  options.text("retest", s.retest, "the same images judged with another --seed: the judge itself");
  options.group("student");
  options.integer("hidden", s.student.hidden, "width of each member", 1, 65536);
  options.integer("members", s.student.members, "networks, each on its own bootstrap", 1, 64);
  options.number("kappa", s.student.kappa, "deviations of the members that lower the score", 0,
                 100);
  options.group("training");
  options.integer("epochs", s.training.epochs, "passes over the judgements", 1, 100000);
  options.integer("batch_size", s.training.batch_size, "judgements of an update", 1, 1000000);
  options.number("learning_rate", s.training.learning_rate, "falls to 0 as a cosine", 1e-9, 1);
  options.number("weight_decay", s.training.weight_decay, "of AdamW", 0, 10);
  options.number("label_smoothing", s.training.label_smoothing, "", 0, 0.5);
  options.integer("seed", s.training.seed, "of everything random", 0);
}

// All judgements by rows, and the embeddings.
class Table {
 public:
  Table(rewards::ClipEmbedder& clip, std::vector<std::string> axes)
      : clip_(clip), axes_(std::move(axes)) {}

  rewards::LvlmData data(const rewards::Judgements& judgements,
                         const rewards::MergedPairs& merged) {
    rewards::LvlmData data;
    fill(judgements.points, data.points);
    fill(merged.pairs, data.pairs);
    const at::NoGradGuard no_grad;
    data.images = embedded();
    data.texts = texts_.empty() ? at::zeros({0, clip_.width()}) : clip_.texts(texts_).cpu();
    return data;
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  int64_t image(const fs::path& file) {
    const auto [found, fresh] =
        image_rows_.emplace(file.lexically_normal().string(), static_cast<int64_t>(files_.size()));
    if (fresh) files_.push_back(file);
    return found->second;
  }
  int64_t text(const std::string& prompt) {
    const auto [found, fresh] = text_rows_.emplace(prompt, static_cast<int64_t>(texts_.size()));
    if (fresh) texts_.push_back(prompt);
    return found->second;
  }

  void fill(const std::vector<rewards::PointJudgement>& points, rewards::LvlmData::Points& rows) {
    const auto count = static_cast<int64_t>(points.size()),
               axes = static_cast<int64_t>(axes_.size());
    std::vector<int64_t> images, texts;
    rows.bins = at::full({count, axes, static_cast<int64_t>(rewards::kBins)}, 1.0 / rewards::kBins);
    rows.known = at::zeros({count, axes});
    for (int64_t i = 0; i < count; ++i) {
      const auto& point = points[static_cast<size_t>(i)];
      images.push_back(image(point.image));
      texts.push_back(text(point.prompt));
      for (int64_t k = 0; k < axes; ++k) {
        const auto found = point.axes.find(axes_[static_cast<size_t>(k)]);
        if (found == point.axes.end()) continue;
        rows.bins[i][k].copy_(at::tensor(at::ArrayRef<double>(found->second)));
        rows.known[i][k].fill_(1);
      }
    }
    rows.image = at::tensor(images, at::kLong);
    rows.text = at::tensor(texts, at::kLong);
  }

  void fill(const std::vector<rewards::JudgedPair>& pairs, rewards::LvlmData::Pairs& rows) {
    const auto count = static_cast<int64_t>(pairs.size()),
               axes = static_cast<int64_t>(axes_.size());
    std::vector<int64_t> a, b, texts;
    rows.preference = at::full({count, axes}, 0.5);
    rows.known = at::zeros({count, axes});
    for (int64_t i = 0; i < count; ++i) {
      const auto& pair = pairs[static_cast<size_t>(i)];
      a.push_back(image(pair.a));
      b.push_back(image(pair.b));
      texts.push_back(text(pair.prompt));
      for (int64_t k = 0; k < axes; ++k) {
        const auto found = pair.axes.find(axes_[static_cast<size_t>(k)]);
        if (found == pair.axes.end()) continue;
        rows.preference[i][k].fill_(found->second);
        rows.known[i][k].fill_(1);
      }
    }
    rows.a = at::tensor(a, at::kLong);
    rows.b = at::tensor(b, at::kLong);
    rows.text = at::tensor(texts, at::kLong);
  }

  at::Tensor embedded() {
    Progress progress("Embedding", static_cast<int64_t>(files_.size()), "img");
    std::vector<at::Tensor> features, pending;
    const auto flush = [&] {
      if (pending.empty()) return;
      features.push_back(clip_.images(at::stack(pending)).cpu());
      pending.clear();
    };
    for (const auto& file : files_) {
      const at::Tensor picture = data::read_image(file);
      const bool other = !pending.empty() && pending.front().sizes() != picture.sizes();
      if (other || static_cast<int64_t>(pending.size()) == kPiece) flush();
      pending.push_back(picture);
      progress.advance();
    }
    flush();
    return features.empty() ? at::zeros({0, clip_.width()}) : at::cat(features);
  }

  rewards::ClipEmbedder& clip_;
  std::vector<std::string> axes_, texts_;
  std::vector<fs::path> files_;
  std::map<std::string, int64_t> image_rows_, text_rows_;
};

// By the prompt itself: 90 % to learn from, 5 % to calibrate on, 5 % to be examined on.
struct Split {
  at::Tensor training, calibration, exam;  // [T] bool
};
Split split_of(const std::vector<std::string>& prompts) {
  const auto count = static_cast<int64_t>(prompts.size());
  at::Tensor part = at::zeros({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const auto hash =
        std::stoull(data::sha256(prompts[static_cast<size_t>(i)]).substr(0, 8), nullptr, 16) % 100;
    part[i].fill_(hash < 90 ? 0 : hash < 95 ? 1 : 2);
  }
  return {part.eq(0), part.eq(1), part.eq(2)};
}

rewards::Judgements read_all(const std::vector<std::string>& files) {
  rewards::Judgements all;
  for (const auto& file : files) rewards::append(all, rewards::read_judgements(file));
  return all;
}

std::vector<std::string> axes_of(const rewards::Judgements& judgements) {
  std::set<std::string> axes;
  for (const auto& point : judgements.points)
    for (const auto& [name, bins] : point.axes) axes.insert(name);
  for (const auto& pair : judgements.pairs)
    for (const auto& [name, p] : pair.axes) axes.insert(name);
  return {axes.begin(), axes.end()};
}

struct Trained {
  std::string name;
  rewards::LvlmStudent student;
};

// The student, and the two that see less.
std::vector<Trained> train_all(const Settings& s,
                               const rewards::LvlmData& training,
                               const rewards::LvlmData& calibration) {
  std::vector<Trained> all;
  for (const std::string blind : {"", "prompt", "image"}) {
    rewards::LvlmConfig config = s.student;
    config.blind_to = blind;
    const std::string name = blind.empty() ? "student" : blind + "-blind";
    Progress progress("Training the " + name, s.training.epochs, "epoch");
    all.push_back(
        {name, rewards::train_lvlm(config, training, s.training, [&](int64_t, double loss) {
           char note[32];
           std::snprintf(note, sizeof note, "loss=%.4f", loss);
           progress.advance(1, note);
         })});
    rewards::calibrate(all.back().student, calibration);
  }
  return all;
}

nlohmann::ordered_json to_json(const rewards::AxisExam& exam) {
  return {{"points", exam.points},
          {"spearman", exam.agreement.spearman},
          {"spearman_95", {exam.agreement.spearman_low, exam.agreement.spearman_high}},
          {"pearson", exam.agreement.pearson},
          {"mean_absolute_error", exam.agreement.mean_absolute_error},
          {"nll", exam.nll},
          {"ece", exam.ece},
          {"error_follows_deviation", exam.error_follows_deviation},
          {"pairs", exam.pairs},
          {"pair_accuracy", exam.pair_accuracy}};
}

// What CLIP's score alone says of each axis.
std::map<std::string, double> clip_baseline(const rewards::LvlmData& data,
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

nlohmann::ordered_json examine(const std::string& title,
                               const std::vector<Trained>& all,
                               const rewards::LvlmData& data) {
  nlohmann::ordered_json report;
  std::printf("%s\n  %-13s %-10s %6s %8s %17s %6s %6s %6s %6s %6s %9s\n", title.c_str(), "model",
              "axis", "images", "Spearman", "95 %", "MAE", "NLL", "ECE", "err~sd", "pairs",
              "right");
  for (const auto& [name, student] : all) {
    auto generator = at::detail::createCPUGenerator(0);
    for (const auto& exam : rewards::lvlm_exam(student, data, kResamples, generator)) {
      report[name][exam.axis] = to_json(exam);
      std::printf("  %-13s %-10s %6lld %8.3f %8.3f-%8.3f %6.3f %6.3f %6.3f %6.2f %6lld %9.3f\n",
                  name.c_str(), exam.axis.c_str(), static_cast<long long>(exam.points),
                  exam.agreement.spearman, exam.agreement.spearman_low,
                  exam.agreement.spearman_high, exam.agreement.mean_absolute_error, exam.nll,
                  exam.ece, exam.error_follows_deviation, static_cast<long long>(exam.pairs),
                  exam.pair_accuracy);
    }
  }
  for (const auto& [axis, value] : clip_baseline(data, all.front().student.config.axes)) {
    report["clip_score"][axis] = {{"spearman", value}};
    std::printf("  %-13s %-10s %6s %8.3f\n", "clip_score", axis.c_str(), "", value);
  }
  std::fflush(stdout);
  return report;
}

// The judge against itself: the same images under another seed.
nlohmann::ordered_json judge_itself(const rewards::Judgements& one,
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
    std::printf("the judge asked again, %s: Spearman %.3f on %zu images\n", axis.c_str(), found,
                pair.first.size());
  }
  return report;
}

// What the judge says of itself: whether the order of a pair decides.
nlohmann::ordered_json summary(const rewards::Judgements& judgements,
                               const rewards::MergedPairs& merged) {
  std::printf(
      "%zu images judged, %zu pairs; %lld lines unusable; the two orders agree on %lld of "
      "%lld\n",
      judgements.points.size(), merged.pairs.size(), static_cast<long long>(judgements.unusable),
      static_cast<long long>(merged.consistent), static_cast<long long>(merged.both_orders));
  return {{"judgements", judgements.points.size()},
          {"pairs", merged.pairs.size()},
          {"unusable", judgements.unusable},
          {"orders_agree", merged.consistent},
          {"orders", merged.both_orders}};
}

// Trains, examines and saves; returns the report.
nlohmann::ordered_json run(Settings& s, const rewards::RewardSources& sources) {
  const auto judgements = read_all(s.judgements);
  const auto merged = rewards::merge_orders(judgements.pairs);
  s.student.axes = axes_of(judgements);
  if (judgements.points.size() + merged.pairs.size() < 50)
    throw BadInput(s.judgements[0] + ": expected at least 50 judgements, found " +
                   std::to_string(judgements.points.size() + merged.pairs.size()));
  const auto clip = rewards::load_clip_embedder(sources.clip, at::kCPU);
  s.student.embedding = clip->width();
  s.student.clip_digest = rewards::clip_digest(sources.clip);
  Table table(*clip, s.student.axes);
  const auto data = table.data(judgements, merged);
  const Split split = split_of(table.texts());
  auto report = summary(judgements, merged);
  const auto all = train_all(s, rewards::rows_of_prompts(data, split.training),
                             rewards::rows_of_prompts(data, split.calibration));
  rewards::save_lvlm(s.output_dir, all.front().student, at::kHalf);
  report["held_out"] = examine("held-out prompts", all, rewards::rows_of_prompts(data, split.exam));
  for (const auto& file : s.exams) {
    const auto other = read_all({file});
    Table fresh(*clip, s.student.axes);
    report["exams"][fs::path(file).stem().string()] =
        examine(file, all, fresh.data(other, rewards::merge_orders(other.pairs)));
  }
  if (!s.retest.empty()) report["retest"] = judge_itself(judgements, read_all({s.retest}));
  return report;
}

}  // namespace

int train_reward_lvlm(const std::vector<std::string>& arguments) {
  Settings s;
  Options options("train-reward lvlm",
                  "Trains a student on a vision-language judge's judgements (`laurel judge`).");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  require_folder("train-reward lvlm", "output_dir", s.output_dir);
  if (s.judgements.empty())
    throw BadInput(
        "train-reward lvlm: --judgements: expected a file of `laurel judge`, found none");
  const auto sources = reward_sources(s.sources, at::kCPU);
  if (sources.clip.empty()) throw BadInput("--clip: no embedded CLIP found; name a CLIP folder");
  const auto report = run(s, sources);
  const fs::path output = s.output_dir;
  data::write_file(output / "report.json", data::to_text(report, 2) + "\n");
  data::write_file(output / "config.toml", options.resolved());
  std::cout << "wrote " << s.output_dir << "\n";
  return 0;
}

}  // namespace tools
