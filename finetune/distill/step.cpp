#include "finetune/distill/step.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/device/transfer.hpp"
#include "finetune/distill/distill.hpp"

namespace finetune {
namespace {

// Some rows of a batch's conditions, in any order. rows: [R] int64, on the CPU
diffusion::Conditioning chosen(const diffusion::Conditioning& conditions, const at::Tensor& rows) {
  const at::Tensor place = data::to_device(rows, conditions.text.hidden.device());
  diffusion::Conditioning result = conditions;
  result.text.hidden = conditions.text.hidden.index_select(0, place);
  if (conditions.text.pooled.defined())
    result.text.pooled = conditions.text.pooled.index_select(0, place);
  result.guidance_w = conditions.guidance_w.index_select(0, rows);
  return result;
}

// The sum over the ranks.
double added(const ProcessGroup& ranks, double here) {
  if (ranks.count == 1) return here;
  const at::Tensor sum = at::full({1}, here, at::kDouble);
  all_reduce_sum(ranks, sum);
  return sum.item<double>();
}

// Norm of what the ranks hold together.
double norm_of(const ProcessGroup& ranks, const at::Tensor& x) {
  const double norm = x.norm().item<double>();
  return ranks.count == 1 ? norm : std::sqrt(added(ranks, norm * norm));
}

// This rank's part of a batch: what a mean over its rows counts in the mean over all.
double part(const RowShard& share) {
  return static_cast<double>(share.rows.size()) / static_cast<double>(share.total);
}

// The first `total` of the rows that are shared.
RowShard first_of(const RowShard& share, int64_t total) {
  RowShard first{share.ranks, {}, total};
  for (const int64_t row : share.rows) {
    if (row < total) first.rows.push_back(row);
  }
  return first;
}
int64_t count(const RowShard& share) { return static_cast<int64_t>(share.rows.size()); }

// `times` neighbours for each row.
RowShard repeated(const RowShard& share, int64_t times) {
  RowShard all{share.ranks, {}, share.total * times};
  for (const int64_t row : share.rows) {
    for (int64_t i = 0; i < times; ++i) all.rows.push_back(row * times + i);
  }
  return all;
}

// Gradient of the distillation's loss at the student's output.
struct LossGradient {
  at::Tensor gradient;  // as the output
  double loss = 0;
};
LossGradient loss_gradient(const LcdPrediction& prediction, const DistillConfig& config) {
  const at::Tensor leaf = prediction.predicted.detach().requires_grad_(true);
  const at::Tensor loss = lcd_loss(leaf, prediction.target, config.loss, config.huber_c);
  loss.backward();
  return {leaf.grad(), loss.item<double>()};
}

// One step's student, batch and what its terms have left so far.
struct Step {
  const Distillation& run;
  const diffusion::Network& student;
  const DrawnBatch& drawn;
  at::Generator& generator;
  TermReport report{};
  const ProcessGroup& ranks() const { return run.share.ranks; }
};

int64_t blended_rows(const DistillConfig& config) {
  return static_cast<int64_t>(config.caption_mix * static_cast<double>(config.train_batch_size));
}

// Gives the last rows' captions some tokens of the row after each, as many as a uniform share says:
// conditions that no caption of the data has. (As Yun et al., "CutMix", 2019, of conditions alone:
// the teacher says what is right.)
void blend_captions(diffusion::TextCondition& text, int64_t rows, at::Generator& generator) {
  if (rows == 0) return;
  const at::Tensor hidden = text.hidden;  // [B, L, D]
  const int64_t first = hidden.size(0) - rows, tokens = hidden.size(1);
  const at::Tensor share = at::rand({rows, 1, 1}, generator);
  const at::Tensor other = at::rand({rows, tokens, 1}, generator) < share;
  const at::Tensor own = hidden.narrow(0, first, rows),
                   next = hidden.roll(-1, 0).narrow(0, first, rows);
  text.hidden = at::cat(
      {hidden.narrow(0, 0, first), at::where(data::to_device(other, hidden.device()), next, own)});
}

std::vector<TrainingPrompt> rated_prompts(const Step& step) {
  return {step.drawn.prompts.begin(), step.drawn.prompts.begin() + count(step.drawn.rated)};
}

// The last step of a chain of the student's own, for the rated rows' prompts.
at::Tensor on_policy_output(Step& step) {
  const Distillation& run = step.run;
  const diffusion::Conditioning conditions =
      chosen(step.drawn.batch.conditions, at::arange(count(step.drawn.rated), at::kLong));
  const int64_t steps =
      at::randint(1, run.config.on_policy_steps + 1, {1}, step.generator, at::kLong)
          .item<int64_t>();
  const ChainState state =
      last_step_state(run, step.student, conditions, steps, step.generator, step.drawn.rated);
  return consistency(step.student, run.schedule, state.x, state.t, conditions);
}

// This rank's part of the gradient of -mean R at the student's output, by the rewards themselves or
// by their proxy.
at::Tensor rated_gradient(Step& step, const at::Tensor& output) {
  const Distillation& run = step.run;
  MetricValues& figures = step.report.figures;
  const double weight = part(step.drawn.rated);
  const auto mean = [&](double own) { return added(step.ranks(), own * weight); };
  if (run.proxy) {
    const auto proxy = latent_gradient(
        *run.proxy, output, step.drawn.batch.conditions.text.hidden.narrow(0, 0, output.size(0)));
    figures.emplace_back("reward_mean", mean(proxy.mean * run.proxy->spread));
    return proxy.gradient * weight;
  }
  const RewardGradient reward =
      reward_gradient(run.task, run.config, output, rated_prompts(step), step.generator);
  figures.insert(figures.end(),
                 {{"reward_mean", mean(reward.combined)}, {"saturated", mean(reward.saturated)}});
  for (size_t m = 0; m < run.task.rewards.size(); ++m) {
    figures.emplace_back("reward/" + run.task.rewards[m].reward.info.name,
                         mean(reward.raw.select(1, static_cast<int64_t>(m)).mean().item<double>()));
  }
  return reward.gradient * weight;
}

// Adds the reward's gradient, through the output at hand or through the last step of a chain.
void add_reward(
    Step& step, double beta, double lcd_norm, const at::Tensor& predicted, at::Tensor& at_output) {
  const DistillConfig& config = step.run.config;
  const bool on_policy =
      config.on_policy > 0 && at::rand({1}, step.generator).item<double>() < config.on_policy;
  const int64_t rows = count(step.drawn.rated);
  const at::Tensor output = on_policy ? on_policy_output(step) : predicted.narrow(0, 0, rows);
  const at::Tensor gradient = rated_gradient(step, output);
  const double size = norm_of(step.ranks(), gradient);
  step.report.share = size / std::max(lcd_norm, 1e-30);
  step.report.figures.emplace_back("gradient/reward", beta * size);
  if (on_policy)
    output.backward(beta * gradient);
  else
    at_output.narrow(0, 0, rows).add_(gradient, beta);
}

// Several images of a prompt from pure noise in one step, held apart.
void add_diversity(Step& step, double lcd_norm) {
  const Distillation& run = step.run;
  const DistillConfig& config = run.config;
  const RowShard prompts =
      first_of(run.share, std::min(config.diversity_prompts, config.train_batch_size));
  const at::Tensor rows =
      at::arange(count(prompts), at::kLong).repeat_interleave(config.diversity_images);
  const diffusion::Conditioning conditions = chosen(step.drawn.batch.conditions, rows);
  const ChainState state = last_step_state(run, step.student, conditions, 1, step.generator,
                                           repeated(prompts, config.diversity_images));
  at::Tensor gradient = at::zeros({1});
  double distance = 0;
  if (count(prompts) > 0) {
    const at::Tensor output = consistency(step.student, run.schedule, state.x, state.t, conditions);
    const at::Tensor leaf = output.detach().requires_grad_(true);
    diversity_loss(leaf, config.diversity_images, run.diversity_floor).backward();
    gradient = leaf.grad() * (config.diversity_beta * part(prompts));
    output.backward(gradient);
    distance = mean_distance(leaf.detach(), config.diversity_images) * part(prompts);
  }
  const double size = norm_of(step.ranks(), gradient);
  step.report.figures.insert(step.report.figures.end(),
                             {{"diversity", added(step.ranks(), distance)},
                              {"gradient/diversity", size},
                              {"gradient/diversity_share", size / std::max(lcd_norm, 1e-30)}});
}

// The student's and the target's images and the real ones, of the rated rows.
LatentExamples examples_of(const Step& step, const LcdPrediction& prediction) {
  const int64_t rows = count(step.drawn.rated);
  const auto some = [&](const at::Tensor& x) { return x.detach().narrow(0, 0, rows); };
  const at::Tensor hidden = some(step.drawn.batch.conditions.text.hidden);
  LatentExamples examples{at::cat({some(prediction.predicted), some(prediction.target),
                                   some(step.drawn.batch.latents)}),
                          at::cat({hidden, hidden, hidden}),
                          {},
                          {step.ranks(), {}, 3 * step.drawn.rated.total}};
  for (int64_t copy = 0; copy < 3; ++copy) {
    const auto prompts = rated_prompts(step);
    examples.prompts.insert(examples.prompts.end(), prompts.begin(), prompts.end());
    for (const int64_t row : step.drawn.rated.rows)
      examples.share.rows.push_back(row + copy * step.drawn.rated.total);
  }
  return examples;
}

// Of a whole batch, this rank's rows.
void keep_own(const Distillation& run, DrawnBatch& drawn) {
  drawn.rated = first_of(run.share, rated_rows(run.config));
  if (run.share.ranks.count == 1) return;
  LcdBatch& batch = drawn.batch;
  const at::Tensor rows = at::tensor(run.share.rows, at::kLong),
                   there = data::to_device(rows, run.task.device);
  for (auto* tensor : {&batch.latents, &batch.noise, &batch.index})
    *tensor = tensor->index_select(0, there);
  batch.conditions = chosen(batch.conditions, rows);
  std::vector<TrainingPrompt> prompts;
  for (const int64_t row : run.share.rows)
    prompts.push_back(drawn.prompts[static_cast<size_t>(row)]);
  drawn.prompts = prompts;
}

// d = 1 - cosine of all pairs of a prompt's images. -> [prompts, images (images - 1) / 2]
at::Tensor pair_distances(const at::Tensor& latents, int64_t images) {
  TORCH_CHECK(images >= 2 && latents.size(0) % images == 0,
              "diversity: expected whole groups of two or more images");
  const at::Tensor groups = latents.flatten(1).view({latents.size(0) / images, images, -1});
  const at::Tensor unit = groups / groups.norm(2, {2}, true).clamp_min(1e-12);
  const at::Tensor places = data::to_device(at::triu_indices(images, images, 1), latents.device());
  const at::Tensor cosines = unit.bmm(unit.transpose(1, 2));  // [prompts, images, images]
  return 1 - cosines.flatten(1).index_select(1, places[0] * images + places[1]);
}

}  // namespace

Distillation make_distillation(const TrainingTask& task,
                               const EncodedImages& data,
                               const DistillConfig& config,
                               const diffusion::Network& student,
                               Optimizer& optimizer,
                               const ProcessGroup& ranks) {
  const int64_t fewest = task.rewards.empty() ? config.train_batch_size : rated_rows(config);
  if (fewest < ranks.count) {
    throw data::BadInput(
        "train_batch_size, reward_batch_size: expected at least a row for each of " +
        std::to_string(ranks.count) + " ranks, found " + std::to_string(fewest) +
        "; raise them, or start fewer ranks");
  }
  optimizer.state.ema.ramp = false;  // as published: the average begins as the student
  Distillation run{.task = task,
                   .data = data,
                   .config = config,
                   .schedule = lcd_schedule(diffusion::make_schedule(task.pipeline->scheduler),
                                            config.num_ddim_timesteps, config.timestep_scaling),
                   .teacher = task.teacher,
                   .target = averaged_unet(student, optimizer),
                   .uncondition = unconditional(task),
                   .share = strided_shard(ranks, config.train_batch_size)};
  if (learns_latent_reward(task, config)) {
    run.proxy = make_latent_reward(task.latent_shape[0], diffusion::traits(task.unet).context_width,
                                   task.device, config.seed);
  }
  return run;
}

bool learns_latent_reward(const TrainingTask& task, const DistillConfig& config) {
  return config.latent_reward && !task.rewards.empty();
}

int64_t rated_rows(const DistillConfig& config) {
  const int64_t wanted = config.reward_batch_size,
                unblended = config.train_batch_size - blended_rows(config);
  return wanted > 0 ? std::min(wanted, unblended) : unblended;
}

DrawnBatch draw_batch(const Distillation& run, at::Generator& generator) {
  const DistillConfig& config = run.config;
  const int64_t count = config.train_batch_size;
  const at::Device device = run.task.device;
  const at::Tensor rows = at::randint(run.data.mean.size(0), {count}, generator, at::kLong);
  const at::Tensor mean = run.data.mean.index_select(0, rows).to(at::kFloat),
                   std = run.data.std.index_select(0, rows).to(at::kFloat);
  DrawnBatch drawn;
  LcdBatch& batch = drawn.batch;
  batch.latents = data::to_device(mean + std * at::randn(mean.sizes(), generator), device);
  batch.noise = data::to_device(at::randn(mean.sizes(), generator), device);
  batch.index =
      data::to_device(at::randint(run.schedule.t.size(0), {count}, generator, at::kLong), device);
  const at::Tensor place = at::rand({count}, generator);
  batch.conditions.guidance_w = config.time_cond_proj_dim > 0
                                    ? config.w_min + (config.w_max - config.w_min) * place
                                    : at::full({count}, config.w);
  for (int64_t i = 0; i < count; ++i)
    drawn.prompts.push_back(run.data.captions[static_cast<size_t>(rows[i].item<int64_t>())]);
  const at::NoGradGuard no_gradient;
  batch.conditions.text = encode(run.task, drawn.prompts);
  blend_captions(batch.conditions.text, blended_rows(config), generator);
  batch.conditions.negative = run.uncondition;
  batch.conditions.time_ids = size_conditions(run.task);
  keep_own(run, drawn);
  return drawn;
}

ChainState last_step_state(const Distillation& run,
                           const diffusion::Network& student,
                           const diffusion::Conditioning& conditions,
                           int64_t steps,
                           at::Generator& generator,
                           const RowShard& share) {
  const at::NoGradGuard no_gradient;
  const int64_t rows = conditions.text.hidden.size(0), points = run.schedule.t.size(0);
  const RowShard own = share.total > 0 ? share : whole(rows);
  std::vector<int64_t> shape = run.task.latent_shape;
  shape.insert(shape.begin(), own.total);
  const auto noise = [&] {
    return data::to_device(
        at::randn(shape, generator).index_select(0, at::tensor(own.rows, at::kLong)),
        run.task.device);
  };
  ChainState state{noise(), {}};
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t point = points - 1 - i * points / steps;  // as LCM sampling spaces them
    if (i > 0) {
      const at::Tensor clean = consistency(student, run.schedule, state.x, state.t, conditions);
      const at::Tensor t = data::to_device(run.schedule.t[point].view({1}), run.task.device);
      state.x = diffusion::add_noise(levels_at(run.schedule, t), clean, noise());
    }
    state.t = data::to_device(run.schedule.t[point], run.task.device).expand({rows});
  }
  return state;
}

