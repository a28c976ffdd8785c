#include "finetune/pretrain/text_to_image.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cstdio>

#include "data/images/contact_sheet.hpp"
#include "data/images/image_io.hpp"
#include "data/train/muon.hpp"
#include "finetune/datasets/workers.hpp"

namespace finetune {
namespace {

using diffusion::Network;

constexpr int64_t kHeldOutSeed = 7;

struct Pretraining {
  const PretrainOptions& options;
  const PretrainObjective& objective;
  const diffusion::Pipeline& pipeline;
  const LatentSet& train;
  const LatentSet& held_out;
  const std::vector<ExamSet>& exams;
  train::Loop loop;
  Network network;
  std::vector<Replica<Network>> replicas;
};

// drop: the share of captions that give way to the empty one
PretrainBatch draw_batch(const Pretraining& run,
                         const LatentSet& set,
                         double drop,
                         at::Generator& generator) {
  const int64_t count = run.options.loop.train_batch_size;
  auto shape = set.mean.sizes().vec();
  shape[0] = count;
  const at::Tensor rows = at::randint(set.size(), {count}, generator, at::kLong);
  const at::Tensor drops = at::rand({count}, generator, at::kFloat) < drop;
  const LatentBatch latents =
      latent_batch(set, rows, at::randn(shape, generator, at::kFloat), drops);
  PretrainBatch batch{latents.latents, latents.hidden, latents.pooled, latents.caption, {}, {}};
  batch.t = run.objective.draw_times(count, generator);
  batch.noise = at::randn(shape, generator, at::kFloat);
  return batch;
}

PretrainBatch part_of(const PretrainBatch& batch, int64_t begin, int64_t end) {
  const auto part = [&](const at::Tensor& all) {
    return all.defined() ? all.slice(0, begin, end) : all;
  };
  return {part(batch.latents), part(batch.hidden), part(batch.pooled),
          part(batch.caption), part(batch.t),      part(batch.noise)};
}

// Means over the updates since the last line of progress.
struct Window {
  double loss = 0, grad_norm = 0, lr = 0;
  int64_t steps = 0;
};

void optimizer_step(Pretraining& run, double lr) {
  auto& state = run.loop.state;
  const double decay = run.options.loop.weight_decay;
  if (run.options.optimizer == "muon")
    train::muon_step(state.params, state.adamw,
                     {.weight_decay = decay, .adamw = {.weight_decay = decay}}, lr);
  else
    train::adamw_step(state.params, state.adamw, {.weight_decay = decay}, lr);
}

void update(Pretraining& run, Window& window) {
  const auto& options = run.options;
  train::Loop& loop = run.loop;
  const double done = train::progress(loop),
               lr = train::warm_rate(loop) * train::linear_decay(done, options.lr_decay_from);
  const PretrainBatch batch =
      draw_batch(run, run.train, options.proportion_empty_prompts, loop.state.generator);
  const auto mean_loss = [&](int64_t, const Network& network, int64_t begin, int64_t end) {
    return run.objective.loss(network, part_of(batch, begin, end), done);
  };
  const int64_t count = options.loop.train_batch_size;
  window.loss += mean_gradient<Network>(run.replicas, loop.state.params, count, mean_loss);
  window.grad_norm +=
      train::finish_update(loop, static_cast<double>(count), [&] { optimizer_step(run, lr); });
  window.lr = lr;
  ++window.steps;
}

Pretraining start(const PretrainOptions& options,
                  const PretrainObjective& objective,
                  const diffusion::Pipeline& pipeline,
                  const LatentSet& train_set,
                  const LatentSet& held_out,
                  const std::vector<ExamSet>& exams) {
  Pretraining run{
      options, objective, pipeline, train_set, held_out, exams, train::new_loop(options.loop),
      {},      {}};
  run.network = objective.make_network(run.loop.state.generator);
  run.loop.settings = objective.settings;
  run.loop.settings["lr_decay_from"] = std::to_string(options.lr_decay_from);
  run.loop.settings["num_workers"] = std::to_string(options.num_workers);
  run.loop.settings["optimizer"] = options.optimizer;
  train::take_weights(run.loop, run.network);
  run.replicas =
      make_replicas(run.network, std::min(options.num_workers, options.loop.train_batch_size));
  return run;
}

// On the same noise and times every time, unweighted.
double held_out_loss(const Pretraining& run, const Network& network) {
  const at::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(kHeldOutSeed);
  const int64_t batches =
      std::max<int64_t>(1, run.held_out.size() / run.options.loop.train_batch_size);
  double sum = 0;
  for (int64_t i = 0; i < batches; ++i) {
    const PretrainBatch batch = draw_batch(run, run.held_out, 0.0, generator);
    sum += run.objective.held_out_loss(network, batch).item<double>();
  }
  return sum / static_cast<double>(batches);
}

PretrainResult validate(Pretraining& run) {
  PretrainResult result{
      train::averaged(run.loop, run.network), run.loop.step, train::minutes(run.loop), 0, {}};
  result.held_out_loss = held_out_loss(run, result.network);
  std::vector<std::pair<std::string, double>> figures{{"held_out_loss", result.held_out_loss}};
  diffusion::Pipeline pipeline = run.pipeline;
  pipeline.network = result.network;
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

std::string exam_line(const Pretraining& run, const PretrainResult& result) {
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

std::string report(const Pretraining& run, const Window& window) {
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

PretrainResult pretrain(const PretrainOptions& options,
                        const PretrainObjective& objective,
                        const diffusion::Pipeline& pipeline,
                        const LatentSet& train,
                        const LatentSet& held_out,
                        const std::vector<ExamSet>& exams,
                        const std::function<void(const std::string&)>& print) {
  // The workers are the threads.
  const ThreadsPerOperation threads(options.num_workers > 1 ? 1 : at::get_num_threads());
  Pretraining run = start(options, objective, pipeline, train, held_out, exams);
  Window window;
  train::run(run.loop, {.update = [&] { update(run, window); },
                        .validate = [&] { print(exam_line(run, validate(run))); },
                        .report =
                            [&] {
                              print(report(run, window));
                              window = {};
                            }});
  const PretrainResult result = validate(run);
  print(exam_line(run, result));
  return result;
}

}  // namespace finetune
