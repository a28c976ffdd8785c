#include "finetune/edit/edit.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/format.hpp"
#include "data/train/metrics.hpp"
#include "diffusion/lora/adapters.hpp"
#include "finetune/edit/evaluate.hpp"
#include "finetune/run/trained_parameters.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostLost = 3;
constexpr int64_t kKeepGoodEvery = 20;  // steps: a copy of all that is trained
constexpr int64_t kReportEvery = 50;    // steps between lines of metrics

// Means over the steps since the last line of metrics.
struct Window {
  double loss = 0, grad_norm = 0, lr = 0;
  int64_t steps = 0;
  double since = data::now();
};

struct Run {
  const EditData& data;
  const EditConfig& config;
  TrainingRun session;
  EditExam exam;
  Window window{};
  int64_t lost = 0;  // steps, since the parameters were last kept
};

void report(Run& run) {
  Window& window = run.window;
  const auto steps = static_cast<double>(window.steps);
  const double seconds = (data::now() - window.since) / steps;
  log_metrics(run.session,
              {{"loss", window.loss / steps},
               {"grad_norm", window.grad_norm / steps},
               {"lr", window.lr},
               {"seconds/step", seconds}},
              false);
  run.session.reporter.say(data::formatted("step %.0f: loss %.5f, %.3f s a step",
                                           static_cast<double>(run.session.optimizer.step),
                                           window.loss / steps, seconds));
  window = {};
}

void lose_step(Run& run) {
  TrainingRun& session = run.session;
  restore_snapshot(session, faulty_value(session.optimizer.state.params).value_or("the loss"));
  train::zero_grad(session.optimizer.state.params);
  if (++run.lost < kMostLost) return;
  throw std::runtime_error("finetune edit: the loss was not finite in " +
                           std::to_string(kMostLost) + " of " + std::to_string(kKeepGoodEvery) +
                           " steps; lower the learning rate");
}

// Backward pass of a drawn batch. Returns the loss.
double accumulate(const Run& run, at::Generator& generator) {
  const Task& task = run.session.task;
  const EditDraw draw =
      draw_edits(run.data.train, run.config, task.scheduler.num_train_timesteps, generator);
  const EditBatch batch = edit_batch(run.data.train, draw, run.data.texts, task.device);
  const at::Tensor loss = edit_errors(run.session.unet, run.exam.schedule, batch).mean();
  loss.backward();
  return loss.item<double>();
}

void train_step(Run& run) {
  TrainingRun& session = run.session;
  const double loss = accumulate(run, session.optimizer.state.generator);
  ++session.progress.epoch;
  if (!std::isfinite(loss)) return lose_step(run);
  if (!session.good || session.optimizer.step % kKeepGoodEvery == 0) {
    save_snapshot(session);
    run.lost = 0;
  }
  const StepResult step = take_step(session.optimizer);
  if (!step.fault.empty()) {
    session.reporter.say(
        data::formatted("step %.0f: ", static_cast<double>(session.progress.epoch)) + step.fault +
        " is not finite: step skipped");
    ++session.result.skipped_steps;
    return;
  }
  run.window.loss += loss;
  run.window.grad_norm += step.grad_norm;
  run.window.lr = step.learning_rate;
  ++run.window.steps;
  session.reporter.progress("steps", session.progress.epoch, run.config.max_train_steps);
  if (session.progress.epoch % kReportEvery == 0 ||
      session.progress.epoch == run.config.max_train_steps)
    report(run);
}

// Sources and true edits beside the evaluations, for the gallery.
void write_examples(const Run& run) {
  const TrainingRun& session = run.session;
  Evaluation shown;
  shown.rewards = at::full({static_cast<int64_t>(session.eval_set.items.size()),
                            static_cast<int64_t>(session.task.watched.size())},
                           std::nan(""), at::kDouble);
  std::vector<int64_t> rows;
  for (const auto& item : session.eval_set.items) rows.push_back(item.prompt_id);
  const at::Tensor wanted = at::tensor(rows, at::kLong);
  for (const auto& [name, images] :
       {std::pair{"source", run.data.sources}, {"target", run.data.edited}}) {
    shown.images = images.index_select(0, wanted);
    write_samples(session.options.folder / "samples" / name, session.task, session.eval_set, shown,
                  {.model = name, .sampler = "none"});
  }
}

Run make_run(const Task& task,
             const EditData& data,
             const EditConfig& config,
             const RunOptions& options,
             const Reporter& reporter) {
  Run run{.data = data,
          .config = config,
          .session = make_training_run(task, config, options, reporter, config.max_train_steps),
          .exam = make_edit_exam(task, data, config)};
  TrainingRun& session = run.session;
  session.unet = task.unet;
  session.optimizer =
      make_optimizer(config, edit_parameters(session.unet, config), config.max_train_steps);
  session.progress.watch.best = {-1e300, -1e300};  // the first evaluation is the first best
  session.command = "laurel finetune edit";
  session.memory_options = data::formatted("--train_batch_size (now %.0f)",
                                           static_cast<double>(config.train_batch_size));
  session.words = {fs::path(task.model).filename().string(), "DDIM", config.eval_steps,
                   config.guidance_scale};
  session.base_caption = session.words;
  return run;
}

Task with_examples(Task task, const EditData& data, const EditConfig& config) {
  const auto first = [&](const EncodedEdits& set) {
    const auto count = std::min(config.eval_prompts, set.size());
    return std::vector<std::string>(set.instructions.begin(), set.instructions.begin() + count);
  };
  task.seen = first(data.train);
  task.unseen = first(data.held_out);
  task.rewards.clear();
  task.watched.push_back({.info = {.name = "denoising"}, .score = {}});  // the evaluation's own
  return task;
}

}  // namespace

train::Params edit_parameters(diffusion::Network& unet, const EditConfig& config) {
  train::Params params = trained_parameters(unet, config);
  if (config.train_full) return params;
  const auto add = [&](const std::string& name, at::Tensor& tensor) {
    tensor = tensor.detach().clone().requires_grad_(true);
    params.push_back({name, tensor});
  };
  diffusion::UNet& layers = diffusion::unet_of(unet);
  nn::for_each_tensor(layers.conv_in, "conv_in", add);
  const auto each = [&](const std::string& name, auto& layer) {
    nn::for_each_tensor(layer, name, add);
  };
  visit_layers(layers.reward, "", {each, each, each});
  return params;
}

RunResult run_edit(Task given,
                   const EditData& data,
                   const EditConfig& config,
                   const RunOptions& options,
                   const Reporter& reporter) {
  TORCH_CHECK(diffusion::traits(given.unet).edits_images, "run_edit: the UNet reads no image");
  const Task task = with_examples(std::move(given), data, config);
  Run run = make_run(task, data, config, options, reporter);
  TrainingRun& session = run.session;
  session.draw_now = [&] {
    return evaluate_edits(task, run.exam, session.eval_set, session.unet, config);
  };
  session.draw_base = [&] {
    write_examples(run);
    return evaluate_edits(task, run.exam, session.eval_set, task.unet, config);
  };
  if (task.save_pipeline) {
    session.export_full = [&](const fs::path& folder) {
      diffusion::Network whole = session.unet;
      if (!config.train_full) diffusion::fuse_lora(whole);
      task.save_pipeline(folder / "model", whole, task.scheduler);
    };
  }
  return run_training(session, config.max_train_steps, [&] { train_step(run); });
}

}  // namespace finetune