TermReport accumulate_terms(const Distillation& run,
                            const diffusion::Network& student,
                            const DrawnBatch& drawn,
                            double beta,
                            at::Generator& generator) {
  Step step{run, student, drawn, generator};
  const LcdPrediction prediction =
      lcd_predict(student, run.target, run.teacher, run.schedule, drawn.batch);
  heartbeat(step.ranks());
  if (any_rank(step.ranks(), !prediction.predicted.isfinite().all().item<bool>())) {
    step.report.fault = "the student's output";
    return step.report;
  }
  LossGradient lcd = loss_gradient(prediction, run.config);
  if (step.ranks().count > 1) lcd.gradient.mul_(part(run.share));
  const double lcd_norm = norm_of(step.ranks(), lcd.gradient);
  step.report.figures = {{"loss", added(step.ranks(), lcd.loss * part(run.share))},
                         {"gradient/lcd", lcd_norm}};
  if (!run.task.rewards.empty() && follows_reward(run))
    add_reward(step, beta, lcd_norm, prediction.predicted, lcd.gradient);
  if (run.config.diversity_beta > 0) add_diversity(step, lcd_norm);
  prediction.predicted.backward(lcd.gradient);
  if (run.proxy) step.report.examples = examples_of(step, prediction);
  return step.report;
}

