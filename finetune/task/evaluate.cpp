#include "finetune/task/evaluate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/device/transfer.hpp"
#include "rewards/combine/diversity.hpp"
#include "rewards/combine/measures.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

void add_prompts(const std::vector<TrainingPrompt>& from,
                 int64_t count,
                 const char* split,
                 int64_t images,
                 uint64_t& seed,
                 EvalSet& set) {
  for (size_t i = 0; i < std::min(from.size(), static_cast<size_t>(count)); ++i) {
    const auto id = static_cast<int64_t>(set.prompts.size());
    set.prompts.push_back(from[i]);
    for (int64_t image = 0; image < images; ++image)
      set.items.push_back({label_of(from[i]), seed++, split, id});
  }
}

std::vector<int64_t> items_of(const EvalSet& set, const std::string& split) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < set.items.size(); ++i) {
    if (set.items[i].split == split) rows.push_back(static_cast<int64_t>(i));
  }
  return rows;
}

std::vector<int64_t> prompt_ids_of(const EvalSet& set) {
  std::vector<int64_t> ids;
  for (const auto& item : set.items) ids.push_back(item.prompt_id);
  return ids;
}

double finite_mean(const at::Tensor& x) {
  const at::Tensor kept = x.masked_select(x.isfinite());
  return kept.numel() == 0 ? 0.0 : kept.mean().item<double>();
}

SampleRequests draw_of(const EvalSet& set, int64_t start, int64_t count) {
  SampleRequests draw;
  for (int64_t i = start; i < start + count; ++i) {
    draw.prompt_ids.push_back(set.items[static_cast<size_t>(i)].prompt_id);
    draw.seeds.push_back(set.items[static_cast<size_t>(i)].seed);
  }
  return draw;
}

// The batches of one rank as one tensor, then those of all ranks.
at::Tensor put_together(const RowShard& share, const std::vector<at::Tensor>& batches) {
  return all_gather_rows(share, batches.empty() ? at::Tensor() : at::cat(batches));
}

// Mean over the trained rewards that have members. -> [B] fp64 on the CPU; undefined without any
at::Tensor disagreement_of(const TrainingTask& task,
                           const at::Tensor& images,
                           const std::vector<TrainingPrompt>& prompts) {
  std::vector<at::Tensor> columns;
  for (const auto& [reward, weight] : task.rewards) {
    if (reward.disagreement)
      columns.push_back(
          reward.disagreement(reward_batch(images, prompts)).to(at::kCPU, at::kDouble));
  }
  return columns.empty() ? at::Tensor() : at::stack(columns, 1).mean(1);
}

at::Tensor combined(const TrainingTask& task,
                    const EvalSet& set,
                    const Evaluation& evaluation,
                    const at::Tensor& spreads,
                    const rewards::CombineOptions& options) {
  return rewards::combine_rewards(
      evaluation.rewards.narrow(1, 0, static_cast<int64_t>(task.rewards.size())),
      prompt_ids_of(set), spreads, rewards::evaluation_options(options));
}

}  // namespace

std::vector<std::string> reward_names(const TrainingTask& task) {
  std::vector<std::string> names;
  for (const auto& [reward, weight] : task.rewards) names.push_back(reward.info.name);
  for (const auto& [reward, weight] : task.eval_rewards) names.push_back(reward.info.name);
  return names;
}

EvalSet make_eval_set(const TrainingTask& task,
                      int64_t prompts,
                      int64_t images,
                      int64_t first_seed) {
  EvalSet set;
  auto seed = static_cast<uint64_t>(first_seed);
  add_prompts(task.seen, prompts, "seen", images, seed, set);
  add_prompts(task.unseen, prompts, "unseen", images, seed, set);
  return set;
}

