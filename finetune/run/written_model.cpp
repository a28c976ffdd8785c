#include "finetune/run/written_model.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "diffusion/lora/apply.hpp"
#include "finetune/run/guarding.hpp"
#include "finetune/run/model_card.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLora = "pytorch_lora_weights.safetensors";
constexpr size_t kCardImages = 4;

bool writes_lora(const TrainingRun& run) {
  return !run.config.train_full && !run.hooks.export_full;
}

diffusion::Network with_lora(const TrainingRun& run, const fs::path& file) {
  diffusion::Network network = run.task.unet;
  diffusion::LoraTarget target = diffusion::lora_target(network);
  target.source = run.task.model;
  diffusion::apply_loras(
      target, {{.lora = std::make_shared<diffusion::LoraWeights>(diffusion::read_lora(file))}});
  return network;
}

// The evaluation's first image, drawn by `network` in the place of the one in training.
at::Tensor first_image(TrainingRun& run, diffusion::Network network) {
  EvalSet first = run.eval_set;
  first.items.resize(1);
  std::swap(run.eval_set, first);
  std::swap(run.unet, network);
  const at::Tensor image = run.hooks.draw_now(run).images[0];
  std::swap(run.eval_set, first);
  std::swap(run.unet, network);
  return image;
}

}  // namespace

void check_written_lora(TrainingRun& run) {
  if (!writes_lora(run) || !run.hooks.draw_now || run.eval_set.items.empty() ||
      run.options.ranks.count > 1 || run.optimizer.step == 0 || is_rejected(run.result))
    return;
  const fs::path file = run.options.folder / kLora;
  const double difference =
      255 * (first_image(run, with_lora(run, file)) - first_image(run, run.task.unet))
                .abs()
                .mean()
                .item<double>();
  if (difference == 0)
    throw data::BadInput(file.string() +
                         ": expected a LoRA that changes what the model draws, found one that "
                         "changes nothing; raise --learning_rate, or see metrics.jsonl for skipped "
                         "steps");
  run.reporter.say(data::formatted(
      "the written LoRA, read back, changes the first evaluation image by %.2f of 255 a value",
      difference));
}

void write_model_card(const TrainingRun& run) {
  const fs::path samples = fs::path("samples") / ("step-" + std::to_string(run.optimizer.step));
  ModelCard card{.record = run.options.record,
                 .command = run.hooks.command,
                 .adapter = writes_lora(run),
                 .updates = run.optimizer.step,
                 .images = card_images(run.options.folder, samples, kCardImages),
                 .figures = {}};
  if (run.result.trained)
    card.figures.emplace_back(
        "trained rewards", data::formatted("%+.3f standard deviations from ", *run.result.trained) +
                               run.hooks.base_name);
  if (run.result.verdict)
    card.figures.emplace_back("guard", std::string(guard::name_of(run.result.verdict->state)) +
                                           ": " + run.result.verdict->reason);
  data::write_file(run.options.folder / "README.md", card_text(card));
}

}  // namespace finetune