bool follows_reward(const Distillation& run) {
  return !run.proxy || run.proxy->updates >= run.config.latent_reward_warmup;
}

RatedExamples rate_examples(const Distillation& run, const LatentExamples& examples) {
  std::vector<at::Tensor> values;
  for (int64_t start = 0; start < examples.latents.size(0); start += run.config.reward_chunk) {
    const int64_t rows = std::min(run.config.reward_chunk, examples.latents.size(0) - start);
    const at::NoGradGuard no_gradient;
    values.push_back(weighted_reward(
        score_images(run.task.rewards, decode(run.task, examples.latents.narrow(0, start, rows)),
                     {examples.prompts.begin() + start, examples.prompts.begin() + start + rows},
                     run.share.ranks),
        run.task.rewards, run.config));
  }
  return {all_gather_rows(examples.share, examples.latents),
          all_gather_rows(examples.share, examples.hidden),
          all_gather_rows(examples.share, at::cat(values))};
}

MetricValues update_proxy(Distillation& run, const RatedExamples& examples) {
  const LatentUpdate update =
      update_latent_reward(*run.proxy, examples.latents, examples.hidden, examples.values,
                           run.config.latent_reward_learning_rate);
  return {{"latent_reward/kl", update.kl}, {"latent_reward/accuracy", update.accuracy}};
}

at::Tensor diversity_loss(const at::Tensor& latents, int64_t images, double floor) {
  return at::relu(floor - pair_distances(latents, images)).mean();
}

double mean_distance(const at::Tensor& latents, int64_t images) {
  return pair_distances(latents, images).mean().item<double>();
}

}  // namespace finetune