Evaluation evaluate(const TrainingTask& task,
                    const EvalSet& set,
                    const DrawLatents& draw,
                    const at::Tensor& mask,
                    int64_t batch,
                    const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  std::vector<rewards::WeightedReward> all = task.rewards;
  all.insert(all.end(), task.eval_rewards.begin(), task.eval_rewards.end());
  std::vector<at::Tensor> measures, kl, features, pictures, disagreements;
  const RowShard share = contiguous_shard(ranks, static_cast<int64_t>(set.items.size()));
  const int64_t first = share.rows.empty() ? 0 : share.rows[0],
                end = first + static_cast<int64_t>(share.rows.size());
  for (int64_t start = first; start < end; start += batch) {
    const SampleRequests wanted = draw_of(set, start, std::min(batch, end - start));
    const DrawnLatents drawn = draw(wanted);
    const at::Tensor images = decode(task, data::to_device(drawn.latents, task.device));
    std::vector<TrainingPrompt> prompts;
    for (const int64_t id : wanted.prompt_ids)
      prompts.push_back(set.prompts[static_cast<size_t>(id)]);
    measures.push_back(measure_images(all, images, prompts, ranks));
    const at::Tensor disagreement = disagreement_of(task, images, prompts);
    if (disagreement.defined()) disagreements.push_back(disagreement);
    kl.push_back(drawn.kl);
    features.push_back((task.embed ? task.embed(images) : images.flatten(1)).cpu());
    pictures.push_back(images.cpu());
  }
  Evaluation result{rewards::scores_of(all, put_together(share, measures), prompt_ids_of(set)),
                    put_together(share, kl),
                    mask,
                    put_together(share, features),
                    put_together(share, pictures),
                    reward_names(task)};
  const bool has_members =
      std::any_of(task.rewards.begin(), task.rewards.end(),
                  [](const rewards::WeightedReward& one) { return bool(one.reward.disagreement); });
  if (has_members) result.disagreement = put_together(share, disagreements);
  return result;
}

double win_rate(const at::Tensor& scores, const at::Tensor& base) {
  const at::Tensor wins = scores.gt(base).to(at::kDouble) + 0.5 * scores.eq(base).to(at::kDouble);
  return wins.numel() == 0 ? 0.0 : wins.mean().item<double>();
}

std::vector<std::pair<std::string, double>> evaluation_figures(
    const TrainingTask& task,
    const EvalSet& set,
    const Evaluation& now,
    const Evaluation& base,
    const rewards::CombineOptions& combine) {
  std::vector<std::pair<std::string, double>> figures;
  const std::vector<int64_t> ids = prompt_ids_of(set);
  const auto trained = static_cast<int64_t>(task.rewards.size());
  const at::Tensor spreads = rewards::pooled_spreads(base.rewards.narrow(1, 0, trained), ids);
  const at::Tensor score = combined(task, set, now, spreads, combine),
                   score_base = combined(task, set, base, spreads, combine);
  for (const std::string split : {"seen", "unseen"}) {
    const auto list = items_of(set, split);
    if (list.empty()) continue;
    const at::Tensor rows = at::tensor(list, at::kLong);
    const at::Tensor rewards = now.rewards.index_select(0, rows);
    for (size_t m = 0; m < now.names.size(); ++m) {
      figures.emplace_back(split + "/" + now.names[m],
                           finite_mean(rewards.select(1, static_cast<int64_t>(m))));
    }
    std::vector<int64_t> split_ids;
    for (const int64_t row : list) split_ids.push_back(ids[static_cast<size_t>(row)]);
    if (now.mask.size(0) > 0) {
      figures.emplace_back(split + "/kl_nats",
                           now.kl.index_select(0, rows).mv(now.mask).mean().item<double>());
    }
    figures.emplace_back(split + "/diversity",
                         rewards::mean_diversity(now.features.index_select(0, rows), split_ids));
    figures.emplace_back(split + "/win_rate",
                         win_rate(score.index_select(0, rows), score_base.index_select(0, rows)));
  }
  const at::Tensor by_step = now.kl.mean(0);
  for (int64_t k = 0; k < by_step.size(0); ++k) {
    figures.emplace_back("kl_step/" + std::to_string(k), by_step[k].item<double>());
  }
  return figures;
}

}  // namespace finetune
