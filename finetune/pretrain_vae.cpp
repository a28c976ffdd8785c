#include "finetune/pretrain_vae.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "data/error.hpp"
#include "data/metrics.hpp"
#include "data/train/muon.hpp"
#include "data/train/optim.hpp"
#include "data/train/state.hpp"
#include "finetune/workers.hpp"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;
using diffusion::Vae;

constexpr int64_t kEvaluationBatch = 32;

// A training under way.
struct Run {
  const PretrainVaeOptions& options;
  const ImageSource& source;
  Vae vae;
  train::TrainState state;
  int64_t step = 0;
  double earlier_minutes = 0;  // of the sittings before this one
  Clock::time_point start = Clock::now();
};

double minutes(const Run& run) {
  return run.earlier_minutes + std::chrono::duration<double>(Clock::now() - run.start).count() / 60;
}

// How much of the training is done, 0 to 1.
double progress(const Run& run) {
  if (run.options.max_train_minutes > 0) return minutes(run) / run.options.max_train_minutes;
  return static_cast<double>(run.step) / static_cast<double>(run.options.max_train_steps);
}

// Warm-up, stable, decay.
double learning_rate(const PretrainVaeOptions& options, int64_t step, double done) {
  const double warm = std::min(
      1.0, static_cast<double>(step + 1) / static_cast<double>(options.lr_warmup_steps + 1));
  const double fall =
      done <= options.lr_decay_from ? 1.0 : (1.0 - done) / (1.0 - options.lr_decay_from);
  return options.learning_rate * warm * std::max(0.0, fall);
}

// images: [N, 3, R, R] -> `per_image` random squares of each, [N per_image, 3, size, size]
at::Tensor random_crops(const at::Tensor& images,
                        int64_t size,
                        int64_t per_image,
                        at::Generator& generator) {
  const int64_t range = images.size(3) - size + 1;
  const at::Tensor corners =
      at::randint(range, {images.size(0) * per_image, 2}, generator, at::kLong);
  const auto corner = corners.accessor<int64_t, 2>();
  std::vector<at::Tensor> crops;
  for (int64_t i = 0; i < corners.size(0); ++i) {
    crops.push_back(
        images[i / per_image].narrow(1, corner[i][0], size).narrow(2, corner[i][1], size));
  }
  return at::stack(crops);
}

at::Tensor draw_batch(Run& run, double done) {
  const auto& options = run.options;
  const at::Tensor images = run.source.draw(options.train_batch_size, run.state.generator);
  if (done >= options.crop_until || options.crop_size >= images.size(3)) return images;
  const int64_t across = images.size(3) / options.crop_size;
  return random_crops(images, options.crop_size, across * across, run.state.generator);
}

struct StepFigures {
  double loss = 0, mse = 0, kl = 0, grad_norm = 0, learning_rate = 0;
  int64_t pixels = 0;  // of the batch
};

// One worker's part of a batch: its losses, and its gradients in leaves of its own over the same
// weights.
struct Share {
  Vae replica;
  train::Params params;
  at::Tensor images, noise;
  StepFigures figures;
};

Share make_share(const Run& run, const at::Tensor& images, const at::Tensor& noise) {
  Share share{.replica = run.vae, .params = {}, .images = images, .noise = noise, .figures = {}};
  for_each_tensor(share.replica, "", [&](const std::string& name, at::Tensor& tensor) {
    tensor = tensor.detach().requires_grad_(true);
    share.params.push_back({name, tensor});
  });
  return share;
}

void work(Share& share, const PretrainVaeOptions& options, double weight) {
  const VaeLosses losses = vae_losses(share.replica, share.images, share.noise, options);
  (losses.total * weight).backward();
  share.figures = {.loss = weight * losses.total.item<double>(),
                   .mse = weight * losses.mse.item<double>(),
                   .kl = weight * losses.kl.item<double>()};
}

// The batch's mean losses and their gradients, summed over the workers in a fixed order.
StepFigures losses_and_gradients(const Run& run,
                                 const at::Tensor& images,
                                 const at::Tensor& noise) {
  const int64_t count = std::min(run.options.num_workers, images.size(0));
  const auto image_parts = images.tensor_split(count), noise_parts = noise.tensor_split(count);
  std::vector<Share> shares;
  for (size_t i = 0; i < image_parts.size(); ++i)
    shares.push_back(make_share(run, image_parts[i], noise_parts[i]));
  in_parallel(count, [&](int64_t worker) {
    at::init_num_threads();  // of this thread's own operations, as set by pretrain_vae
    Share& share = shares[static_cast<size_t>(worker)];
    work(share, run.options,
         static_cast<double>(share.images.size(0)) / static_cast<double>(images.size(0)));
  });
  StepFigures sum;
  for (const Share& share : shares) {
    sum.loss += share.figures.loss;
    sum.mse += share.figures.mse;
    sum.kl += share.figures.kl;
    for (size_t i = 0; i < run.state.params.size(); ++i) {
      at::Tensor& grad = run.state.params[i].value.mutable_grad();
      const at::Tensor& part = share.params[i].value.grad();
      grad = grad.defined() ? grad + part : part;
    }
  }
  return sum;
}

