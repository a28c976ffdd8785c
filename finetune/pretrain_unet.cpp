#include "finetune/pretrain_unet.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "data/error.hpp"
#include "data/image_io.hpp"
#include "data/metrics.hpp"
#include "data/train/state.hpp"
#include "finetune/workers.hpp"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;
using diffusion::UNet;
namespace fs = std::filesystem;

constexpr int64_t kHeldOutSeed = 7;

// One worker's view of the weights: it shares their memory and has gradients of its own.
struct Share {
  UNet unet;
  train::Params params;
};

struct Run {
  const PretrainUNetOptions& options;
  const diffusion::Pipeline& pipeline;
  const LatentSet& train;
  const LatentSet& held_out;
  const std::vector<ExamSet>& exams;
  diffusion::NoiseSchedule schedule;
  UNet unet;
  train::TrainState state;
  std::vector<Share> shares;
  int64_t step = 0;
  double earlier_minutes = 0;
  Clock::time_point began = Clock::now();
};

double minutes(const Run& run) {
  return run.earlier_minutes + std::chrono::duration<double>(Clock::now() - run.began).count() / 60;
}

// 0 .. 1
double progress(const Run& run) {
  const auto& options = run.options;
  if (options.max_train_minutes > 0) return minutes(run) / options.max_train_minutes;
  return static_cast<double>(run.step) / static_cast<double>(options.max_train_steps);
}

double learning_rate(const PretrainUNetOptions& options, int64_t step, double done) {
  const double warm =
      std::min(1.0, static_cast<double>(step + 1) /
                        static_cast<double>(std::max<int64_t>(1, options.lr_warmup_steps)));
  const double left = 1.0 - options.lr_decay_from;
  const double fall = left > 0 ? std::clamp((1.0 - done) / left, 0.0, 1.0) : 1.0;
  return options.learning_rate * warm * fall;
}

// Timesteps spread evenly over the schedule, one in each of B equal stretches: each is uniform, and
// the batch's loss varies less than with independent ones (Kingma et al. 2021, "Variational
// diffusion models", appendix I.1).
at::Tensor spread_timesteps(int64_t count, int64_t num_train_timesteps, at::Generator& generator) {
  const at::Tensor offset = at::rand({1}, generator, at::kDouble);
  const at::Tensor place = (at::arange(count, at::kDouble) + offset) / static_cast<double>(count);
  return (place * static_cast<double>(num_train_timesteps))
      .to(at::kLong)
      .clamp_max(num_train_timesteps - 1);
}

UNetBatch draw_batch(const LatentSet& set,
                     const PretrainUNetOptions& options,
                     const diffusion::NoiseSchedule& schedule,
                     at::Generator& generator) {
  const int64_t count = options.train_batch_size;
  auto shape = set.mean.sizes().vec();
  shape[0] = count;
  const at::Tensor rows = at::randint(set.size(), {count}, generator, at::kLong);
  const at::Tensor drop =
      at::rand({count}, generator, at::kFloat) < options.proportion_empty_prompts;
  const LatentBatch latents =
      latent_batch(set, rows, at::randn(shape, generator, at::kFloat), drop);
  UNetBatch batch{latents.latents, latents.hidden, {}, {}};
  batch.t = spread_timesteps(count, schedule.config.num_train_timesteps, generator);
  batch.noise = at::randn(shape, generator, at::kFloat);
  return batch;
}

UNetBatch part_of(const UNetBatch& batch, int64_t begin, int64_t end) {
  return {batch.latents.slice(0, begin, end), batch.hidden.slice(0, begin, end),
          batch.t.slice(0, begin, end), batch.noise.slice(0, begin, end)};
}

std::vector<Share> make_shares(const Run& run) {
  std::vector<Share> shares;
  for (int64_t i = 0; i < std::min(run.options.num_workers, run.options.train_batch_size); ++i) {
    Share share{run.unet, {}};
    for_each_tensor(share.unet, "", [&](const std::string& name, at::Tensor& tensor) {
      tensor = tensor.detach().requires_grad_(true);
      share.params.push_back({name, tensor});
    });
    shares.push_back(std::move(share));
  }
  return shares;
}

