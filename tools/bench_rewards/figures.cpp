#include "tools/bench_rewards/figures.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "data/base/error.hpp"
#include "data/images/image_io.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace tools {
namespace {

constexpr size_t kWorstKept = 1000;
constexpr int64_t kMostProbePixels = int64_t{1} << 24, kProbeSide = 512, kLeastProbeSide = 8;

using rewards::RankedItem;
using ByName = std::map<std::string, std::vector<RankedItem>>;

RankedItem ranked(int64_t group, const std::vector<double>& scores) {
  return {group, scores[0], {scores.begin() + 1, scores.end()}};
}

// Adds, by what is wrong, the item with those wrong pictures alone.
void add_by_change(const BenchItem& item, const RankedItem& whole, ByName& by_change) {
  std::map<std::string, RankedItem> parts;
  for (size_t k = 0; k < item.changes.size(); ++k) {
    auto& part = parts[item.changes[k]];
    part.group = whole.group;
    part.right = whole.right;
    part.wrong.push_back(whole.wrong[k]);
  }
  for (auto& [change, part] : parts) by_change["wrong: " + change].push_back(std::move(part));
}

void append_figures(const ByName& by_name, std::vector<SliceFigures>& slices) {
  for (const auto& [name, items] : by_name)
    slices.push_back({name, rewards::one_to_many_figures(items)});
}

struct VariantItems {
  std::vector<RankedItem> ranked{};
  std::vector<rewards::WordedItem> worded{};
};

// rows: [prompts][pictures], the item's own prompt first
void add_variants_of(const BenchItem& item,
                     int64_t group,
                     const std::vector<std::vector<double>>& rows,
                     std::map<std::string, VariantItems>& by_name) {
  std::map<std::string, rewards::WordedItem> worded;
  for (size_t v = 0; v < item.variants.size(); ++v) {
    const std::string& name = item.variants[v].name;
    auto& own = worded.try_emplace(name, rewards::WordedItem{group, {rows[0]}}).first->second;
    own.scores.push_back(rows[v + 1]);
    by_name[name].ranked.push_back(ranked(group, rows[v + 1]));
  }
  for (auto& [name, own] : worded) by_name[name].worded.push_back(std::move(own));
}

double margin_of(const std::vector<double>& scores) {
  return scores[0] - *std::max_element(scores.begin() + 1, scores.end());
}

std::vector<size_t> worst_items(const BenchScores& scores) {
  std::vector<std::pair<double, size_t>> failed;
  for (size_t i = 0; i < scores.of_item.size(); ++i) {
    if (scores.of_item[i].empty()) continue;
    const double margin = margin_of(scores.of_item[i][0]);
    if (margin <= 0) failed.emplace_back(margin, i);
  }
  std::sort(failed.begin(), failed.end());
  std::vector<size_t> worst;
  for (const auto& [margin, item] : failed) {
    if (worst.size() < kWorstKept) worst.push_back(item);
  }
  return worst;
}

}  // namespace

RewardFigures figures_of(const std::string& name,
                         const std::vector<BenchItem>& items,
                         const BenchScores& scores) {
  std::vector<std::string> prompts;
  for (const auto& item : items) prompts.push_back(item.prompt);
  const auto groups = rewards::ids_of_texts(prompts);
  std::vector<RankedItem> all;
  ByName by_slice, by_change;
  std::map<std::string, VariantItems> by_variant;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto& rows = scores.of_item[i];
    if (rows.empty()) continue;
    const RankedItem whole = ranked(groups[i], rows[0]);
    if (!items[i].apart) all.push_back(whole);
    for (const auto& slice : items[i].slices) by_slice[slice].push_back(whole);
    add_by_change(items[i], whole, by_change);
    add_variants_of(items[i], groups[i], rows, by_variant);
  }
  RewardFigures found{.name = name,
                      .milliseconds = scores.milliseconds,
                      .left_out = scores.left_out,
                      .slices = {},
                      .variants = {},
                      .worst = worst_items(scores)};
  if (!all.empty()) found.slices.push_back({"all", rewards::one_to_many_figures(all)});
  append_figures(by_slice, found.slices);
  append_figures(by_change, found.slices);
  for (const auto& [variant, own] : by_variant)
    found.variants.push_back(
        {variant, rewards::one_to_many_figures(own.ranked), rewards::wording_figures(own.worded)});
  return found;
}

std::optional<rewards::RewardBatch> probe_batch(const std::vector<BenchItem>& items,
                                                int64_t most,
                                                at::Device device) {
  std::vector<at::Tensor> images;  // [3, height, width]
  int64_t height = 0, width = 0;
  rewards::RewardBatch batch;
  const size_t stride =
      std::max<size_t>(1, items.size() / static_cast<size_t>(std::max<int64_t>(1, most)));
  for (size_t i = 0; i < items.size() && static_cast<int64_t>(images.size()) < most; i += stride) {
    try {
      const at::Tensor image = data::read_image(items[i].right);
      if (std::min(image.size(1), image.size(2)) < kLeastProbeSide) continue;
      if (images.empty()) {
        height = std::min(image.size(1), kProbeSide);
        width = std::min(image.size(2), kProbeSide);
      }
      if (static_cast<int64_t>(images.size() + 1) * height * width > kMostProbePixels) break;
      images.push_back(image.size(1) == height && image.size(2) == width
                           ? image
                           : data::resize(image, height, width, data::ResizeKind::kArea));
      batch.prompts.push_back(items[i].prompt);
    } catch (const data::BadInput&) {
      continue;  // its scoring names it
    }
  }
  if (images.size() < 2) return std::nullopt;
  batch.images = at::stack(images).to(device);
  return batch;
}

}  // namespace tools
