#include "finetune/distill/distill.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <utility>

#include "data/base/format.hpp"
#include "diffusion/lora/adapters.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "finetune/distill/step.hpp"
#include "finetune/run/guided_policy.hpp"
#include "finetune/run/step_loop.hpp"

namespace finetune {
namespace {

constexpr int64_t kReportEvery = 10;  // steps between lines of metrics
constexpr int64_t kStepsToChooseBeta = 8;
constexpr size_t kSpreadPrompts = 8, kSpreadImages = 4;  // of the teacher's own spread
constexpr int64_t kSpreadSteps = 25;

struct Run {
  const DistillConfig& config;
  TrainingRun session;
  Distillation distillation;
  RatedExamples examples{};  // of the step that is going on, with a latent reward
};

// Images by an ordinary sampler. scale: guidance; 1: none, or none beside the student's own.
DrawLatents sampler_drawer(const Task& task,
                           const Denoiser& policy,
                           const diffusion::SchedulerConfig& scheduler,
                           const diffusion::SamplerOptions& options) {
  const diffusion::NoiseSchedule schedule = diffusion::make_schedule(scheduler);
  return [&task, policy, schedule, options](const SampleRequests& draw) {
    auto generators = diffusion::image_generators(draw.seeds);
    const at::Tensor noise = diffusion::draw_noise(generators, task.latent_shape, task.device);
    const auto denoiser = [&](const at::Tensor& x, double timestep) {
      return policy(x, static_cast<int64_t>(timestep), draw.prompt_ids);
    };
    const at::Tensor latents = diffusion::sample(denoiser, noise, schedule, generators, options);
    return DrawnLatents{latents, at::zeros({latents.size(0), 0}, at::kDouble)};
  };
}

Evaluation evaluate_with(const Run& run, const DrawLatents& draw) {
  return evaluate(run.session.task, run.session.eval_set, draw, at::zeros({0}, at::kDouble),
                  run.config.sample_batch_size, run.session.options.ranks);
}

Evaluation evaluate_teacher(const Run& run) {
  const Task& task = run.session.task;
  return evaluate_with(
      run, sampler_drawer(task,
                          policy_on(task, run.distillation.teacher, run.session.eval_set.prompts,
                                    run.config.w + 1, run.session.options.ranks),
                          task.scheduler, {.steps = run.config.teacher_steps}));
}

const diffusion::Sampler* eval_sampler(const DistillConfig& config) {
  return diffusion::sampler_from_name(config.eval_sampler, "eval_sampler").sampler;
}

Evaluation evaluate_student(const Run& run) {
  const Task& task = run.session.task;
  const double scale = run.config.time_cond_proj_dim > 0 ? run.config.w + 1 : 1;
  return evaluate_with(
      run, sampler_drawer(task,
                          policy_on(task, run.session.unet, run.session.eval_set.prompts, scale,
                                    run.session.options.ranks),
                          student_scheduler(task.scheduler, run.config),
                          {.sampler = eval_sampler(run.config), .steps = run.config.eval_steps}));
}

// beta so that the reward's gradient is `reward_share` of the distillation's, over a few batches.
// The student is not changed.
void choose_beta(Run& run) {
  RunProgress& progress = run.session.progress;
  if (run.session.task.rewards.empty() || progress.beta > 0 || !follows_reward(run.distillation))
    return;
  progress.beta = run.config.beta;
  if (progress.beta > 0) return;
  double share = 0;
  at::Generator& generator = run.session.optimizer.state.generator;
  for (int64_t i = 0; i < kStepsToChooseBeta; ++i) {
    const DrawnBatch drawn = draw_batch(run.distillation, generator);
    share += accumulate_terms(run.distillation, run.session.unet, drawn, 0, generator).share /
             static_cast<double>(kStepsToChooseBeta);
    train::zero_grad(run.session.optimizer.state.params);
  }
  progress.beta = share > 0 ? run.config.reward_share / share : 1;
  run.session.reporter.say(
      data::formatted("beta %.4g: the reward's gradient begins at %.2f of the "
                      "distillation's",
                      progress.beta, run.config.reward_share));
}

// Images rated by the trained rewards.
int64_t queries_of_a_step(const Run& run) {
  if (run.session.task.rewards.empty()) return 0;
  return (run.distillation.proxy ? 3 : 1) * rated_rows(run.config);
}

// Backward pass of a drawn batch.
BatchResult accumulate(Run& run) {
  choose_beta(run);
  at::Generator& generator = run.session.optimizer.state.generator;
  const DrawnBatch drawn = draw_batch(run.distillation, generator);
  const TermReport terms = accumulate_terms(run.distillation, run.session.unet, drawn,
                                            run.session.progress.beta, generator);
  if (terms.fault.empty() && run.distillation.proxy)
    run.examples = rate_examples(run.distillation, terms.examples);
  return {terms.figures, terms.fault};
}

MetricValues after_step(Run& run) {
  run.session.progress.queries += queries_of_a_step(run);
  if (!run.distillation.proxy) return {};
  return update_proxy(run.distillation, std::exchange(run.examples, {}));
}

// ", reward 0.3, its gradient 0.2 of the distillation's"
std::string reward_words(const std::map<std::string, double>& means) {
  const auto reward = means.find("reward_mean");
  if (reward == means.end()) return "";
  return data::formatted(", reward %.4f, its gradient %.2f of the distillation's", reward->second,
                         means.at("gradient/reward") / means.at("gradient/lcd"));
}

Run make_run(const Task& task,
             const EncodedImages& data,
             const DistillConfig& config,
             const RunOptions& options,
             const Reporter& reporter) {
  TrainingRun session = make_training_run(task, config, options, reporter, config.max_train_steps);
  Distillation distillation =
      make_distillation(task, data, config, session.unet, session.optimizer, options.ranks);
  Run run{.config = config, .session = std::move(session), .distillation = std::move(distillation)};
  run.session.command = "laurel distill";
  run.session.memory_options = data::formatted(
      "--train_batch_size (now %.0f), --reward_chunk (now %.0f)",
      static_cast<double>(config.train_batch_size), static_cast<double>(config.reward_chunk));
  const std::string name = std::filesystem::path(task.model).filename().string();
  run.session.words = {name, eval_sampler(config)->label, config.eval_steps,
                       config.time_cond_proj_dim > 0 ? config.w + 1 : 1};
  run.session.base_name = "the teacher";
  run.session.base_caption = {name, "DDIM", config.teacher_steps, config.w + 1};
  return run;
}

// The reward on latents is kept with every checkpoint.
void keep_proxy(Run& run) {
  auto& proxy = run.distillation.proxy;
  run.session.save_more = [&proxy](const std::filesystem::path& folder) {
    save_latent_reward(folder, *proxy);
  };
  run.session.load_more = [&proxy](const std::filesystem::path& folder) {
    load_latent_reward(folder, *proxy);
  };
}

// How far apart the teacher's own images of a prompt lie, without guidance.
double teacher_spread(const Run& run) {
  const at::NoGradGuard no_gradient;
  const Task& task = run.session.task;
  const auto prompts = std::min<size_t>(kSpreadPrompts, task.prompts.size());
  SampleRequests draw;
  for (size_t i = 0; i < prompts * kSpreadImages; ++i) {
    draw.prompt_ids.push_back(static_cast<int64_t>(i / kSpreadImages));
    draw.seeds.push_back(static_cast<uint64_t>(run.config.eval_seed) + i);
  }
  const std::vector<std::string> texts(task.prompts.begin(),
                                       task.prompts.begin() + static_cast<int64_t>(prompts));
  const auto drawn =
      sampler_drawer(task, policy_on(task, run.distillation.teacher, texts, 1.0), task.scheduler,
                     {.steps = std::min<int64_t>(kSpreadSteps, run.config.teacher_steps)})(draw);
  const double spread = mean_distance(drawn.latents, kSpreadImages);
  run.session.reporter.say(data::formatted(
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
  diffusion::Network average = student;
  if (shadow.empty()) return average;
  std::map<std::string, at::Tensor> by_name;
  for (size_t i = 0; i < shadow.size(); ++i) by_name[optimizer.state.params[i].name] = shadow[i];
  const auto replace = [&](const std::string& name, at::Tensor& tensor) {
    const auto found = by_name.find(name);
    if (found != by_name.end()) tensor = found->second;
  };
  for_each_tensor(average, "", replace);
  diffusion::for_each_lora_site(average, [&](const diffusion::LoraSite& site) {
    replace(site.name + ".lora_A.weight", site.lora.down);
    replace(site.name + ".lora_B.weight", site.lora.up);
  });
  return average;
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

RunResult run_distill(const Task& task,
                      const EncodedImages& data,
                      const DistillConfig& config,
                      const RunOptions& options,
                      const Reporter& reporter) {
  if (!config.latent_reward) check_differentiable(task);
  Run run = make_run(task, data, config, options, reporter);
  if (run.distillation.proxy) keep_proxy(run);
  if (config.diversity_beta > 0) run.distillation.diversity_floor = teacher_spread(run);
  run.session.draw_base = [&] { return evaluate_teacher(run); };
  run.session.draw_now = [&] { return evaluate_student(run); };
  if (config.train_full && task.save_pipeline) {
    run.session.export_full = [&](const std::filesystem::path& folder) {
      task.save_pipeline(folder / "model", run.session.unet,
                         student_scheduler(task.scheduler, config));
    };
  }
  const auto state = [&]() -> MetricValues {
    return {{"beta", run.session.progress.beta},
            {"queries", static_cast<double>(run.session.progress.queries)}};
  };
  return run_steps(run.session, {.max_train_steps = config.max_train_steps,
                                 .report_every = kReportEvery,
                                 .accumulate = [&] { return accumulate(run); },
                                 .after_step = [&] { return after_step(run); },
                                 .state = state,
                                 .words = reward_words});
}

}  // namespace finetune