// The batch's loss; its gradient is left in run.state.params, summed over the shares in a fixed
// order.
double loss_and_gradient(Run& run, const UNetBatch& batch) {
  const auto workers = static_cast<int64_t>(run.shares.size());
  const int64_t count = batch.t.size(0);
  std::vector<double> losses(workers);
  in_parallel(workers, [&](int64_t i) {
    Share& share = run.shares[i];
    const int64_t begin = count * i / workers, end = count * (i + 1) / workers;
    train::zero_grad(share.params);
    const double weight = static_cast<double>(end - begin) / static_cast<double>(count);
    const at::Tensor loss = weight * unet_loss(share.unet, run.schedule, part_of(batch, begin, end),
                                               run.options.snr_gamma);
    loss.backward();
    losses[i] = loss.item<double>();
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  for (size_t p = 0; p < run.state.params.size(); ++p) {
    at::Tensor grad = run.shares[0].params[p].value.grad();
    for (int64_t i = 1; i < workers; ++i) grad = grad + run.shares[i].params[p].value.grad();
    run.state.params[p].value.mutable_grad() = grad;
  }
  return sum;
}

struct StepFigures {
  double loss = 0, grad_norm = 0, lr = 0;
};

StepFigures train_step(Run& run) {
  const auto& options = run.options;
  StepFigures figures;
  figures.lr = learning_rate(options, run.step, progress(run));
  const UNetBatch batch = draw_batch(run.train, options, run.schedule, run.state.generator);
  figures.loss = loss_and_gradient(run, batch);
  figures.grad_norm = train::clip_grad_norm(run.state.params, options.max_grad_norm);
  if (std::isfinite(figures.grad_norm)) {  // otherwise the step is skipped: one bad batch must not
                                           // end hours of work
    train::adamw_step(run.state.params, run.state.adamw, {.weight_decay = options.weight_decay},
                      figures.lr);
    train::update_ema(run.state.ema, run.state.params);
  }
  ++run.step;
  return figures;
}

fs::path state_path(const PretrainUNetOptions& options) {
  return options.output_dir / "state.safetensors";
}
fs::path metrics_path(const PretrainUNetOptions& options) {
  return options.output_dir / "metrics.jsonl";
}

void save(Run& run) {
  run.state.notes = {{"step", std::to_string(run.step)}, {"minutes", std::to_string(minutes(run))}};
  train::save_state(state_path(run.options), run.state);
}

void resume(Run& run) {
  const std::string& from = run.options.resume_from_checkpoint;
  const fs::path path = from == "latest" ? state_path(run.options) : fs::path(from);
  if (from == "latest" && !fs::exists(path)) return;  // nothing yet: the first sitting
  train::load_state(path, run.state);
  run.step = std::stoll(run.state.notes.at("step"));
  run.earlier_minutes = std::stod(run.state.notes.at("minutes"));
  data::truncate_metrics(metrics_path(run.options), run.step);
}

void start(Run& run) {
  const auto& options = run.options;
  check_output(options);
  run.schedule = diffusion::make_schedule(run.pipeline.scheduler);
  run.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed));
  run.unet = diffusion::make_unet(options.model, run.state.generator);
  run.state.params = train::parameters_of(run.unet, "");
  run.state.adamw = train::make_adamw(run.state.params);
  run.state.ema = train::make_ema(run.state.params, options.ema_decay);
  if (!options.resume_from_checkpoint.empty()) resume(run);
  run.shares = make_shares(run);
}

