#include "finetune/edit/edit.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/format.hpp"
#include "diffusion/lora/adapters.hpp"
#include "finetune/edit/evaluate.hpp"
#include "finetune/run/step_loop.hpp"
#include "finetune/run/trained_parameters.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

struct Run {
  const EditData& data;
  const EditConfig& config;
  TrainingRun session;
  EditExam exam;
};

// Backward pass of a drawn batch.
BatchResult accumulate(Run& run) {
  const Task& task = run.session.task;
  const EditDraw draw = draw_edits(run.data.train, run.config, task.scheduler.num_train_timesteps,
                                   run.session.optimizer.state.generator);
  const EditBatch batch = edit_batch(run.data.train, draw, run.data.texts, task.device);
  const at::Tensor errors = edit_errors(run.session.unet, run.exam.schedule, batch).mean();
  errors.backward();
  const double loss = errors.item<double>();
  return {.figures = {{"loss", loss}}, .fault = std::isfinite(loss) ? "" : "the loss"};
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
  return run_steps(session, {.max_train_steps = config.max_train_steps,
                             .accumulate = [&] { return accumulate(run); }});
}

}  // namespace finetune
