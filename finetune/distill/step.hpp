#pragma once

// One optimiser step of a distillation: what is drawn, and the gradients of its parts.

#include <optional>
#include <string>
#include <vector>

#include "finetune/datasets/latents.hpp"
#include "finetune/distill/config.hpp"
#include "finetune/distill/latent_reward.hpp"
#include "finetune/distributed/row_shard.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// What stays the same over the steps.
struct Distillation {
  const TrainingTask& task;
  const EncodedImages& data;
  const DistillConfig& config;
  LcdSchedule schedule;
  diffusion::Network teacher;
  diffusion::Network target;             // the student's moving average, or the student
  diffusion::TextCondition uncondition;  // 1 row
  std::optional<LatentReward> proxy{};   // in place of the trained rewards
  double diversity_floor = 0;
  RowShard share{};  // of a batch's rows
};

// A reward on latents is trained in the place of the task's rewards: `latent_reward` is on, and
// there are rewards.
bool learns_latent_reward(const TrainingTask& task, const DistillConfig& config);

// `optimizer` trains `student`, which begins as task.unet. Where the run learns a latent reward it
// has a proxy. Throws BadInput as lcd_schedule, and when a rank would have no row, or none
// that is rated.
Distillation make_distillation(const TrainingTask& task,
                               const EncodedImages& data,
                               const DistillConfig& config,
                               const diffusion::Network& student,
                               Optimizer& optimizer,
                               const ProcessGroup& ranks = {});

// Latents of a step that the rewards rate: its first ones.
int64_t rated_rows(const DistillConfig& config);

// This rank's rows of a batch, and which of them are rated: the first.
struct DrawnBatch {
  LcdBatch batch;
  std::vector<TrainingPrompt> prompts;  // B
  RowShard rated;                       // of the rows of the whole batch that are rated
};
// Every rank draws the whole batch, alike, and keeps its rows.
DrawnBatch draw_batch(const Distillation& run, at::Generator& generator);

// Images that the latent reward may learn from, and their prompts.
struct LatentExamples {
  at::Tensor latents;  // [E, C, h, w]
  at::Tensor hidden;   // [E, L, D]
  std::vector<TrainingPrompt> prompts;
  RowShard share{};  // which of all ranks' examples these are
};
// Those of all ranks, rated.
struct RatedExamples {
  at::Tensor latents, hidden, values;  // as above; [E] what the trained rewards say
};

struct TermReport {
  MetricValues figures;  // loss, reward/..., gradient/lcd, gradient/reward, saturated
  std::string fault;     // what was not finite in a student's output; no gradient was left then
  double share = 0;      // norm of the reward's gradient over LCD's at beta = 1
  LatentExamples
      examples;  // with a latent reward: the student's, the target's and the real latents
};
// Leaves this rank's part of the gradient of all terms in the student's parameters: the whole
// batch's is the sum over the ranks. The figures are those of the whole batch. `beta`: of the
// reward.
TermReport accumulate_terms(const Distillation& run,
                            const diffusion::Network& student,
                            const DrawnBatch& drawn,
                            double beta,
                            at::Generator& generator);

// The latent reward has learnt enough to be followed; without one: always.
bool follows_reward(const Distillation& run);
RatedExamples rate_examples(const Distillation& run, const LatentExamples& examples);
// One update of the latent reward by what the trained rewards say of these images. To be called
// after the student's step: what it learns here, the student meets on other images.
MetricValues update_proxy(Distillation& run, const RatedExamples& examples);

// Mean over pairs within a prompt of max(0, floor - d), d = 1 - cosine. latents: [prompts x images,
// C, h, w], a prompt's side by side -> []
at::Tensor diversity_loss(const at::Tensor& latents, int64_t images, double floor);
// Mean of d over the same pairs.
double mean_distance(const at::Tensor& latents, int64_t images);

// The state that the last step of a chain of the student's own sets out from, drawn without a
// gradient: from pure noise through `steps` - 1 steps of LCM sampling. `share`: which of the
// noise's rows the conditions' are; none: all.
struct ChainState {
  at::Tensor x;  // [B, C, h, w]
  at::Tensor t;  // [B] int64
};
ChainState last_step_state(const Distillation& run,
                           const diffusion::Network& student,
                           const diffusion::Conditioning& conditions,
                           int64_t steps,
                           at::Generator& generator,
                           const RowShard& share = {});

}  // namespace finetune
