#include "finetune/distill/distill.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "data/base/format.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "finetune/distill/distilled_range.hpp"
#include "finetune/distill/step.hpp"
#include "finetune/run/step_loop.hpp"
#include "finetune/task/sampler_drawer.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

constexpr int64_t kReportEvery = 10;  // steps between lines of metrics
constexpr int64_t kStepsToChooseBeta = 8;
constexpr size_t kSpreadPrompts = 8, kSpreadImages = 4;  // of the teacher's own spread
constexpr int64_t kSpreadSteps = 25;

// Draws the evaluation's images with `unet`, guided by `scale`.
Evaluation evaluate_with(const TrainingRun& run,
                         const diffusion::Network& unet,
                         double scale,
                         const diffusion::SchedulerConfig& scheduler,
                         const diffusion::SamplerOptions& options) {
  const Denoiser policy = policy_on(run.task, unet, run.eval_set.prompts, scale, run.options.ranks);
  return evaluate(run.task, run.eval_set, sampler_drawer(run.task, policy, scheduler, options),
                  at::zeros({0}, at::kDouble), run.config.sample_batch_size, run.options.ranks);
}

const diffusion::Sampler* eval_sampler(const DistillConfig& config) {
  return diffusion::sampler_from_name(config.eval_sampler, "eval_sampler").sampler;
}

// Guidance beside the student's own; 1: none.
double student_scale(const DistillConfig& config) {
  return config.time_cond_proj_dim > 0 ? config.w + 1 : 1;
}

// beta so that the reward's gradient is `reward_share` of the distillation's, over a few batches.
// The student is not changed.
void choose_beta(TrainingRun& run, const Distillation& distillation) {
  const DistillConfig& config = distillation.config;
  RunProgress& progress = run.progress;
  if (run.task.rewards.empty() || progress.beta > 0 || !follows_reward(distillation)) return;
  progress.beta = config.beta;
  if (progress.beta > 0) return;
  double share = 0;
  at::Generator& generator = run.optimizer.state.generator;
  for (int64_t i = 0; i < kStepsToChooseBeta; ++i) {
    const DrawnBatch drawn = draw_batch(distillation, generator);
    share += accumulate_terms(distillation, run.unet, drawn, 0, generator).share /
             static_cast<double>(kStepsToChooseBeta);
    train::zero_grad(run.optimizer.state.params);
  }
  progress.beta = share > 0 ? config.reward_share / share : 1;
  run.reporter.say(
      data::formatted("beta %.4g: the reward's gradient begins at %.2f of the distillation's",
                      progress.beta, config.reward_share));
}

// Images of a step rated by the trained rewards.
int64_t queries_of_a_step(const Distillation& distillation) {
  if (distillation.task.rewards.empty()) return 0;
  return (distillation.proxy ? 3 : 1) * rated_rows(distillation.config);
}

// Backward pass of a drawn batch. `examples`: what the latent reward, where there is one, will
// learn from.
BatchResult accumulate(TrainingRun& run,
                       const Distillation& distillation,
                       RatedExamples& examples) {
  choose_beta(run, distillation);
  at::Generator& generator = run.optimizer.state.generator;
  const DrawnBatch drawn = draw_batch(distillation, generator);
  const TermReport terms =
      accumulate_terms(distillation, run.unet, drawn, run.progress.beta, generator);
  if (terms.fault.empty() && distillation.proxy)
    examples = rate_examples(distillation, terms.examples);
  return {terms.figures, terms.fault};
}

MetricValues after_step(TrainingRun& run, Distillation& distillation, RatedExamples& examples) {
  run.progress.queries += queries_of_a_step(distillation);
  if (!distillation.proxy) return {};
  return update_proxy(distillation, std::exchange(examples, {}));
}

// ", reward 0.3, its gradient 0.2 of the distillation's"
std::string reward_words(const std::map<std::string, double>& means) {
  const auto reward = means.find("reward_mean");
  if (reward == means.end()) return "";
  return data::formatted(", reward %.4f, its gradient %.2f of the distillation's", reward->second,
                         means.at("gradient/reward") / means.at("gradient/lcd"));
}

