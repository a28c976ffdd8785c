#include "tools/train_reward/embedded_pictures.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <optional>

#include "data/base/error.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/pairs/reward.hpp"
#include "tools/cli/console/progress.hpp"

namespace tools {
namespace {

// A reward whose score is the row of the image's embedding in `rows`, which it appends.
rewards::WeightedReward embedding_row(const std::shared_ptr<rewards::ClipEmbedder>& clip,
                                      std::vector<at::Tensor>& rows) {
  rewards::Reward reward{.info = {.name = "embedding"}, .score = {}};
  reward.score = [clip, &rows](const rewards::RewardBatch& batch) {
    const at::Tensor embeddings = clip->images(batch.images).to(at::kCPU, at::kDouble);
    const auto first = static_cast<int64_t>(rows.size());
    for (const auto& row : embeddings.unbind(0)) rows.push_back(row.clone());
    return at::arange(first, static_cast<int64_t>(rows.size()), at::kFloat);
  };
  return {reward, 1};
}

}  // namespace

EmbeddedPictures embed_pictures(std::vector<ScoreJob> jobs,
                                const std::shared_ptr<rewards::ClipEmbedder>& clip,
                                const std::vector<rewards::WeightedReward>& rewards,
                                const ScoringOptions& options,
                                bool silent) {
  const auto count = static_cast<int64_t>(jobs.size());
  EmbeddedPictures pictures{
      .embeddings = at::zeros({count, clip->width()}, at::kDouble),
      .scores = at::zeros({count, static_cast<int64_t>(rewards.size())}, at::kDouble),
      .read = std::vector<bool>(jobs.size()),
      .faults = {}};
  std::vector<at::Tensor> rows;
  std::vector<rewards::WeightedReward> all{embedding_row(clip, rows)};
  all.insert(all.end(), rewards.begin(), rewards.end());
  std::optional<Progress> progress;
  if (!silent) progress.emplace("Embedding", count, "img");
  const auto leave_out = [&](const std::string& fault) {
    pictures.faults.push_back(fault);
    if (!progress) return;
    progress->print("laurel: " + fault);
    progress->advance();
  };
  const auto keep = [&](const ScoreJob& job, const std::vector<double>& raw) {
    for (size_t k = 1; k < raw.size(); ++k) {
      if (!std::isfinite(raw[k]))
        return leave_out(job.path.string() + ": has no score of " + all[k].reward.info.name);
      pictures.scores[static_cast<int64_t>(job.row)][static_cast<int64_t>(k) - 1] = raw[k];
    }
    pictures.embeddings[static_cast<int64_t>(job.row)].copy_(rows[static_cast<size_t>(raw[0])]);
    pictures.read[job.row] = true;
    if (progress) progress->advance();
  };
  score_files(std::move(jobs), all, options,
              {.scored = keep,
               .failed = [&](const ScoreJob&, const std::string& fault) { leave_out(fault); }});
  return pictures;
}

std::shared_ptr<rewards::ClipEmbedder> head_clip(const std::string& embedder,
                                                 const rewards::RewardSources& sources) {
  if (embedder.empty() && sources.clip.empty())
    throw data::BadInput("--clip: no embedded CLIP found; name a CLIP folder");
  const std::string clip = embedder.empty() ? "" : ";clip=" + embedder;
  const auto spec =
      rewards::parse_reward_spec("head=pairs:head" + clip, rewards::reward_families());
  rewards::RewardLoader loader(sources, {}, nullptr);
  return rewards::clip_of(spec, loader).clip;
}

}  // namespace tools
