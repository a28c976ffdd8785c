#pragma once

// The same prompts and seeds, drawn from the model as it is and compared with the starting model.

#include <string>
#include <utility>
#include <vector>

#include "finetune/distributed/row_shard.hpp"
#include "finetune/task/sample_requests.hpp"
#include "finetune/task/training_task.hpp"
#include "rewards/combine/epoch_combiner.hpp"

namespace finetune {

struct EvalItem {
  std::string prompt;  // its label
  uint64_t seed = 0;
  std::string split;      // "seen", "unseen"
  int64_t prompt_id = 0;  // row of EvalSet::prompts
};
struct EvalSet {
  std::vector<EvalItem> items;
  std::vector<TrainingPrompt> prompts;
};
// `images` of each prompt, with seeds from `first_seed` on, in order.
EvalSet make_eval_set(const TrainingTask& task,
                      int64_t prompts,
                      int64_t images,
                      int64_t first_seed);

struct Evaluation {
  at::Tensor rewards;   // [I, M] fp64, raw, the trained ones first, then those evaluated only
  at::Tensor kl;        // [I, T] fp64 nats; T is 0 where the images' steps have no probability
  at::Tensor mask;      // [T] of the chain: the steps that kl_nats sums
  at::Tensor features;  // [I, D]
  at::Tensor images;    // [I, 3, H, W] fp32 [0, 1]
  std::vector<std::string> names{};  // M, of the columns of `rewards`
  // [I] fp64, the variance among the members of the trained rewards; undefined where none has any
  at::Tensor disagreement{};
};
// Those of the task's rewards, the trained ones first.
std::vector<std::string> reward_names(const TrainingTask& task);
// Draws, decodes and rates `batch` images at a time, each rank a stretch of them. mask: [T]
Evaluation evaluate(const TrainingTask& task,
                    const EvalSet& set,
                    const DrawLatents& draw,
                    const at::Tensor& mask,
                    int64_t batch,
                    const ProcessGroup& ranks = {});

// Share of the images whose score is above the base's at the same prompt and seed; ties count half.
// Both: [I]
double win_rate(const at::Tensor& scores, const at::Tensor& base);

// "seen/aesthetic", "unseen/clip_score", "seen/kl_nats", "seen/diversity", "seen/win_rate", ...,
// "kl_step/0", ... The win rate is that of the trained rewards, combined.
std::vector<std::pair<std::string, double>> evaluation_figures(
    const TrainingTask& task,
    const EvalSet& set,
    const Evaluation& now,
    const Evaluation& base,
    const rewards::CombineOptions& combine);

}  // namespace finetune
