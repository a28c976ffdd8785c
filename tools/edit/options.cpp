#include "tools/edit/options.hpp"

#include "diffusion/sampling/sampler_catalog.hpp"

namespace tools {
namespace {

void declare_what(Options& options, ImageEditConfig& c) {
  options.group("What");
  declare_model(options, c.checkpoint);
  options.list("image", c.image, "the image to edit: a file, a folder or a pattern; repeatable");
  options.short_name("image", 'i');
  options.text("instruction", c.instruction, "the instruction: \"make the circle red\"");
  options.short_name("instruction", 'e');
  options.text("negative_prompt", c.negative_prompt, "negative prompt of the guidance");
  options.text("batch", c.batch, "file of edits with their settings, .jsonl or .csv");
  options.rare().text("image_dir", c.image_dir, "folder of the batch's images [that of the file]");
  options.integer("count", c.count, "edits per image", 1, 1'000'000);
  options.short_name("count", 'n');
  options.integer("seed", c.seed, "seed of the first edit; the next ones count up; -1: random", -1);
  options.text("mask", c.mask, "mask image: white is edited, black stays exactly as it is");
}

void declare_request(Options& options, ImageEditConfig& c) {
  options.group("Requested reward");
  options.text("request", c.request,
               "5,5,5 in the model's order, or AXIS=5,AXIS=4; none [the highest on every axis]");
  options.text("request_low", c.request_low, "negative request for --request_scale: 0,0,0; none");
  options.number("request_scale", c.request_scale, "scale of guidance by reward; 1: none", 0, 100);
  options.rare().text("feedback", c.feedback, "feedback on flaws, for models with such an input");
  options.text("sweep", c.sweep, "AXIS or all: one edit per value of the request, and a gallery");
  options.rare().integer("sweep_points", c.sweep_points, "number of values of a sweep", 2, 1000);
}

void declare_how(Options& options, ImageEditConfig& c) {
  options.group("How");
  options.integer("steps", c.steps, "sampling steps", 1, 1000);
  options.number("cfg_text", c.cfg_text, "scale of guidance by the instruction; up to 1: none", 0,
                 100);
  options.number("cfg_image", c.cfg_image, "scale of guidance by the image; below 1: none", 0, 100);
  options.number("strength", c.strength,
                 "below 1: starts from the image with less noise, in fewer steps", 0.001, 1);
  options.text(
      "sampling_method", c.sampling_method,
      diffusion::sampler_flags() + "; suffix _karras, ..; or diffusers' class [the model's]");
  options.integer("resolution", c.resolution,
                  "longer side in pixels, for InstructPix2Pix's size rule [the model's]", 0, 8192);
  options.text("size", c.size, "WIDTHxHEIGHT to resize the image to, instead of the size rule");
  options.integer("batch_size", c.batch_size,
                  "images computed together; equal sizes give equal bits", 1, 4096);
  options.short_name("batch_size", 'b');
  options.text("max_memory", c.max_memory,
               "memory limit, such as 12GB: sets batch_size and tiling");
  options.rare().number("eta", c.eta, "noise of DDIM and TCD", 0, 1);
  options.rare().number("guidance_rescale", c.guidance_rescale,
                        "0 to 1: rescales guidance against overexposed images", 0, 1);
  options.rare().text("timestep_spacing", c.timestep_spacing,
                      "leading, trailing or linspace [the model's]");
  options.rare().flag("vae_tiling", c.vae_tiling,
                      "encode and decode large images in tiles: less memory");
  declare_device(options, c.device, Rarity::kRare);
}

void declare_rest(Options& options, ImageEditConfig& c) {
  options.group("Under a reward");
  options.integer("best_of", c.best_of, "candidates per edit; the best by --reward is written", 1,
                  10'000);
  options.text("reward", c.reward, "reward names, with weights: aesthetic=1,clip_score=0.1");
  options.short_name("reward", 'r');
  declare_guide(options, c.guide);
  declare_deltas(options, c.deltas);
  options.rare().text("caption", c.caption,
                      "caption of the edited image, for rewards [the instruction]");
  declare_reward_sources(options, c.sources, Rarity::kRare, Rarity::kRare);
  options.group("Files");
  options.text("output", c.output, "file of a single edit");
  options.text("output_dir", c.output_dir, "folder of the edits and results.jsonl");
  options.short_name("output_dir", 'o');
  options.flag("gallery", c.gallery,
               "write gallery.html, an offline page of images before and after");
  options.flag("resume", c.resume, "skip edits that are done: their file and line exist");
  options.rare().flag("no_provenance", c.no_provenance,
                      "do not mark the images as made by a model (IPTC's digital source type)");
}

}  // namespace

void declare_edit(Options& options, ImageEditConfig& config) {
  declare_what(options, config);
  declare_request(options, config);
  declare_how(options, config);
  declare_rest(options, config);
  // Names in diffusers and other tools.
  options.alias("input", "image");
  options.alias("edit", "instruction");
  options.alias("prompt", "instruction");
  options.alias("num_inference_steps", "steps");
  options.alias("guidance_scale", "cfg_text");
  options.alias("cfg_scale", "cfg_text");
  options.alias("image_guidance_scale", "cfg_image");
  options.alias("image_cfg_scale", "cfg_image");
  options.alias("img_cfg_scale", "cfg_image");
  options.alias("denoising_strength", "strength");
  options.alias("reward_score", "request");
  options.alias("reward_cfg", "request_scale");
  options.alias("sampler", "sampling_method");
}

}  // namespace tools
