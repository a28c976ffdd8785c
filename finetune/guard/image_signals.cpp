// What the images say: their diversity, their statistics, and whether they become one image.

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/format.hpp"
#include "finetune/guard/image_statistics.hpp"
#include "finetune/guard/signal.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace guard {
namespace {

constexpr double kNarrow = 0.6, kTooNarrow = 0.35;          // of the start's diversity
constexpr double kFarShift = 3;                             // deviations of the start's images
constexpr double kClippedNow = 0.05, kClippedStart = 0.01;  // shares of the pixels
constexpr double kDuplicate = 0.2;  // of the start's median distance to another prompt's image
constexpr double kMoreDuplicates = 0.25, kTied = 0.5, kTiedStart = 0.1, kMissing = 0.5;  // shares

Finding judge_diversity(const Evidence& evidence) {
  const double share = evidence.now.diversity / evidence.start.diversity;
  Finding finding;
  if (!std::isfinite(share)) return finding;
  finding.figures.emplace_back("diversity", share);
  if (share >= kNarrow) return finding;
  finding.state = share < kTooNarrow ? State::kStop : State::kWarn;
  finding.kind = "narrow";
  finding.words =
      data::formatted("the images of a prompt keep %.0f %% of the start's diversity", 100 * share);
  return finding;
}

Finding judge_images(const Evidence& evidence) {
  Finding finding;
  const at::Tensor &start = evidence.start.statistics, &now = evidence.now.statistics;
  if (!start.defined() || start.size(0) < 2) return finding;
  const auto flag = [&](const std::string& words) {
    finding.state = State::kWarn;
    finding.kind = "changed images";
    finding.words += (finding.words.empty() ? "" : ", ") + words;
  };
  for (size_t s = 0; s < image_statistics().size(); ++s) {
    const ImageStatistic& statistic = image_statistics()[s];
    const at::Tensor before = start.select(1, static_cast<int64_t>(s));
    const double mean = before.mean().item<double>(),
                 after = now.select(1, static_cast<int64_t>(s)).mean().item<double>();
    if (statistic.measure == clipped_share) {
      finding.figures.emplace_back(std::string("image/") + statistic.name, after);
      if (after > kClippedNow && mean < kClippedStart)
        flag(data::formatted("%.0f %% of the pixels are at 0 or 1 (%.1f %% at the start)",
                             100 * after, 100 * mean));
      continue;
    }
    const double shift =
        (after - mean) / before.std(/*unbiased=*/true).clamp_min(1e-9).item<double>();
    finding.figures.emplace_back(std::string("image/") + statistic.name, shift);
    if (std::abs(shift) > kFarShift)
      flag(std::string(statistic.words) +
           data::formatted(" moved by %+.1f deviations of the start's images", shift));
  }
  return finding;
}

// Share of the prompts whose images all earn the same, in every trained reward.
double tied_share(const at::Tensor& trained, const std::vector<int64_t>& prompt_ids) {
  if (trained.size(1) == 0) return 0;
  double tied = 0, prompts = 0;
  for (const auto& rows : rewards::rows_of_groups(prompt_ids)) {
    if (rows.size() < 2) continue;
    const at::Tensor group = trained.index_select(0, at::tensor(rows, at::kLong));
    tied += (group.amax(0) - group.amin(0)).le(0).all().item<bool>();
    ++prompts;
  }
  return prompts == 0 ? 0 : tied / prompts;
}

double near_share(const at::Tensor& nearest, double limit) {
  return nearest.numel() == 0 ? 0 : nearest.lt(limit).to(at::kDouble).mean().item<double>();
}

// Share of the scores that are there at the start and not now.
double missing_share(const at::Tensor& start, const at::Tensor& now) {
  const at::Tensor there = start.isfinite();
  const double count = there.sum().item<double>();
  return count == 0 ? 0
                    : there.logical_and(now.isfinite().logical_not()).sum().item<double>() / count;
}

Finding judge_degeneration(const Evidence& evidence) {
  const Measures &start = evidence.start, &now = evidence.now;
  const double limit = kDuplicate * start.nearest.nanmedian().item<double>();
  const double tied = tied_share(now.trained, evidence.prompt_ids),
               near = near_share(now.nearest, limit), near_start = near_share(start.nearest, limit),
               missing = missing_share(at::cat({start.trained, start.held_out}, 1),
                                       at::cat({now.trained, now.held_out}, 1));
  Finding finding{.figures = {{"tied", tied}, {"duplicates", near}}};
  const auto flag = [&](const std::string& words) {
    finding.state = State::kWarn;
    finding.kind = "degenerate";
    finding.words += (finding.words.empty() ? "" : ", ") + words;
  };
  if (tied >= kTied && tied_share(start.trained, evidence.prompt_ids) < kTiedStart)
    flag(data::formatted("all images of %.0f %% of the prompts earn the same", 100 * tied));
  if (near > near_start + kMoreDuplicates)
    flag(
        data::formatted("%.0f %% of the images are nearly an image of another prompt", 100 * near));
  if (missing > kMissing)
    flag(data::formatted("%.0f %% of the scores are missing or not finite", 100 * missing));
  return finding;
}

}  // namespace

const Signal kDiversitySignal{"diversity", judge_diversity};
const Signal kImagesSignal{"image statistics", judge_images};
const Signal kDegenerationSignal{"degeneration", judge_degeneration};

}  // namespace guard
