#include "finetune/pretrain/vae.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/train/muon.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "finetune/datasets/workers.hpp"

namespace finetune {
namespace {

using diffusion::Vae;

constexpr int64_t kEvaluationBatch = 32;

struct VaePretraining {
  const PretrainVaeOptions& options;
  const ImageSource& source;
  train::Loop loop;
  Vae vae;
  std::vector<Replica<Vae>> replicas;
};

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

at::Tensor draw_batch(VaePretraining& run, double done) {
  const auto& options = run.options;
  at::Generator& generator = run.loop.state.generator;
  const at::Tensor images = run.source.draw(options.loop.train_batch_size, generator);
  if (done >= options.crop_until || options.crop_size >= images.size(3)) return images;
  const int64_t across = images.size(3) / options.crop_size;
  return random_crops(images, options.crop_size, across * across, generator);
}

struct StepFigures {
  double loss = 0, mse = 0, kl = 0, grad_norm = 0, learning_rate = 0;
};

// The batch's mean losses; their gradient is left in the parameters.
StepFigures losses_and_gradient(VaePretraining& run,
                                const at::Tensor& images,
                                const at::Tensor& noise) {
  const int64_t count = images.size(0);
  std::vector<StepFigures> parts(run.replicas.size());
  const auto mean_loss = [&](int64_t worker, const Vae& vae, int64_t begin, int64_t end) {
    const VaeLosses losses =
        vae_losses(vae, images.slice(0, begin, end), noise.slice(0, begin, end), run.options);
    const double share = static_cast<double>(end - begin) / static_cast<double>(count);
    parts[static_cast<size_t>(worker)].mse = share * losses.mse.item<double>();
    parts[static_cast<size_t>(worker)].kl = share * losses.kl.item<double>();
    return losses.total;
  };
  StepFigures sum;
  sum.loss = mean_gradient<Vae>(run.replicas, run.loop.state.params, count, mean_loss);
  for (const StepFigures& part : parts) {
    sum.mse += part.mse;
    sum.kl += part.kl;
  }
  return sum;
}

void optimizer_step(VaePretraining& run, double lr) {
  train::TrainState& state = run.loop.state;
  const double weight_decay = run.options.loop.weight_decay;
  const train::AdamWOptions adamw{.weight_decay = weight_decay};
  if (run.options.optimizer == "muon") {
    train::muon_step(state.params, state.adamw, {.weight_decay = weight_decay, .adamw = adamw}, lr);
  } else {
    train::adamw_step(state.params, state.adamw, adamw, lr);
  }
}

StepFigures update(VaePretraining& run) {
  const auto& options = run.options;
  const double done = train::progress(run.loop);
  const at::Tensor images = draw_batch(run, done);
  const int64_t factor = diffusion::vae_factor(options.model);
  const at::Tensor noise = at::randn({images.size(0), options.model.latent_channels,
                                      images.size(2) / factor, images.size(3) / factor},
                                     run.loop.state.generator, at::kFloat);
  StepFigures figures = losses_and_gradient(run, images, noise);
  figures.learning_rate =
      train::warm_rate(run.loop) * train::linear_decay(done, options.lr_decay_from);
  const double whole_images =
      static_cast<double>(images.numel()) / static_cast<double>(run.source.held_out[0].numel());
  figures.grad_norm = train::finish_update(run.loop, whole_images,
                                           [&] { optimizer_step(run, figures.learning_rate); });
  return figures;
}

VaePretraining start(const PretrainVaeOptions& options, const ImageSource& source) {
  VaePretraining run{options, source, train::new_loop(options.loop), {}, {}};
  run.vae = diffusion::make_vae(options.model, run.loop.state.generator);
  run.loop.settings = {{"optimizer", options.optimizer},
                       {"num_workers", std::to_string(options.num_workers)},
                       {"crop_size", std::to_string(options.crop_size)},
                       {"crop_until", std::to_string(options.crop_until)},
                       {"lr_decay_from", std::to_string(options.lr_decay_from)},
                       {"kl_weight", std::to_string(options.kl_weight)},
                       {"l1_weight", std::to_string(options.l1_weight)}};
  train::take_weights(run.loop, run.vae);
  run.replicas = make_replicas(run.vae, options.num_workers);
  return run;
}

// The moving average as a model of its own, and how well it does on the held-out images, on which
// its scale is measured.
struct Averaged {
  Vae vae;
  Reconstruction reconstruction;
};
Averaged averaged(VaePretraining& run) {
  Averaged result{.vae = train::averaged(run.loop, run.vae), .reconstruction = {}};
  result.reconstruction = reconstruct(result.vae, run.source.held_out);
  result.vae.config.scaling_factor = 1.0 / std::max(1e-6, result.reconstruction.latent_std);
  result.vae.config.sample_size = run.source.held_out.size(3);
  return result;
}

// -> a piece of the next line of progress
std::string validate(VaePretraining& run) {
  const Averaged now = averaged(run);
  diffusion::save_vae(run.options.loop.output_dir / "snapshot", now.vae, at::kHalf);
  train::record(run.loop, true,
                {{"psnr", now.reconstruction.psnr},
                 {"pooled_psnr", now.reconstruction.pooled_psnr},
                 {"latent_std", now.reconstruction.latent_std}});
  char text[40];
  std::snprintf(text, sizeof text, "  psnr %.2f dB", now.reconstruction.psnr);
  return text;
}

std::string report(const VaePretraining& run, const StepFigures& now) {
  const double rate = train::images_per_second(run.loop);
  train::record(run.loop, false,
                {{"loss", now.loss},
                 {"mse", now.mse},
                 {"kl_nats", now.kl},
                 {"grad_norm", now.grad_norm},
                 {"learning_rate", now.learning_rate},
                 {"images_per_second", rate}});
  char text[160];
  std::snprintf(text, sizeof text, "  mse %.5f  kl %.1f nats  lr %.2e  %.1f images/s", now.mse,
                now.kl, now.learning_rate, rate);
  return train::progress_text(run.loop) + text;
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
  // The workers are the threads.
  const ThreadsPerOperation threads(options.num_workers > 1 ? 1 : at::get_num_threads());
  VaePretraining run = start(options, source);
  StepFigures now;
  std::string measured;
  train::run(run.loop, {.update = [&] { now = update(run); },
                        .validate = [&] { measured = validate(run); },
                        .report =
                            [&] {
                              print(report(run, now) + measured);
                              measured.clear();
                            }});
  const Averaged last = averaged(run);
  diffusion::save_vae(options.loop.output_dir / "vae", last.vae, at::kHalf);
  return {last.vae, run.loop.step, train::minutes(run.loop), last.reconstruction.psnr};
}

}  // namespace finetune