void optimizer_step(Run& run, double lr) {
  const auto& options = run.options;
  const train::AdamWOptions adamw{.weight_decay = options.weight_decay};
  if (options.optimizer == "muon") {
    train::muon_step(run.state.params, run.state.adamw,
                     {.weight_decay = options.weight_decay, .adamw = adamw}, lr);
  } else {
    train::adamw_step(run.state.params, run.state.adamw, adamw, lr);
  }
  train::update_ema(run.state.ema, run.state.params);
}

StepFigures train_step(Run& run) {
  const auto& options = run.options;
  const double done = progress(run);
  const at::Tensor images = draw_batch(run, done);
  const int64_t factor = diffusion::vae_factor(options.model);
  const at::Tensor noise = at::randn({images.size(0), options.model.latent_channels,
                                      images.size(2) / factor, images.size(3) / factor},
                                     run.state.generator, at::kFloat);
  train::zero_grad(run.state.params);
  StepFigures figures = losses_and_gradients(run, images, noise);
  figures.pixels = images.size(0) * images.size(2) * images.size(3);
  figures.grad_norm = train::clip_grad_norm(run.state.params, options.max_grad_norm);
  figures.learning_rate = learning_rate(options, run.step, done);
  // A step without a finite gradient is skipped: one bad batch must not end the work.
  if (std::isfinite(figures.grad_norm)) optimizer_step(run, figures.learning_rate);
  ++run.step;
  return figures;
}

std::filesystem::path state_path(const PretrainVaeOptions& options) {
  return options.output_dir / "state.safetensors";
}
std::filesystem::path metrics_path(const PretrainVaeOptions& options) {
  return options.output_dir / "metrics.jsonl";
}

void save(Run& run) {
  run.state.notes = {{"step", std::to_string(run.step)}, {"minutes", std::to_string(minutes(run))}};
  train::save_state(state_path(run.options), run.state);
}

void resume(Run& run) {
  const auto& options = run.options;
  const bool latest = options.resume_from_checkpoint == "latest";
  const std::filesystem::path path =
      latest ? state_path(options) : std::filesystem::path(options.resume_from_checkpoint);
  if (latest && !std::filesystem::exists(path)) return;  // nothing yet: the first sitting
  train::load_state(path, run.state);
  run.step = std::stoll(run.state.notes.at("step"));
  run.earlier_minutes = std::stod(run.state.notes.at("minutes"));
  data::truncate_metrics(metrics_path(options), run.step);
}

Run start(const PretrainVaeOptions& options, const ImageSource& source) {
  if (options.resume_from_checkpoint.empty() && std::filesystem::exists(state_path(options))) {
    throw data::BadInput(
        options.output_dir.string() + ": output_dir: expected a folder without a training state, " +
        "found one; continue it with --resume_from_checkpoint latest or name another folder");
  }
  Run run{.options = options, .source = source, .vae = {}, .state = {}};
  run.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed));
  run.vae = diffusion::make_vae(options.model, run.state.generator);
  run.state.params = train::parameters_of(run.vae, "");
  run.state.adamw = train::make_adamw(run.state.params);
  run.state.ema = train::make_ema(run.state.params, options.ema_decay);
  if (!options.resume_from_checkpoint.empty()) resume(run);
  return run;
}

