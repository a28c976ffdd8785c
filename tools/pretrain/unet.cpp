#include "tools/pretrain/unet.hpp"

#include <ATen/ATen.h>

#include <iostream>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_folder.hpp"
#include "data/world/scene.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/pretrain/unet.hpp"
#include "tools/cli/captioned_data.hpp"
#include "tools/cli/options.hpp"
#include "tools/pretrain/options.hpp"

namespace tools {
namespace {

namespace fs = std::filesystem;
using finetune::PretrainUNetOptions;

struct PretrainUnetConfig {
  PretrainUNetOptions train;
  std::string output_dir, folder, vae, text_encoder, tokenizer, init_unet;
  int64_t resolution = world::kCanvas;
  int64_t images = 40000, held_out = 512, exam_prompts = 64;
  std::vector<std::string> widths{"48", "96", "144"};
  int64_t layers_per_block = 1, heads = 4, attention_levels = 2;
};

void say(const std::string& line) { std::cout << line << std::endl; }

void declare_data(Options& options, PretrainUnetConfig& s) {
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
  options.text(
      "init_unet", s.init_unet,
      "folder of a UNet to start from, in diffusers' layout; its shape replaces the model options");
  options.group("model");
  options.list("block_out_channels", s.widths,
               "channels of each level, finest first; each level halves the latent");
  options.integer("layers_per_block", s.layers_per_block, "residual blocks per level", 1, 8);
  options.integer("attention_levels", s.attention_levels,
                  "levels with attention, from the coarsest", 0, 8);
  options.integer("attention_heads", s.heads, "heads of every attention", 1, 64);
  options.integer("norm_num_groups", s.train.model.norm_num_groups,
                  "groups of the group norms; must divide every level's channels", 1, 512);
}

void declare_training(Options& options, PretrainUnetConfig& s) {
  PretrainUNetOptions& t = s.train;
  options.group("training");
  declare_schedule(options, t.loop);
  options.integer("num_workers", t.num_workers, "threads that share a batch", 1, 1024);
  options.number("lr_decay_from", t.lr_decay_from,
                 "fraction of the training after which the learning rate falls to 0", 0, 1);
  options.number("snr_gamma", t.snr_gamma, "gamma of the loss's min-SNR weights; 0: off", 0, 1e6);
  options.number("proportion_empty_prompts", t.proportion_empty_prompts,
                 "share of captions dropped, for classifier-free guidance", 0, 1);
  declare_progress(options, t.loop);
  options.integer("exam_prompts", s.exam_prompts,
                  "captions of each split that the oracle evaluates; 0: none", 0, 100000);
  options.integer("num_inference_steps", t.exam.num_inference_steps, "DDIM steps of their samples",
                  1, 1000);
  options.number("guidance_scale", t.exam.guidance_scale, "guidance scale of their samples", 0,
                 100);
}

// The config of the UNet to start from. Throws BadInput unless it fits the other parts.
void adopt_model(PretrainUnetConfig& s, const diffusion::Pipeline& parts) {
  auto& model = s.train.model;
  s.train.init_unet = s.init_unet;
  model = diffusion::read_unet_config(s.train.init_unet / "config.json");
  const auto expect = [&](const char* key, int64_t found, int64_t expected, const char* part) {
    if (found != expected)
      throw data::BadInput(s.init_unet + "/config.json: " + key + ": expected " +
                           std::to_string(expected) + " as in the " + part + ", found " +
                           std::to_string(found) + "; give the " + part + " of this UNet");
  };
  expect("in_channels", model.in_channels, parts.vae.config.latent_channels, "vae");
  expect("cross_attention_dim", model.cross_attention_dim,
         parts.text_encoders[0].network.token_embedding.size(1), "text_encoder");
}

// Sets the config of the UNet from the options; text width and latent channels come from the other
// parts.
void resolve_model(PretrainUnetConfig& s, const diffusion::Pipeline& parts) {
  if (!s.init_unet.empty()) return adopt_model(s, parts);
  auto& model = s.train.model;
  const size_t levels = s.widths.size();
  model.block_out_channels = whole_numbers(s.widths, "block_out_channels");
  model.down_attention.assign(levels, false);
  model.up_attention.assign(levels, false);
  for (int64_t i = 0; i < std::min(s.attention_levels, static_cast<int64_t>(levels)); ++i) {
    model.down_attention[levels - 1 - i] = true;
    model.up_attention[i] = true;
  }
  model.layers_per_block.assign(levels, s.layers_per_block);
  model.transformer_layers.assign(levels, 1);
  model.heads.assign(levels, s.heads);
  model.in_channels = model.out_channels = parts.vae.config.latent_channels;
  model.cross_attention_dim = parts.text_encoders[0].network.token_embedding.size(1);
  model.sample_size = s.resolution / diffusion::vae_factor(parts.vae.config);
  diffusion::check_unet_config(model, "pretrain unet");
}

// The encoded images are stored in the run's folder, so that an interrupted run resumes quickly.
finetune::LatentSet encoded(const PretrainUnetConfig& s,
                            const diffusion::Pipeline& parts,
                            const CaptionedData& data,
                            const char* file) {
  const finetune::EncodeOptions options{
      .count = data.count, .num_workers = s.train.num_workers, .batch_size = 64};
  return finetune::encode_text(
      encoded_images(parts.vae, s.vae, data, options, s.train.loop.output_dir / file, say), parts,
      options);
}

std::string model_card(const PretrainUnetConfig& s, const finetune::PretrainUNetResult& result) {
  std::ostringstream card;
  card << "# A text-to-image checkpoint of laurel" << (s.folder.empty() ? " (synthetic)" : "")
       << "\n\n"
       << "Latent diffusion in diffusers' layout, " << s.resolution << "x" << s.resolution
       << " pixels. Its UNet was trained by `laurel pretrain unet` on "
       << (s.folder.empty()
               ? "rendered scenes with generated captions; every figure from it is synthetic"
               : "the images of a folder")
       << ": seed " << s.train.loop.seed << ", " << result.steps << " updates of "
       << s.train.loop.train_batch_size << " images, " << static_cast<int64_t>(result.minutes + 0.5)
       << " minutes.\n\n| | |\n|---|---|\n| held-out loss (mean squared error of the noise) | "
       << result.held_out_loss << " |\n";
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

// `images`: of the folder, where there is one.
finetune::PretrainUNetResult train(const PretrainUnetConfig& s,
                                   const diffusion::Pipeline& parts,
                                   const data::ImageFolder& images) {
  const bool scenes = s.folder.empty();
  const auto source = [&](bool held_out) {
    return scenes ? world_data(held_out ? s.held_out : s.images, s.train.loop.seed, held_out)
                  : folder_data(images, s.folder, s.held_out, held_out);
  };
  const auto train_set = encoded(s, parts, source(false), "train.latents");
  const auto held_out = encoded(s, parts, source(true), "held_out.latents");
  std::vector<finetune::ExamSet> exams;
  if (scenes && s.exam_prompts > 0) exams = finetune::world_exams(s.exam_prompts);
  return finetune::pretrain_unet(s.train, parts, train_set, held_out, exams, say);
}

int pretrain_unet_command(const std::vector<std::string>& arguments) {
  PretrainUnetConfig s;
  s.train.model.norm_num_groups = 16;
  Options options("pretrain unet", "Trains a text-conditional UNet on latents of an autoencoder.");
  declare_data(options, s);
  declare_training(options, s);
  if (!options.parse(arguments).proceed) return 0;
  for (const auto& [key, value] :
       {std::pair{"output_dir", s.output_dir}, {"vae", s.vae}, {"text_encoder", s.text_encoder}})
    require_folder("pretrain unet", key, value);
  s.train.loop.output_dir = s.output_dir;
  train::check_output(s.train.loop);
  diffusion::Pipeline pipeline = diffusion::load_parts({s.vae, s.text_encoder, s.tokenizer});
  resolve_model(s, pipeline);
  data::write_file(s.train.loop.output_dir / "config.toml", options.resolved());
  data::ImageFolder images;
  if (!s.folder.empty())
    images = open_training_images(s.folder, {.resolution = s.resolution, .require_captions = true});
  const auto result = train(s, pipeline, images);
  pipeline.network = result.unet;
  const fs::path checkpoint = s.train.loop.output_dir / "checkpoint";
  diffusion::save_pipeline(checkpoint, pipeline, at::kHalf);
  data::write_file(checkpoint / "README.md", model_card(s, result));
  say("written: " + checkpoint.string());
  return exit_code_of(images);
}

}  // namespace

const Command kPretrainUnet{"unet", "the text-conditional UNet of a latent-diffusion checkpoint",
                            pretrain_unet_command};

}  // namespace tools
