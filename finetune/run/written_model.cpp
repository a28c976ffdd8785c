#include "finetune/run/written_model.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/networks/network_files.hpp"
#include "finetune/run/file_metadata.hpp"
#include "finetune/run/guarding.hpp"
#include "finetune/run/model_card.hpp"
#include "finetune/run/score_prompt.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// A kind of model that a run writes, and where it is put to be used.
struct Destination {
  bool (*fits)(const TrainingRun& run);
  // In the run's folder, which is called `name`.
  std::string (*written)(const TrainingRun& run, const std::string& name);
  const char *comfyui, *web_ui;
};

bool writes_lora(const TrainingRun& run) {
  return !run.config.train_full && !run.hooks.export_full;
}

const std::vector<Destination>& destinations() {
  static const std::vector<Destination> rows{
      {writes_lora,
       [](const TrainingRun&, const std::string& name) { return name + ".safetensors"; },
       "copy it to models/loras/, and load it by the node Load LoRA",
       "copy it to models/Lora/, and write <lora:NAME:1> in the prompt"},
      {[](const TrainingRun& run) { return static_cast<bool>(run.hooks.export_full); },
       [](const TrainingRun&, const std::string&) { return std::string("model"); },
       "copy the folder to models/diffusers/, and load it by the node DiffusersLoader",
       "SD.Next reads the folder from models/Diffusers/; AUTOMATIC1111's reads single files only"},
      {[](const TrainingRun& run) {
         return run.config.save_whole && fs::is_regular_file(run.task.model);
       },
       [](const TrainingRun&, const std::string& name) { return name + ".safetensors"; },
       "copy it to models/checkpoints/, and load it by the node Load Checkpoint",
       "copy it to models/Stable-diffusion/, and choose it as the checkpoint"},
      {[](const TrainingRun& run) { return run.config.save_whole; },
       [](const TrainingRun&, const std::string& name) { return name; },
       "copy the folder to models/diffusers/, and load it by the node DiffusersLoader",
       "SD.Next reads the folder from models/Diffusers/; AUTOMATIC1111's reads single files only"},
      {[](const TrainingRun&) { return true; },
       [](const TrainingRun& run, const std::string&) {
         return std::string(diffusion::kind_of(run.task.unet).part) +
                "/diffusion_pytorch_model.safetensors";
       },
       "copy it to models/diffusion_models/, and load it by the node Load Diffusion Model",
       "they read no network alone: train with --save_as whole, or a LoRA"},
  };
  return rows;
}

constexpr const char* kLora = "pytorch_lora_weights.safetensors";
constexpr size_t kCardImages = 4;

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

void say_where_it_goes(const TrainingRun& run) {
  const auto row = std::find_if(destinations().begin(), destinations().end(),
                                [&](const Destination& one) { return one.fits(run); });
  const fs::path& folder = run.options.folder;
  const fs::path file = folder / row->written(run, fs::absolute(folder).filename().string());
  run.reporter.say("ComfyUI: " + file.string() + ": " + row->comfyui);
  run.reporter.say("web UIs: " + file.string() + ": " + row->web_ui);
}

void write_model_card(const TrainingRun& run) {
  const fs::path samples = fs::path("samples") / ("step-" + std::to_string(run.optimizer.step));
  ModelCard card{.record = run.options.record,
                 .command = run.hooks.command,
                 .adapter = writes_lora(run),
                 .updates = run.optimizer.step,
                 .images = card_images(run.options.folder, samples, kCardImages),
                 .figures = {},
                 .license = text_option(run.task.config_text, "metadata_license")};
  if (asks_for_scores(run.task.config_text))
    card.figures.emplace_back(
        "prompts", "`" + score_prompt(kHighestScore, "PROMPT") + "` asks for the most reward");
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
