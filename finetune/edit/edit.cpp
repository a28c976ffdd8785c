#include "finetune/edit/edit.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/format.hpp"
#include "diffusion/lora/adapters.hpp"
#include "finetune/edit/evaluate.hpp"
#include "finetune/run/step_loop.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Backward pass of a drawn batch.
BatchResult accumulate(TrainingRun& run,
                       const EditData& data,
                       const EditConfig& config,
                       const diffusion::NoiseSchedule& schedule) {
  const EditDraw draw =
      draw_edits(data.train, config, run.task.pipeline->scheduler.num_train_timesteps,
                 run.optimizer.state.generator);
  const EditBatch batch = edit_batch(data.train, draw, data.texts, run.task.device);
  const at::Tensor errors = edit_errors(run.unet, schedule, batch).mean();
  errors.backward();
  const double loss = errors.item<double>();
  return {.figures = {{"loss", loss}}, .fault = std::isfinite(loss) ? "" : "the loss"};
}

// Sources and true edits beside the evaluations, for the gallery.
void write_examples(const TrainingRun& run, const EditData& data) {
  Evaluation shown;
  shown.names = edit_score_names(run.task);
  shown.rewards = at::full(
      {static_cast<int64_t>(run.eval_set.items.size()), static_cast<int64_t>(shown.names.size())},
      std::nan(""), at::kDouble);
  std::vector<int64_t> rows;
  for (const auto& item : run.eval_set.items) rows.push_back(item.prompt_id);
  const at::Tensor wanted = at::tensor(rows, at::kLong);
  for (const auto& [name, images] : {std::pair{"source", data.sources}, {"target", data.edited}}) {
    shown.images = images.index_select(0, wanted);
    write_samples(run.options.folder / "samples" / name, run.eval_set, shown,
                  {.model = name, .sampler = "none"});
  }
}

void export_fused(const TrainingRun& run, const fs::path& folder) {
  diffusion::Network whole = run.unet;
  if (!run.config.train_full) diffusion::fuse_lora(whole);
  save_pipeline(run.task, folder / "model", whole, run.task.pipeline->scheduler);
}

// `data`, `config` and `exam` must outlive the run.
RunHooks hooks_of(const TrainingTask& task,
                  const EditData& data,
                  const EditConfig& config,
                  const EditExam& exam) {
  const SampleCaption caption{fs::path(task.model).filename().string(), "DDIM", config.eval_steps,
                              config.guidance_scale};
  RunHooks hooks{
      .command = "laurel finetune edit",
      .memory_options = data::formatted("--train_batch_size (now %.0f)",
                                        static_cast<double>(config.train_batch_size)),
      .parameters = [&](diffusion::Network& unet) { return edit_parameters(unet, config); },
      .draw_base =
          [&](const TrainingRun& run) {
            write_examples(run, data);
            return evaluate_edits(run.task, exam, run.eval_set, run.task.unet, config);
          },
      .draw_now =
          [&](const TrainingRun& run) {
            return evaluate_edits(run.task, exam, run.eval_set, run.unet, config);
          },
      .base_caption = caption,
      .caption = caption,
      .export_full = export_fused};
  return hooks;
}

TrainingTask with_examples(TrainingTask task, const EditData& data, const EditConfig& config) {
  const auto first = [&](const EncodedEdits& set) {
    const auto count = std::min(config.eval_prompts, set.size());
    return std::vector<TrainingPrompt>(set.instructions.begin(), set.instructions.begin() + count);
  };
  task.seen = first(data.train);
  task.unseen = first(data.held_out);
  task.rewards.clear();
  task.guard_rewards = edit_score_names(task);
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

RunResult run_edit(TrainingTask given,
                   const EditData& data,
                   const EditConfig& config,
                   const RunOptions& options,
                   const Reporter& reporter) {
  TORCH_CHECK(diffusion::traits(given.unet).edits_images, "run_edit: the UNet reads no image");
  const TrainingTask task = with_examples(std::move(given), data, config);
  const EditExam exam = make_edit_exam(task, data, config);
  TrainingRun run = make_training_run(task, config, options, reporter,
                                      hooks_of(task, data, config, exam), config.max_train_steps);
  return run_steps(run,
                   {.max_train_steps = config.max_train_steps,
                    .batch = config.train_batch_size,
                    .accumulate = [&] { return accumulate(run, data, config, exam.schedule); }});
}

}  // namespace finetune