UNet averaged(Run& run) {
  train::swap_ema(run.state.ema, run.state.params);
  UNet unet = run.unet;
  for_each_tensor(unet, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  train::swap_ema(run.state.ema, run.state.params);
  return unet;
}

// On the same noise and timesteps every time, unweighted.
double held_out_loss(const Run& run, const UNet& unet) {
  const at::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(kHeldOutSeed);
  PretrainUNetOptions options = run.options;
  options.proportion_empty_prompts = 0;
  const int64_t batches = std::max<int64_t>(1, run.held_out.size() / options.train_batch_size);
  double sum = 0;
  for (int64_t i = 0; i < batches; ++i) {
    const UNetBatch batch = draw_batch(run.held_out, options, run.schedule, generator);
    sum += unet_loss(unet, run.schedule, batch, 0.0).item<double>();
  }
  return sum / static_cast<double>(batches);
}

PretrainUNetResult validate(Run& run) {
  PretrainUNetResult result{averaged(run), run.step, minutes(run), 0, {}};
  result.held_out_loss = held_out_loss(run, result.unet);
  data::Metrics line{
      .step = run.step, .epoch = 0, .time = data::now(), .evaluation = true, .values = {}};
  line.values = {{"minutes", result.minutes}, {"held_out_loss", result.held_out_loss}};
  diffusion::Pipeline pipeline = run.pipeline;
  pipeline.unet = result.unet;
  std::vector<at::Tensor> images;
  for (const auto& set : run.exams) {
    result.exams.push_back(examine(pipeline, set, run.options.exam));
    line.values.push_back({set.name + "/caption_match", result.exams.back().fraction});
    line.values.push_back({set.name + "/caption_exact", result.exams.back().exact});
    images.push_back(result.exams.back().images.slice(0, 0, 64));
  }
  data::append_metrics(metrics_path(run.options), line);
  if (!images.empty()) {
    char name[40];
    std::snprintf(name, sizeof name, "step-%07ld.png", static_cast<long>(run.step));
    data::write_png(run.options.output_dir / "samples" / name, contact_sheet(at::cat(images), 16),
                    {});
  }
  return result;
}

std::string exam_line(const Run& run, const PretrainUNetResult& result) {
  char text[120];
  std::snprintf(text, sizeof text, "held-out loss %.4f", result.held_out_loss);
  std::string line = text;
  for (size_t i = 0; i < run.exams.size(); ++i) {
    std::snprintf(text, sizeof text, "  %s: %.1f %% exact, %.1f %% of claims",
                  run.exams[i].name.c_str(), 100 * result.exams[i].exact,
                  100 * result.exams[i].fraction);
    line += text;
  }
  return line;
}

// Means over the steps since the last line.
struct Window {
  double loss = 0, grad_norm = 0;
  int64_t steps = 0;
  Clock::time_point since = Clock::now();
};

std::string log(const Run& run, const Window& window, double lr) {
  const double seconds = std::chrono::duration<double>(Clock::now() - window.since).count();
  const auto steps = static_cast<double>(window.steps);
  const double rate = steps * static_cast<double>(run.options.train_batch_size) / seconds;
  data::append_metrics(metrics_path(run.options),
                       {.step = run.step,
                        .epoch = 0,
                        .time = data::now(),
                        .evaluation = false,
                        .values = {{"minutes", minutes(run)},
                                   {"loss", window.loss / steps},
                                   {"learning_rate", lr},
                                   {"grad_norm", window.grad_norm / steps},
                                   {"images_per_second", rate}}});
  char text[160];
  std::snprintf(text, sizeof text,
                "step %6ld  %5.1f min  %3.0f %%  loss %.4f  gradient %.3f  lr %.2e  %.0f images/s",
                static_cast<long>(run.step), minutes(run), 100 * std::min(1.0, progress(run)),
                window.loss / steps, window.grad_norm / steps, lr, rate);
  return text;
}

}  // namespace

void check_output(const PretrainUNetOptions& options) {
  if (options.resume_from_checkpoint.empty() && fs::exists(state_path(options))) {
    throw data::BadInput(
        options.output_dir.string() + ": output_dir: expected a folder without a training state, " +
        "found one; continue it with --resume_from_checkpoint latest or name another folder");
  }
}

at::Tensor min_snr_weights(const diffusion::NoiseSchedule& schedule,
                           const at::Tensor& t,
                           double gamma) {
  if (gamma <= 0) return at::ones_like(t, at::kFloat);
  const at::Tensor alpha_bar = at::tensor(schedule.alphas_cumprod, at::kDouble).index_select(0, t);
  const at::Tensor snr = alpha_bar / (1 - alpha_bar);
  return (snr.clamp_max(gamma) / snr).to(at::kFloat);
}

at::Tensor unet_loss(const UNet& unet,
                     const diffusion::NoiseSchedule& schedule,
                     const UNetBatch& batch,
                     double snr_gamma) {
  const at::Tensor x = diffusion::add_noise(schedule, batch.latents, batch.noise, batch.t);
  const at::Tensor target =
      diffusion::training_target(schedule, batch.latents, batch.noise, batch.t);
  const at::Tensor error = (diffusion::unet_forward(unet, x, batch.t, batch.hidden) - target)
                               .square()
                               .flatten(1)
                               .mean(1);
  return (min_snr_weights(schedule, batch.t, snr_gamma) * error).mean();
}

PretrainUNetResult pretrain_unet(const PretrainUNetOptions& options,
                                 const diffusion::Pipeline& pipeline,
                                 const LatentSet& train,
                                 const LatentSet& held_out,
                                 const std::vector<ExamSet>& exams,
                                 const std::function<void(const std::string&)>& print) {
  if (options.num_workers > 1) at::set_num_threads(1);
  Run run{.options = options,
          .pipeline = pipeline,
          .train = train,
          .held_out = held_out,
          .exams = exams,
          .schedule = {},
          .unet = {},
          .state = {},
          .shares = {}};
  start(run);
  Window window;
  while (progress(run) < 1.0) {
    const StepFigures now = train_step(run);
    window.loss += now.loss;
    window.grad_norm += now.grad_norm;
    ++window.steps;
    if (run.step % options.logging_steps == 0) {
      print(log(run, window, now.lr));
      window = {};
    }
    if (run.step % options.validation_steps == 0) {
      print(exam_line(run, validate(run)));
      window = {};
    }
    if (run.step % options.checkpointing_steps == 0) save(run);
  }
  save(run);
  const PretrainUNetResult result = validate(run);
  print(exam_line(run, result));
  return result;
}

}  // namespace finetune
