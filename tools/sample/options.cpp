#include "tools/sample/options.hpp"

#include "diffusion/sampling/sampler_catalog.hpp"

namespace tools {
namespace {

void declare_what(Options& options, SampleConfig& c) {
  options.group("What");
  declare_model(options, c.checkpoint);
  options.list("prompt", c.prompt, "prompt; may be given several times");
  options.short_name("prompt", 'p');
  options.text("prompts", c.prompts,
               "file: a prompt a line (kohya's --n --w --h --d --l --s), or .jsonl");
  options.text("negative_prompt", c.negative_prompt, "what to steer away from");
  options.integer("count", c.count, "images a prompt", 1, 1'000'000);
  options.short_name("count", 'n');
  options.integer("seed", c.seed, "of a prompt's first image, then counting up; -1: random", -1);
  options.integer("height", c.height, "pixels, 0: the model's own", 0, 8192);
  options.short_name("height", 'H');
  options.integer("width", c.width, "pixels, 0: the model's own", 0, 8192);
  options.short_name("width", 'W');
  options.list("lora", c.lora, "LoRA FILE[=WEIGHT] (kohya, PEFT, LoHa, LoKr); several times");
  options.rare().number("lora_scale", c.lora_scale, "weight of those without one", -10, 10);
  options.text("lora_dir", c.lora_dir, "folder of LoRAs for <lora:name:0.8> in prompts");
  options.rare().list("embedding", c.embedding,
                      "textual inversion: FILE, NAME=FILE, or a folder of them; several times");
  options.rare().text("unet", c.unet, "folder of a finetuned UNet, in place of the model's");
}

void declare_how(Options& options, SampleConfig& c) {
  options.group("How");
  options.integer("steps", c.steps, "sampling steps", 1, 1000);
  options.number("cfg_scale", c.cfg_scale, "classifier-free guidance; up to 1: none", 0, 100);
  declare_conditions(options, c.conditions);
  options.text(
      "sampling_method", c.sampling_method,
      diffusion::sampler_flags() + "; with _karras, ..; or diffusers' class [the model's]");
  options.number("eta", c.eta, "noise of DDIM (1: as DDPM) and TCD (0.3 is usual)", 0, 1);
  options.rare().text("timestep_spacing", c.timestep_spacing,
                      "leading, trailing or linspace [the model's]");
  options.rare().integer("clip_skip", c.clip_skip,
                         "last layers of the text encoder left out: A1111's Clip skip minus 1", 0,
                         11);
  options.flag("prompt_weighting", c.prompt_weighting,
               "(a:1.3) [a] BREAK and long prompts, read as A1111 does");
  options.integer("batch_size", c.batch_size,
                  "images at a time, 0: up to 8; equal sizes, equal bits", 0, 4096);
  options.short_name("batch_size", 'b');
  options.text("max_memory", c.max_memory, "chooses batch_size and tiling so that it fits: 12GB");
  options.flag("vae_tiling", c.vae_tiling, "decode large images in overlapping tiles: less memory");
  options.rare().integer("vae_tile_size", c.vae_tile_size, "their side in pixels, 0: the VAE's own",
                         0, 8192);
  options.rare().flag("vae_slicing", c.vae_slicing,
                      "decode the images of a batch one by one: less memory");
  declare_device(options, c.device);
}

void declare_rest(Options& options, SampleConfig& c) {
  options.group("Best of several");
  options.integer("best_of", c.best_of, "candidates an image; the best by --reward is kept", 1,
                  10'000);
  options.text("reward", c.reward,
               "aesthetic, or weighted: aesthetic=1,clip_score=0.1 (raw units)");
  declare_reward_sources(options, c.sources, Rarity::kRare);
  options.group("Files");
  options.text("output_dir", c.output_dir, "folder of the images; numbers go on from those in it");
  options.short_name("output_dir", 'o');
  options.rare().text("latents", c.latents,
                      "safetensors: initial noise [images, C, h, w], as diffusers' latents=");
  options.rare().text("save_latents", c.save_latents,
                      "safetensors: writes that noise and the final latents");
  // As diffusers and other tools name them.
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

}  // namespace tools
