#include "tools/pretrain/vae.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/images/image_folder.hpp"
#include "data/world/oracle.hpp"
#include "data/world/scene.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "finetune/pretrain/vae.hpp"
#include "tools/cli/captioned_data.hpp"
#include "tools/cli/options.hpp"
#include "tools/pretrain/options.hpp"

namespace tools {
namespace {

using finetune::PretrainVaeOptions;

constexpr uint64_t kHeldOutSeed = 20240101;

struct PretrainVaeConfig {
  PretrainVaeOptions train;
  std::vector<std::string> widths{"16", "32", "64", "96"};
  std::string output_dir, folder, evaluate;
  int64_t resolution = world::kCanvas;
  int64_t held_out = 256;
};

void declare_model(Options& options, PretrainVaeConfig& s) {
  PretrainVaeOptions& t = s.train;
  options.group("data and output");
  options.text("output_dir", s.output_dir,
               "folder for the model (vae/), metrics and training state");
  options.text("data", s.folder, "folder of images; default: scenes of the built-in world");
  options.integer("resolution", s.resolution, "side of the folder's images, pixels", 8, 4096);
  options.integer("held_out", s.held_out, "images for the evaluation; at most a tenth of a folder",
                  1, 1000000);
  options.integer("seed", t.loop.seed, "seed of weights, images and noise", 0, kNoLimit);
  options.text("evaluate", s.evaluate,
               "evaluates the VAE of this folder on held-out images, without training");
  options.group("model");
  options.list("block_out_channels", s.widths,
               "channels of each level, finest first; each level halves the image");
  options.rare().integer("layers_per_block", t.model.layers_per_block, "residual blocks per level",
                         1, 8);
  options.rare().integer("latent_channels", t.model.latent_channels, "channels of the latent", 1,
                         64);
  options.rare().integer("norm_num_groups", t.model.norm_num_groups,
                         "groups of the group norms; must divide every level's channels", 1, 512);
}

void declare_training(Options& options, PretrainVaeOptions& t) {
  options.group("training");
  declare_schedule(options, t.loop, Rarity::kRare);
  options.integer("num_workers", t.num_workers, "threads that share a batch", 1, 1024);
  options.rare().integer("crop_size", t.crop_size, "side of a crop, pixels", 8, 65536);
  options.rare().number("crop_until", t.crop_until,
                        "fraction of the training on crops instead of whole images", 0, 1);
  options.choice("optimizer", t.optimizer, {"muon", "adamw"},
                 "optimiser of the matrices; AdamW for norms and biases");
  options.rare().number("lr_decay_from", t.lr_decay_from,
                        "fraction of the training after which the learning rate falls to 0", 0, 1);
  options.rare().number("kl_weight", t.kl_weight,
                        "weight of the KL divergence: nats per pixel value", 0, 1e6);
  options.rare().number("l1_weight", t.l1_weight,
                        "weight of the absolute error, added to the squared error", 0, 1e6);
  declare_progress(options, t.loop);
}

struct SceneSet {
  std::vector<world::Scene> scenes;
  at::Tensor images;  // [N, 3, 64, 64]
};
SceneSet draw_scenes(int64_t count, world::Split split, at::Generator& generator) {
  SceneSet set;
  std::vector<at::Tensor> images;
  for (int64_t i = 0; i < count; ++i) {
    set.scenes.push_back(world::random_scene(generator, split));
    images.push_back(world::render(set.scenes.back()));
  }
  set.images = at::stack(images);
  return set;
}

SceneSet held_out_scenes(int64_t count) {
  auto generator = at::detail::createCPUGenerator(kHeldOutSeed);
  return draw_scenes(count, world::Split::kUnseen, generator);
}

finetune::ImageSource world_source(int64_t held_out) {
  const auto draw = [](int64_t count, at::Generator& generator) {
    return draw_scenes(count, world::Split::kSeen, generator).images;
  };
  return {"the built-in world of scenes", draw, held_out_scenes(held_out).images};
}

data::ImageFolder open_folder(const PretrainVaeConfig& s) {
  if (s.folder.empty()) return {};
  return open_training_images(s.folder, {.resolution = s.resolution});
}

finetune::ImageSource folder_source(const PretrainVaeConfig& s, const data::ImageFolder& folder) {
  const auto count = static_cast<int64_t>(folder.files.size());
  if (count < 2)
    throw data::BadInput(s.folder + ": expected at least 2 images (one is held out), found 1");
  const auto split = data::split_folder(count, std::min(s.held_out, count / 10));
  const auto draw = [folder, train = split.train](int64_t batch, at::Generator& generator) {
    const at::Tensor picks = at::randint(train.size(0), {batch}, generator, at::kLong);
    return data::folder_images(folder, train.index_select(0, picks));
  };
  return {std::to_string(count) + " images of a folder", draw,
          data::folder_images(folder, split.held_out)};
}

// Whether the oracle read the scene correctly: the same objects, each within 3 pixels of its place,
// and the same background.
bool same(const world::SceneReading& truth, const world::SceneReading& read) {
  constexpr double kNear = 3;  // pixels
  if (truth.objects.size() != read.objects.size() || truth.background != read.background)
    return false;
  return std::all_of(
      truth.objects.begin(), truth.objects.end(), [&](const world::DetectedObject& object) {
        return std::any_of(read.objects.begin(), read.objects.end(),
                           [&](const world::DetectedObject& seen) {
                             return seen.kind == object.kind && seen.colour == object.colour &&
                                    seen.size == object.size &&
                                    std::hypot(seen.x - object.x, seen.y - object.y) < kNear;
                           });
      });
}

double share_read_right(const std::vector<world::Scene>& scenes, const at::Tensor& images) {
  int64_t right = 0;
  for (size_t i = 0; i < scenes.size(); ++i) {
    right += same(world::truth(scenes[i]), world::read_scene(images[static_cast<int64_t>(i)]));
  }
  return static_cast<double>(right) / static_cast<double>(scenes.size());
}

void print_psnr(const finetune::Reconstruction& result, int64_t count) {
  std::cout << data::formatted(
      "%lld held-out images: PSNR %.2f dB (mean over images), %.2f dB (of the mean squared "
      "error)\n",
      static_cast<long long>(count), result.psnr, result.pooled_psnr);
}

int evaluate(const PretrainVaeConfig& s) {
  const auto vae = diffusion::load_vae(s.evaluate);
  if (!s.folder.empty()) {
    const data::ImageFolder folder = open_folder(s);
    const at::Tensor images = folder_source(s, folder).held_out;
    print_psnr(finetune::reconstruct(vae, images), images.size(0));
    return exit_code_of(folder);
  }
  const SceneSet set = held_out_scenes(s.held_out);
  const auto result = finetune::reconstruct(vae, set.images);
  print_psnr(result, s.held_out);
  std::cout << data::formatted(
      "read correctly by the oracle (all objects and the background): %.2f %% of reconstructions, "
      "%.2f %% of originals\n",
      100 * share_read_right(set.scenes, result.images),
      100 * share_read_right(set.scenes, set.images));
  std::cout << data::formatted("standard deviation of the scaled latents: %.3f\n",
                               result.latent_std * vae.config.scaling_factor);
  return 0;
}

std::string model_card(const finetune::PretrainVaeResult& result,
                       const std::string& source,
                       const std::string& recipe) {
  char figures[200];
  std::snprintf(figures, sizeof figures,
                "%lld updates in %.1f minutes; PSNR %.2f dB on held-out images.",
                static_cast<long long>(result.steps), result.minutes, result.psnr);
  return "# Autoencoder (AutoencoderKL)\n\nMade by `laurel pretrain vae` from " + source +
         ", for such images alone: not a general-purpose model.\n"
         "`diffusers.AutoencoderKL.from_pretrained(folder)` loads it.\n\n" +
         figures + "\n\n```toml\n" + recipe + "```\n";
}

// The options of the run, without the paths of this machine.
std::string recipe_of(const Options& options) {
  std::string kept, text = options.resolved();
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const std::string line = text.substr(begin, end - begin + 1);
    bool path = false;
    for (const char* key : {"output_dir ", "data ", "evaluate ", "resume_from_checkpoint "})
      path |= line.starts_with(key);
    if (!path) kept += line;
  }
  return kept;
}

int train(PretrainVaeConfig& s, const Options& options) {
  require_folder("pretrain vae", "output_dir", s.output_dir);
  s.train.loop.output_dir = s.output_dir;
  s.train.model.block_out_channels = whole_numbers(s.widths, "block_out_channels");
  const auto factor = diffusion::vae_factor(s.train.model);
  for (const int64_t pixels : {s.resolution, s.train.crop_size}) {
    if (pixels % factor == 0) continue;
    throw data::BadInput("resolution, crop_size: expected multiples of " + std::to_string(factor) +
                         " (" + std::to_string(s.widths.size()) + " levels), found " +
                         std::to_string(pixels));
  }
  train::check_output(s.train.loop);
  const data::ImageFolder folder = open_folder(s);
  const auto source = s.folder.empty() ? world_source(s.held_out) : folder_source(s, folder);
  data::write_file(s.train.loop.output_dir / "config.toml", options.resolved());
  const auto result = finetune::pretrain_vae(s.train, source, [](const std::string& line) {
    std::cout << line << std::endl;  // flushed for readers that follow a log
  });
  data::write_file(s.train.loop.output_dir / "vae" / "README.md",
                   model_card(result, source.name, recipe_of(options)));
  std::cout << data::formatted("%s: %lld updates, %.1f min, PSNR %.2f dB on %lld held-out images\n",
                               (s.train.loop.output_dir / "vae").c_str(),
                               static_cast<long long>(result.steps), result.minutes, result.psnr,
                               static_cast<long long>(source.held_out.size(0)));
  return exit_code_of(folder);
}

int pretrain_vae_command(const std::vector<std::string>& arguments) {
  PretrainVaeConfig settings;
  settings.train.model.norm_num_groups = 8;
  Options options(
      "pretrain vae",
      "Trains a latent autoencoder from random weights and writes it as diffusers' AutoencoderKL.\n"
      "Example: laurel pretrain vae --config models/recipes/vae.toml --output_dir runs/vae");
  declare_model(options, settings);
  declare_training(options, settings.train);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty()) {
    throw data::BadInput("laurel pretrain vae: expected options only, found '" +
                         parsed.positional[0] + "'");
  }
  return settings.evaluate.empty() ? train(settings, options) : evaluate(settings);
}

}  // namespace

const Command kPretrainVae{"vae", "the latent autoencoder (AutoencoderKL)", pretrain_vae_command};

}  // namespace tools
