#include "finetune/forward/drawing.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/format.hpp"
#include "data/device/transfer.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "finetune/run/score_prompt.hpp"
#include "finetune/task/sampler_drawer.hpp"

namespace finetune {
namespace {

template <class T>
std::vector<T> stretch(const std::vector<T>& all, int64_t start, int64_t count) {
  return {all.begin() + start, all.begin() + start + count};
}

// The chain whose steps have a probability, as the policy-gradient methods evaluate it; without
// steps where there is none.
SamplingPlan chain_of(const TrainingTask& task,
                      const ForwardConfig& config,
                      const ForwardDrawing& drawing) {
  const bool is_chain = drawing.options.sampler == &diffusion::kDdim && config.sample_eta > 0 &&
                        drawing.scheduler.sigma_schedule == nullptr;
  if (!is_chain) return {};
  FinetuneConfig chain;
  chain.sample_num_steps = config.sample_num_steps;
  chain.sample_eta = config.sample_eta;
  return make_sampling_plan(chain, drawing.scheduler, task.latent_shape, task.device);
}

// The same prompts, each asking for this score. Rewards see them without it.
std::vector<TrainingPrompt> asking_for(int64_t score, std::vector<TrainingPrompt> prompts) {
  for (auto& prompt : prompts) prompt.text = score_prompt(score, prompt.text);
  return prompts;
}

}  // namespace

ForwardDrawing make_drawing(const TrainingTask& task, const ForwardConfig& config) {
  const auto choice = diffusion::sampler_from_name(config.sampling_method, "sampling_method");
  ForwardDrawing drawing{.scheduler = task.pipeline->scheduler,
                         .options = {.sampler = choice.sampler, .steps = config.sample_num_steps},
                         .label = diffusion::sampler_label(choice),
                         .chain = {}};
  drawing.scheduler.sigma_schedule = choice.sigma_schedule;
  if (choice.sampler->has_eta) drawing.options.eta = config.sample_eta;
  diffusion::check_runs_on(drawing.scheduler, *choice.sampler);
  diffusion::sampler_table(diffusion::make_schedule(drawing.scheduler), drawing.options);
  drawing.chain = chain_of(task, config, drawing);
  return drawing;
}

at::Tensor draw_clean(const TrainingTask& task,
                      const ForwardDrawing& drawing,
                      const Denoiser& policy,
                      const SampleRequests& draw,
                      int64_t batch) {
  const at::NoGradGuard no_gradient;
  const DrawLatents drawer = sampler_drawer(task, policy, drawing.scheduler, drawing.options);
  std::vector<at::Tensor> parts;
  const auto total = static_cast<int64_t>(draw.seeds.size());
  for (int64_t start = 0; start < total; start += batch) {
    const int64_t count = std::min(batch, total - start);
    const SampleRequests some{.prompt_ids = stretch(draw.prompt_ids, start, count),
                              .seeds = stretch(draw.seeds, start, count),
                              .noise_seeds = {}};
    parts.push_back(data::to_host(drawer(some).latents));
  }
  return at::cat(parts);
}

Evaluation evaluate_drawn(const TrainingRun& run,
                          const ForwardConfig& config,
                          const ForwardDrawing& drawing,
                          bool is_base) {
  const auto on = [&](const diffusion::Network& network,
                      const std::vector<TrainingPrompt>& prompts) {
    return policy_on(run.task, network, prompts, config.sample_guidance_scale, run.options.ranks);
  };
  const int64_t batch = config.sample_batch_size;
  const SamplingPlan& chain = drawing.chain;
  // The starting model's own images ask for no score, of which it knows nothing. The KL compares
  // both networks at the same words.
  const auto& prompts = run.eval_set.prompts;
  const bool asks = config.asks_for_scores && !is_base;
  const auto asked = asks ? asking_for(kHighestScore, prompts) : prompts;
  const Denoiser base = on(run.task.unet, asked), now = is_base ? base : on(run.unet, asked);
  if (chain.steps.empty())
    return evaluate(run.task, run.eval_set,
                    sampler_drawer(run.task, now, drawing.scheduler, drawing.options),
                    at::zeros({0}, at::kDouble), batch, run.options.ranks);
  return evaluate(run.task, run.eval_set,
                  chain_drawer(now, is_base ? Denoiser() : base, chain, batch), chain.mask, batch,
                  run.options.ranks);
}

RunHooks drawing_hooks(const TrainingTask& task,
                       const ForwardConfig& config,
                       const ForwardDrawing& drawing) {
  const SampleCaption caption{std::filesystem::path(task.model).filename().string(), drawing.label,
                              config.sample_num_steps, config.sample_guidance_scale};
  const auto draw = [&config, &drawing](bool is_base) {
    return [&config, &drawing, is_base](const TrainingRun& run) {
      return evaluate_drawn(run, config, drawing, is_base);
    };
  };
  return {.command = "laurel finetune " + config.method.name,
          .memory_options =
              data::formatted("--train_batch_size (now %.0f), --sample_batch_size (now %.0f)",
                              static_cast<double>(config.train_batch_size),
                              static_cast<double>(config.sample_batch_size)),
          .draw_base = draw(true),
          .draw_now = draw(false),
          .base_caption = caption,
          .caption = caption};
}

}  // namespace finetune