// `config` and `distillation`, which is made after the run, must outlive it.
RunHooks hooks_of(const TrainingTask& task,
                  const DistillConfig& config,
                  std::optional<Distillation>& distillation) {
  const std::string name = std::filesystem::path(task.model).filename().string();
  RunHooks hooks{
      .command = "laurel distill",
      .memory_options = data::formatted("--train_batch_size (now %.0f), --reward_chunk (now %.0f)",
                                        static_cast<double>(config.train_batch_size),
                                        static_cast<double>(config.reward_chunk)),
      .draw_base =
          [&](const TrainingRun& run) {
            return evaluate_with(run, run.task.teacher, config.w + 1, run.task.pipeline->scheduler,
                                 {.steps = config.teacher_steps});
          },
      .draw_now =
          [&](const TrainingRun& run) {
            return evaluate_with(run, run.unet, student_scale(config),
                                 student_scheduler(run.task.pipeline->scheduler, config),
                                 {.sampler = eval_sampler(config), .steps = config.eval_steps});
          },
      .base_caption = {name, "DDIM", config.teacher_steps, config.w + 1},
      .caption = {name, eval_sampler(config)->label, config.eval_steps, student_scale(config)},
      .base_name = "the teacher",
      .base_is_start = false};
  if (learns_latent_reward(task, config)) {
    hooks.save_more = [&](const std::filesystem::path& folder) {
      save_latent_reward(folder, *distillation->proxy);
    };
    hooks.load_more = [&](const std::filesystem::path& folder) {
      load_latent_reward(folder, *distillation->proxy);
    };
  }
  if (config.train_full) {
    hooks.export_full = [&](const TrainingRun& run, const std::filesystem::path& folder) {
      save_pipeline(run.task, folder / "model", run.unet,
                    student_scheduler(run.task.pipeline->scheduler, config));
      write_distilled_range(folder / "model", config, run.task.model);
    };
  }
  return hooks;
}

// How far apart the teacher's own images of a prompt lie, without guidance.
double teacher_spread(const TrainingRun& run, const DistillConfig& config) {
  const at::NoGradGuard no_gradient;
  const TrainingTask& task = run.task;
  const auto count = std::min<size_t>(kSpreadPrompts, task.prompts.size());
  SampleRequests draw;
  for (size_t i = 0; i < count * kSpreadImages; ++i) {
    draw.prompt_ids.push_back(static_cast<int64_t>(i / kSpreadImages));
    draw.seeds.push_back(static_cast<uint64_t>(config.eval_seed) + i);
  }
  const std::vector<TrainingPrompt> prompts(task.prompts.begin(),
                                            task.prompts.begin() + static_cast<int64_t>(count));
  const auto drawn =
      sampler_drawer(task, policy_on(task, task.teacher, prompts, 1.0), task.pipeline->scheduler,
                     {.steps = std::min<int64_t>(kSpreadSteps, config.teacher_steps)})(draw);
  const double spread = mean_distance(drawn.latents, kSpreadImages);
  run.reporter.say(data::formatted(
      "diversity: the teacher's images of a prompt are %.3f apart without guidance", spread));
  return spread;
}

}  // namespace

diffusion::Network make_student(const diffusion::Network& teacher, int64_t time_cond_proj_dim) {
  diffusion::UNet student = diffusion::unet_of(teacher);
  TORCH_CHECK(student.config.time_cond_proj_dim == 0, "make_student: the teacher reads w itself");
  student.config.time_cond_proj_dim = time_cond_proj_dim;
  if (time_cond_proj_dim > 0) {
    const at::Tensor& first = student.time_linear_1.weight;  // [time_width, C]
    student.time_cond_proj.weight = at::zeros({first.size(1), time_cond_proj_dim}, first.options());
  }
  return student;
}

diffusion::Network averaged_unet(const diffusion::Network& student, const Optimizer& optimizer) {
  const auto& shadow = optimizer.state.ema.shadow;
  return shadow.empty() ? student : with_values(student, optimizer.state.params, shadow);
}

diffusion::SchedulerConfig student_scheduler(const diffusion::SchedulerConfig& teacher,
                                             const DistillConfig& config) {
  diffusion::SchedulerConfig scheduler = teacher;
  scheduler.class_name = "LCMScheduler";
  scheduler.sampler = diffusion::sampler_of_class(scheduler.class_name);
  scheduler.timestep_spacing = diffusion::Spacing::kLeading;
  scheduler.set_alpha_to_one = true;
  scheduler.original_inference_steps = config.num_ddim_timesteps;
  scheduler.timestep_scaling = config.timestep_scaling;
  return scheduler;
}

RunResult run_distill(const TrainingTask& task,
                      const EncodedImages& data,
                      const DistillConfig& config,
                      const RunOptions& options,
                      const Reporter& reporter) {
  if (!config.latent_reward)
    check_differentiable(task, "add --latent_reward, which learns it on latents");
  std::optional<Distillation> distillation;
  TrainingRun run = make_training_run(task, config, options, reporter,
                                      hooks_of(task, config, distillation), config.max_train_steps);
  distillation.emplace(
      make_distillation(task, data, config, run.unet, run.optimizer, options.ranks));
  if (config.diversity_beta > 0) distillation->diversity_floor = teacher_spread(run, config);
  RatedExamples examples;
  const auto state = [&]() -> MetricValues {
    return {{"beta", run.progress.beta}, {"queries", static_cast<double>(run.progress.queries)}};
  };
  return run_steps(run, {.max_train_steps = config.max_train_steps,
                         .batch = config.train_batch_size,
                         .report_every = kReportEvery,
                         .accumulate = [&] { return accumulate(run, *distillation, examples); },
                         .after_step = [&] { return after_step(run, *distillation, examples); },
                         .state = state,
                         .words = reward_words});
}

}  // namespace finetune