// The moving average as a model of its own, and how well it does on the held-out images, on which
// its scale is measured.
struct Averaged {
  Vae vae;
  Reconstruction reconstruction;
};
Averaged averaged(Run& run) {
  train::swap_ema(run.state.ema, run.state.params);
  Averaged result{.vae = run.vae, .reconstruction = {}};
  for_each_tensor(result.vae, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  train::swap_ema(run.state.ema, run.state.params);
  result.reconstruction = reconstruct(result.vae, run.source.held_out);
  result.vae.config.scaling_factor = 1.0 / std::max(1e-6, result.reconstruction.latent_std);
  result.vae.config.sample_size = run.source.held_out.size(3);
  return result;
}

double validate(Run& run) {
  const Averaged now = averaged(run);
  diffusion::save_vae(run.options.output_dir / "snapshot", now.vae, at::kHalf);
  data::append_metrics(metrics_path(run.options),
                       {.step = run.step,
                        .time = data::now(),
                        .evaluation = true,
                        .values = {{"minutes", minutes(run)},
                                   {"psnr", now.reconstruction.psnr},
                                   {"pooled_psnr", now.reconstruction.pooled_psnr},
                                   {"latent_std", now.reconstruction.latent_std}}});
  return now.reconstruction.psnr;
}

std::string log(const Run& run, const StepFigures& now, double images_per_second) {
  data::append_metrics(metrics_path(run.options),
                       {.step = run.step,
                        .time = data::now(),
                        .values = {{"minutes", minutes(run)},
                                   {"loss", now.loss},
                                   {"mse", now.mse},
                                   {"kl_nats", now.kl},
                                   {"grad_norm", now.grad_norm},
                                   {"learning_rate", now.learning_rate},
                                   {"images_per_second", images_per_second}}});
  char text[200];
  std::snprintf(text, sizeof text,
                "step %6lld  %5.1f min  %3.0f %%  mse %.5f  kl %.1f nats  lr %.2e  %.1f images/s",
                static_cast<long long>(run.step), minutes(run), 100 * std::min(1.0, progress(run)),
                now.mse, now.kl, now.learning_rate, images_per_second);
  return text;
}

std::string psnr_text(double psnr) {
  char text[40];
  std::snprintf(text, sizeof text, "  psnr %.2f dB", psnr);
  return text;
}

}  // namespace

VaeLosses vae_losses(const Vae& vae,
                     const at::Tensor& images,
                     const at::Tensor& noise,
                     const PretrainVaeOptions& options) {
  const at::Tensor x = images * 2 - 1;
  const diffusion::Moments moments = diffusion::vae_encode(vae, x);
  const at::Tensor latents = moments.mean + (0.5 * moments.logvar).exp() * noise;
  const at::Tensor difference = diffusion::vae_decode(vae, latents) - x;
  VaeLosses losses;
  losses.mse = difference.square().mean();
  // KL of the diagonal Gaussian from the standard one: Kingma and Welling, "Auto-encoding
  // variational Bayes" (2014), appendix B.
  const at::Tensor kl = 0.5 * (moments.mean.square() + moments.logvar.exp() - 1 - moments.logvar);
  losses.kl = kl.sum() / images.size(0);
  losses.total =
      losses.mse + options.kl_weight / static_cast<double>(images[0].numel()) * losses.kl;
  if (options.l1_weight > 0)
    losses.total = losses.total + options.l1_weight * difference.abs().mean();
  return losses;
}

Reconstruction reconstruct(const Vae& vae, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> outputs, latents;
  for (const at::Tensor& batch : images.split(kEvaluationBatch)) {
    const at::Tensor mean = diffusion::vae_encode(vae, batch * 2 - 1).mean;
    latents.push_back(mean);
    outputs.push_back((diffusion::vae_decode(vae, mean) / 2 + 0.5).clamp(0, 1));
  }
  Reconstruction result;
  result.images = at::cat(outputs);
  const at::Tensor mse =
      (result.images - images).square().flatten(1).mean(1).clamp_min(1e-10);  // [N]
  result.psnr = (-10 * mse.log10()).mean().item<double>();
  result.pooled_psnr = -10 * std::log10(mse.mean().item<double>());
  result.latent_std = at::cat(latents).std().item<double>();
  return result;
}

PretrainVaeResult pretrain_vae(const PretrainVaeOptions& options,
                               const ImageSource& source,
                               const std::function<void(const std::string&)>& print) {
  if (options.num_workers > 1) at::set_num_threads(1);  // the workers are the threads
  Run run = start(options, source);
  int64_t pixels = 0;
  auto since = Clock::now();
  while (progress(run) < 1.0) {
    const StepFigures now = train_step(run);
    pixels += now.pixels;
    const bool validates = run.step % options.validation_steps == 0;
    const double psnr = validates ? validate(run) : 0;
    if (run.step % options.checkpointing_steps == 0) save(run);
    if (run.step % options.logging_steps != 0) continue;
    const double seconds = std::chrono::duration<double>(Clock::now() - since).count();
    const double images =
        static_cast<double>(pixels) / static_cast<double>(source.held_out[0][0].numel());
    print(log(run, now, images / seconds) + (validates ? psnr_text(psnr) : ""));
    pixels = 0;
    since = Clock::now();
  }
  save(run);
  const Averaged last = averaged(run);
  diffusion::save_vae(options.output_dir / "vae", last.vae, at::kHalf);
  return {last.vae, run.step, minutes(run), last.reconstruction.psnr};
}

}  // namespace finetune
