#include "tools/train_reward/judge_student/images.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/images/image_io.hpp"
#include "data/storage/sha256.hpp"
#include "tools/cli/console/progress.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kImagePiece = 128;                // images embedded at once
constexpr int64_t kPiecePixels = int64_t{1} << 26;  // and their pixels, unless it is one image

// Numbers images and prompts in order of appearance.
struct RowNumbers {
  JudgedImages& judged;
  std::vector<std::string> axes;
  std::map<std::string, int64_t> images{}, prompts{};

  int64_t image(const fs::path& file) {
    const auto [found, fresh] =
        images.emplace(file.lexically_normal().string(), static_cast<int64_t>(judged.files.size()));
    if (fresh) judged.files.push_back(file);
    return found->second;
  }
  int64_t prompt(const std::string& text) {
    const auto [found, fresh] = prompts.emplace(text, static_cast<int64_t>(judged.prompts.size()));
    if (fresh) judged.prompts.push_back(text);
    return found->second;
  }
  // Calls `take(k, value)` for each axis that `judgement` knows.
  template <class Values, class Take>
  void each_axis(const Values& values, const Take& take) const {
    for (size_t k = 0; k < axes.size(); ++k) {
      const auto found = values.find(axes[k]);
      if (found != values.end()) take(static_cast<int64_t>(k), found->second);
    }
  }
};

void fill_points(const std::vector<rewards::PointJudgement>& points, RowNumbers& rows) {
  const auto count = static_cast<int64_t>(points.size()),
             axes = static_cast<int64_t>(rows.axes.size());
  auto& out = rows.judged.data.points;
  std::vector<int64_t> images, texts;
  out.bins = at::full({count, axes, static_cast<int64_t>(rewards::kBins)}, 1.0 / rewards::kBins);
  out.known = at::zeros({count, axes});
  for (int64_t i = 0; i < count; ++i) {
    const auto& point = points[static_cast<size_t>(i)];
    images.push_back(rows.image(point.image));
    texts.push_back(rows.prompt(point.prompt));
    rows.each_axis(point.axes, [&](int64_t k, const rewards::Bins& bins) {
      out.bins[i][k].copy_(at::tensor(at::ArrayRef<double>(bins)));
      out.known[i][k].fill_(1);
    });
  }
  out.image = at::tensor(images, at::kLong);
  out.text = at::tensor(texts, at::kLong);
}

void fill_pairs(const std::vector<rewards::JudgedPair>& pairs, RowNumbers& rows) {
  const auto count = static_cast<int64_t>(pairs.size()),
             axes = static_cast<int64_t>(rows.axes.size());
  auto& out = rows.judged.data.pairs;
  std::vector<int64_t> a, b, texts;
  out.preference = at::full({count, axes}, 0.5);
  out.known = at::zeros({count, axes});
  for (int64_t i = 0; i < count; ++i) {
    const auto& pair = pairs[static_cast<size_t>(i)];
    a.push_back(rows.image(pair.a));
    b.push_back(rows.image(pair.b));
    texts.push_back(rows.prompt(pair.prompt));
    rows.each_axis(pair.axes, [&](int64_t k, double preference) {
      out.preference[i][k].fill_(preference);
      out.known[i][k].fill_(1);
    });
  }
  out.a = at::tensor(a, at::kLong);
  out.b = at::tensor(b, at::kLong);
  out.text = at::tensor(texts, at::kLong);
}

at::Tensor embedded_files(const std::vector<fs::path>& files, rewards::ClipEmbedder& clip) {
  Progress progress("Embedding", static_cast<int64_t>(files.size()), "img");
  std::vector<at::Tensor> features, pending;
  const auto flush = [&] {
    if (pending.empty()) return;
    features.push_back(clip.images(at::stack(pending)).cpu());
    pending.clear();
  };
  for (const auto& file : files) {
    const at::Tensor picture = data::read_image(file);
    const bool other = !pending.empty() && pending.front().sizes() != picture.sizes();
    const int64_t most = std::clamp<int64_t>(kPiecePixels / picture[0].numel(), 1, kImagePiece);
    if (other || static_cast<int64_t>(pending.size()) >= most) flush();
    pending.push_back(picture);
    progress.advance();
  }
  flush();
  return features.empty() ? at::zeros({0, clip.width()}) : at::cat(features);
}

}  // namespace

rewards::Judgements read_all_judgements(const std::vector<std::string>& files) {
  rewards::Judgements all;
  for (const auto& file : files) rewards::append(all, rewards::read_judgements(file));
  return all;
}

std::vector<std::string> judged_axes(const rewards::Judgements& judgements) {
  std::set<std::string> axes;
  for (const auto& point : judgements.points)
    for (const auto& [name, bins] : point.axes) axes.insert(name);
  for (const auto& pair : judgements.pairs)
    for (const auto& [name, p] : pair.axes) axes.insert(name);
  return {axes.begin(), axes.end()};
}

JudgedPart part_of_prompt(const std::string& prompt) {
  const auto hash = std::stoull(data::sha256(prompt).substr(0, 8), nullptr, 16) % 100;
  if (hash < 90) return JudgedPart::kTraining;
  return hash < 95 ? JudgedPart::kCalibration : JudgedPart::kTest;
}

std::array<rewards::Judgements, 3> split_judgements(const rewards::Judgements& judgements) {
  std::array<rewards::Judgements, 3> parts;
  const auto part = [&](const std::string& prompt) -> rewards::Judgements& {
    return parts[static_cast<size_t>(part_of_prompt(prompt))];
  };
  for (const auto& point : judgements.points) part(point.prompt).points.push_back(point);
  for (const auto& pair : judgements.pairs) part(pair.prompt).pairs.push_back(pair);
  return parts;
}

JudgedImages judged_images(const rewards::Judgements& judgements,
                           const std::vector<std::string>& axes,
                           const std::string& digest) {
  JudgedImages judged;
  judged.data.digest = digest;
  RowNumbers rows{judged, axes};
  fill_points(judgements.points, rows);
  fill_pairs(rewards::merge_orders(judgements.pairs).pairs, rows);
  return judged;
}

rewards::StudentData embedded(const JudgedImages& judged, rewards::ClipEmbedder& clip) {
  const at::NoGradGuard no_grad;
  rewards::StudentData data = judged.data;
  data.images = embedded_files(judged.files, clip);
  data.texts =
      judged.prompts.empty() ? at::zeros({0, clip.width()}) : clip.texts(judged.prompts).cpu();
  return data;
}

}  // namespace tools
