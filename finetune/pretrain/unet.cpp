#include "finetune/pretrain/unet.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <cstdio>

#include "data/images/contact_sheet.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "finetune/datasets/timesteps.hpp"
#include "finetune/datasets/workers.hpp"

namespace finetune {
namespace {

using diffusion::UNet;

constexpr int64_t kHeldOutSeed = 7;

struct UNetPretraining {
  const PretrainUNetOptions& options;
  const diffusion::Pipeline& pipeline;
  const LatentSet& train;
  const LatentSet& held_out;
  const std::vector<ExamSet>& exams;
  train::Loop loop;
  diffusion::NoiseSchedule schedule;
  UNet unet;
  std::vector<Replica<UNet>> replicas;
};

UNetBatch draw_batch(const LatentSet& set,
                     const PretrainUNetOptions& options,
                     const diffusion::NoiseSchedule& schedule,
                     at::Generator& generator) {
  const int64_t count = options.loop.train_batch_size;
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

// Means over the updates since the last line of progress.
struct Window {
  double loss = 0, grad_norm = 0, lr = 0;
  int64_t steps = 0;
};

void update(UNetPretraining& run, Window& window) {
  const auto& options = run.options;
  train::Loop& loop = run.loop;
  const double lr =
      train::warm_rate(loop) * train::linear_decay(train::progress(loop), options.lr_decay_from);
  const UNetBatch batch = draw_batch(run.train, options, run.schedule, loop.state.generator);
  const auto mean_loss = [&](int64_t, const UNet& unet, int64_t begin, int64_t end) {
    return unet_loss(unet, run.schedule, part_of(batch, begin, end), options.snr_gamma);
  };
  window.loss += mean_gradient<UNet>(run.replicas, loop.state.params, batch.t.size(0), mean_loss);
  window.grad_norm += train::finish_update(loop, static_cast<double>(batch.t.size(0)), [&] {
    train::adamw_step(loop.state.params, loop.state.adamw,
                      {.weight_decay = options.loop.weight_decay}, lr);
  });
  window.lr = lr;
  ++window.steps;
}

UNetPretraining start(const PretrainUNetOptions& options,
                      const diffusion::Pipeline& pipeline,
                      const LatentSet& train_set,
                      const LatentSet& held_out,
                      const std::vector<ExamSet>& exams) {
  UNetPretraining run{options, pipeline, train_set, held_out, exams, train::new_loop(options.loop),
                      {},      {},       {}};
  run.schedule = diffusion::make_schedule(pipeline.scheduler);
  run.unet = options.init_unet.empty()
                 ? diffusion::make_unet(options.model, run.loop.state.generator)
                 : diffusion::load_unet(options.init_unet);
  run.loop.settings = {{"lr_decay_from", std::to_string(options.lr_decay_from)},
                       {"snr_gamma", std::to_string(options.snr_gamma)},
                       {"num_workers", std::to_string(options.num_workers)}};
  train::take_weights(run.loop, run.unet);
  run.replicas =
      make_replicas(run.unet, std::min(options.num_workers, options.loop.train_batch_size));
  return run;
}

// On the same noise and timesteps every time, unweighted.
double held_out_loss(const UNetPretraining& run, const UNet& unet) {
  const at::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(kHeldOutSeed);
  PretrainUNetOptions options = run.options;
  options.proportion_empty_prompts = 0;
  const int64_t batches = std::max<int64_t>(1, run.held_out.size() / options.loop.train_batch_size);
  double sum = 0;
  for (int64_t i = 0; i < batches; ++i) {
    const UNetBatch batch = draw_batch(run.held_out, options, run.schedule, generator);
    sum += unet_loss(unet, run.schedule, batch, 0.0).item<double>();
  }
  return sum / static_cast<double>(batches);
}

PretrainUNetResult validate(UNetPretraining& run) {
  PretrainUNetResult result{
      train::averaged(run.loop, run.unet), run.loop.step, train::minutes(run.loop), 0, {}};
  result.held_out_loss = held_out_loss(run, result.unet);
  std::vector<std::pair<std::string, double>> figures{{"held_out_loss", result.held_out_loss}};
  diffusion::Pipeline pipeline = run.pipeline;
  pipeline.network = result.unet;
  std::vector<at::Tensor> images;
  for (const auto& set : run.exams) {
    result.exams.push_back(examine(pipeline, set, run.options.exam));
    figures.push_back({set.name + "/caption_match", result.exams.back().fraction});
    figures.push_back({set.name + "/caption_exact", result.exams.back().exact});
    images.push_back(result.exams.back().images.slice(0, 0, 64));
  }
  train::record(run.loop, true, figures);
  if (!images.empty()) {
    char name[40];
    std::snprintf(name, sizeof name, "step-%07lld.png", static_cast<long long>(run.loop.step));
    data::write_png(run.options.loop.output_dir / "samples" / name,
                    data::contact_sheet(at::cat(images), 16), {});
  }
  return result;
}

std::string exam_line(const UNetPretraining& run, const PretrainUNetResult& result) {
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

std::string report(const UNetPretraining& run, const Window& window) {
  const auto steps = static_cast<double>(window.steps);
  const double rate = train::images_per_second(run.loop);
  train::record(run.loop, false,
                {{"loss", window.loss / steps},
                 {"learning_rate", window.lr},
                 {"grad_norm", window.grad_norm / steps},
                 {"images_per_second", rate}});
  char text[160];
  std::snprintf(text, sizeof text, "  loss %.4f  gradient %.3f  lr %.2e  %.0f images/s",
                window.loss / steps, window.grad_norm / steps, window.lr, rate);
  return train::progress_text(run.loop) + text;
}

}  // namespace

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
  // The workers are the threads.
  const ThreadsPerOperation threads(options.num_workers > 1 ? 1 : at::get_num_threads());
  UNetPretraining run = start(options, pipeline, train, held_out, exams);
  Window window;
  train::run(run.loop, {.update = [&] { update(run, window); },
                        .validate = [&] { print(exam_line(run, validate(run))); },
                        .report =
                            [&] {
                              print(report(run, window));
                              window = {};
                            }});
  const PretrainUNetResult result = validate(run);
  print(exam_line(run, result));
  return result;
}

}  // namespace finetune
