#include "tools/pretrain/text_to_image.hpp"

#include <ATen/ATen.h>

#include <iostream>
#include <sstream>

#include "data/base/files.hpp"
#include "tools/pretrain/options.hpp"

namespace tools {
namespace {

namespace fs = std::filesystem;

finetune::EncodeOptions encode_options(const PretrainConfig& s, int64_t count) {
  return {.count = count, .num_workers = s.train.num_workers, .batch_size = 64};
}

std::string model_card(const PretrainConfig& s,
                       const finetune::PretrainResult& result,
                       const std::string& network,
                       const std::string& says) {
  std::ostringstream card;
  card << "# A text-to-image checkpoint of laurel" << (s.folder.empty() ? " (synthetic)" : "")
       << "\n\n"
       << "Latent diffusion in diffusers' layout, " << s.resolution << "x" << s.resolution
       << " pixels. Its " << network << " was trained by `laurel pretrain` on "
       << (s.folder.empty()
               ? "rendered scenes with generated captions; every figure from it is synthetic"
               : "the images of a folder")
       << ": seed " << s.train.loop.seed << ", " << result.steps << " updates of "
       << s.train.loop.train_batch_size << " images, " << static_cast<int64_t>(result.minutes + 0.5)
       << " minutes.\n\n| | |\n|---|---|\n| held-out loss (mean squared error of the " << says
       << ") | " << result.held_out_loss << " |\n";
  const char* names[] = {"seen", "unseen"};
  for (size_t i = 0; i < result.exams.size() && i < 2; ++i) {
    card << "| images for which every claim of the caption holds, " << names[i]
         << " combinations | " << result.exams[i].exact << " |\n| claims that hold, " << names[i]
         << " combinations | " << result.exams[i].fraction << " |\n";
  }
  card << "\nEvaluated by the world's oracle on " << s.exam_prompts
       << " captions of each kind, DDIM, " << s.train.exam.num_inference_steps
       << " steps, guidance " << s.train.exam.guidance_scale << ".\n";
  return card.str();
}

}  // namespace

void say(const std::string& line) { std::cout << line << std::endl; }

void declare_data(Options& options, PretrainConfig& s) {
  options.group("data and output");
  options.text("output_dir", s.output_dir, "folder for the checkpoint, metrics and training state");
  options.text("data", s.folder,
               "folder of captioned images; default: scenes of the built-in world");
  options.integer("resolution", s.resolution, "side of the folder's images, pixels", 8, 4096);
  options.text("vae", s.vae, "folder of the autoencoder, in diffusers' layout");
  options.text("text_encoder", s.text_encoder,
               "folder of CLIP's text tower, in Hugging Face's layout");
  options.text("tokenizer", s.tokenizer,
               "folder of its tokenizer; default: `tokenizer` beside the text encoder");
  options.integer("images", s.images, "scenes to draw before the training; of a folder, all images",
                  1, kNoLimit);
  options.integer("held_out", s.held_out, "images for the held-out loss", 1, kNoLimit);
  options.integer("seed", s.train.loop.seed, "seed of weights, images and noise", 0, kNoLimit);
}

void declare_optimisation(Options& options, PretrainConfig& s) {
  finetune::PretrainOptions& t = s.train;
  options.group("training");
  declare_schedule(options, t.loop);
  options.choice("optimizer", t.optimizer, {"adamw", "muon"},
                 "muon: for the matrices, with AdamW for the rest");
  options.integer("num_workers", t.num_workers, "threads that share a batch", 1, 1024);
  options.number("lr_decay_from", t.lr_decay_from,
                 "fraction of the training after which the learning rate falls to 0", 0, 1);
  options.number("proportion_empty_prompts", t.proportion_empty_prompts,
                 "share of captions dropped, for classifier-free guidance", 0, 1);
}

void declare_exam(Options& options, PretrainConfig& s) {
  declare_progress(options, s.train.loop);
  options.integer("exam_prompts", s.exam_prompts,
                  "captions of each split that the oracle evaluates; 0: none", 0, 100000);
  options.integer("num_inference_steps", s.train.exam.num_inference_steps,
                  "DDIM steps of their samples", 1, 1000);
  options.number("guidance_scale", s.train.exam.guidance_scale, "guidance scale of their samples",
                 0, 100);
}

void check_folders(const std::string& command, PretrainConfig& s) {
  for (const auto& [key, value] :
       {std::pair{"output_dir", s.output_dir}, {"vae", s.vae}, {"text_encoder", s.text_encoder}})
    require_folder(command, key, value);
  s.train.loop.output_dir = s.output_dir;
  train::check_output(s.train.loop);
}

PretrainData pretrain_data(const PretrainConfig& s, const diffusion::Vae& vae) {
  PretrainData data;
  const bool scenes = s.folder.empty();
  if (!scenes)
    data.images =
        open_training_images(s.folder, {.resolution = s.resolution, .require_captions = true});
  const auto encoded = [&](bool held_out) {
    const auto source =
        scenes ? world_data(held_out ? s.held_out : s.images, s.train.loop.seed, held_out)
               : folder_data(data.images, s.folder, s.held_out, held_out);
    const char* file = held_out ? "held_out.latents" : "train.latents";
    return encoded_images(vae, s.vae, source, encode_options(s, source.count),
                          s.train.loop.output_dir / file, say);
  };
  data.train = encoded(false);
  data.held_out = encoded(true);
  if (scenes && s.exam_prompts > 0) data.exams = finetune::world_exams(s.exam_prompts);
  return data;
}

finetune::LatentSet with_text(const PretrainConfig& s,
                              const finetune::EncodedImages& images,
                              const diffusion::Pipeline& parts) {
  return finetune::encode_text(images, parts, encode_options(s, images.mean.size(0)));
}

int pretrain_and_save(const PretrainConfig& s,
                      const finetune::PretrainObjective& objective,
                      diffusion::Pipeline& parts,
                      const PretrainData& data,
                      const std::string& network,
                      const std::string& says) {
  const auto train_set = with_text(s, data.train, parts),
             held_out = with_text(s, data.held_out, parts);
  const auto result =
      finetune::pretrain(s.train, objective, parts, train_set, held_out, data.exams, say);
  parts.network = result.network;
  const fs::path checkpoint = s.train.loop.output_dir / "checkpoint";
  diffusion::save_pipeline(checkpoint, parts, at::kHalf);
  data::write_file(checkpoint / "README.md", model_card(s, result, network, says));
  say("written: " + checkpoint.string());
  return exit_code_of(data.images);
}

}  // namespace tools
