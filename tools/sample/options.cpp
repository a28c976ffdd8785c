#include "tools/sample/options.hpp"

#include "data/base/error.hpp"
#include "data/device/memory.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

namespace tools {
namespace {

void declare_what(Options& options, SampleConfig& c) {
  options.group("What");
  declare_model(options, c.checkpoint);
  options.list("prompt", c.prompt, "prompt; repeatable");
  options.short_name("prompt", 'p');
  options.text("prompts", c.prompts,
               "file: one prompt per line (kohya's --n --w --h --d --l --s), or .jsonl");
  options.text("negative_prompt", c.negative_prompt, "negative prompt of the guidance");
  options.integer("count", c.count, "images per prompt", 1, 1'000'000);
  options.short_name("count", 'n');
  options.integer("seed", c.seed,
                  "seed of a prompt's first image; the next ones count up; -1: random", -1);
  options.integer("height", c.height, "height in pixels; 0: the model's", 0, 8192);
  options.short_name("height", 'H');
  options.integer("width", c.width, "width in pixels; 0: the model's", 0, 8192);
  options.short_name("width", 'W');
  options.list("lora", c.lora, "LoRA FILE[=WEIGHT] (kohya, PEFT, LoHa, LoKr); repeatable");
  options.rare().number("lora_scale", c.lora_scale, "weight of LoRAs without one", -10, 10);
  options.text("lora_dir", c.lora_dir, "folder of LoRAs for <lora:name:0.8> in prompts");
  options.rare().list("embedding", c.embedding,
                      "textual inversion: FILE, NAME=FILE, or a folder of them; repeatable");
  declare_deltas(options, c.deltas);
  options.rare().text("unet", c.unet,
                      "folder of a finetuned UNet or transformer that replaces the model's");
}

void declare_how(Options& options, SampleConfig& c) {
  options.group("How");
  options.integer("steps", c.steps, "sampling steps", 1, 1000);
  options.number("cfg_scale", c.cfg_scale, "scale of classifier-free guidance; up to 1: none", 0,
                 100);
  declare_conditions(options, c.conditions);
  declare_skipped_layers(options, c.skipped);
  options.text(
      "sampling_method", c.sampling_method,
      diffusion::sampler_flags() + "; suffix _karras, ..; or diffusers' class [the model's]");
  options.number("eta", c.eta, "noise of DDIM (1: as DDPM) and of TCD (usually 0.3)", 0, 1);
  options.rare().text("timestep_spacing", c.timestep_spacing,
                      "leading, trailing or linspace [the model's]");
  options.rare().integer("clip_skip", c.clip_skip,
                         "omitted last layers of the text encoder: A1111's Clip skip minus 1", 0,
                         11);
  options.rare().integer("max_sequence_length", c.max_sequence_length,
                         "Stable Diffusion 3, FLUX.1: T5's tokens of a prompt", 0,
                         diffusion::kMostT5Tokens);
  options.flag("prompt_weighting", c.prompt_weighting,
               "parse (a:1.3) [a] BREAK and long prompts as A1111 does");
  options.integer("batch_size", c.batch_size,
                  "images computed together; 0: up to 8; equal sizes give equal bits", 0, 4096);
  options.short_name("batch_size", 'b');
  options.text(
      "max_memory", c.max_memory,
      "memory limit, such as 12GB: sets batch_size and tiling; SD3, FLUX.1: streams blocks");
  options.flag("vae_tiling", c.vae_tiling, "decode large images in overlapping tiles: less memory");
  options.rare().integer("vae_tile_size", c.vae_tile_size,
                         "side of the tiles in pixels; 0: the VAE's own", 0, 8192);
  options.rare().flag("vae_slicing", c.vae_slicing,
                      "decode the images of a batch one by one: less memory");
  declare_device(options, c.device);
}

void declare_rest(Options& options, SampleConfig& c) {
  options.group("Under a reward");
  options.integer("best_of", c.best_of, "candidates per image; the best by --reward is written", 1,
                  10'000);
  options.text("reward", c.reward,
               "reward names, with weights: aesthetic=1,clip_score=0.1 (raw units)");
  declare_guide(options, c.guide);
  declare_reward_sources(options, c.sources, Rarity::kRare);
  options.group("Files");
  options.text("output_dir", c.output_dir, "folder of the images; numbering continues");
  options.short_name("output_dir", 'o');
  options.rare().flag("resume", c.resume,
                      "continue an ended run: make only the images that are missing");
  options.rare().flag("no_provenance", c.no_provenance,
                      "do not mark the images as made by a model (IPTC's digital source type)");
  options.rare().flag("no_workflow", c.no_workflow,
                      "do not write ComfyUI's graph of the same settings into the images");
  options.rare().text(
      "latents", c.latents,
      "safetensors file with initial noise [images, C, h, w], as diffusers' latents=");
  options.rare().text("save_latents", c.save_latents,
                      "safetensors file to write the initial noise and the final latents to");
  // Names in diffusers and other tools.
  options.alias("num_inference_steps", "steps");
  options.alias("guidance_scale", "cfg_scale");
  options.alias("sampler", "sampling_method");
}

}  // namespace

void declare_sample(Options& options, SampleConfig& config) {
  declare_what(options, config);
  declare_how(options, config);
  declare_rest(options, config);
}

void check_sample(const SampleConfig& config) {
  if (config.best_of > 1 && config.reward.empty()) {
    throw data::BadInput(
        "--best_of: expected a --reward to choose by, found none (see `laurel score --list`)");
  }
  if (!config.max_memory.empty()) data::parse_bytes(config.max_memory, "max_memory");
  if (config.resume && config.seed < 0)
    throw data::BadInput("--resume: expected the seed of the run, found a random one; give --seed");
  if (config.resume && !config.save_latents.empty())
    throw data::BadInput("--resume: --save_latents: the latents of the finished images are gone");
}

}  // namespace tools
