// laurel sample: prompts -> images.

#include "tools/sample/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <future>
#include <iostream>
#include <random>
#include <set>

#include "data/base/digest_cache.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/shape.hpp"
#include "data/device/memory.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/text/prompt_weighting.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/progress.hpp"
#include "tools/cli/version.hpp"
#include "tools/sample/distilled_range.hpp"
#include "tools/sample/embeddings.hpp"
#include "tools/sample/jobs.hpp"
#include "tools/sample/memory_fit.hpp"
#include "tools/sample/sampler_choice.hpp"
#include "tools/sample/writer.hpp"

using data::BadInput;
namespace fs = std::filesystem;

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

diffusion::Pipeline load_model(const SampleConfig& config, at::Device device) {
  diffusion::Pipeline pipeline = open_model(config.checkpoint);
  if (!config.unet.empty()) {
    pipeline.unet = diffusion::load_unet(config.unet);
    diffusion::check_fit(pipeline, config.unet);
  }
  pipeline.vae.use_slicing = config.vae_slicing;
  if (config.vae_tiling || config.vae_tile_size > 0)
    diffusion::enable_tiling(pipeline.vae, config.vae_tile_size);
  LoraShelf shelf;
  const auto uses = shelf.uses(parse_lora_choices(config.lora, config.lora_scale, config.lora_dir));
  for (const auto& use : uses) std::cerr << diffusion::lora_summary(*use.lora) << "\n";
  diffusion::apply_loras(pipeline, uses);
  move_to(pipeline, device);
  return pipeline;
}

// What a run needs.
struct Session {
  SampleConfig config;
  diffusion::Pipeline pipeline;
  diffusion::SamplerChoice choice;
  std::vector<SampleJob> jobs;
  at::Tensor latents;  // [jobs x best_of, C, h, w] or undefined
  at::Tensor image;    // [3, H, W] to edit, or undefined
  diffusion::SizeConditions sizes;
  std::shared_ptr<LoraShelf> shelf = std::make_shared<LoraShelf>();  // of the prompts' tags
};

// Latents decide what was left open: the size, and the number of images a prompt.
void settle_latents(Session& session, bool count_given) {
  auto& config = session.config;
  if (config.latents.empty()) return;
  session.latents = read_latents(config.latents, session.pipeline.vae.config.latent_channels);
  const int64_t factor = diffusion::vae_factor(session.pipeline.vae.config);
  if (config.height == 0) config.height = session.latents.size(2) * factor;
  if (config.width == 0) config.width = session.latents.size(3) * factor;
  if (!count_given && config.best_of == 1 && config.prompts.empty() && config.prompt.size() == 1) {
    config.count = session.latents.size(0);
  }
}

void check_latents(const Session& session) {
  if (!session.latents.defined()) return;
  const auto& sizes = session.latents.sizes();
  const auto wanted = static_cast<int64_t>(session.jobs.size()) * session.config.best_of;
  for (const auto& job : session.jobs) {
    const auto shape = diffusion::latent_shape(session.pipeline, job.height, job.width);
    if (sizes[0] == wanted && sizes[2] == shape[1] && sizes[3] == shape[2]) continue;
    const std::vector<int64_t> expected{wanted, shape[0], shape[1], shape[2]};
    throw BadInput(session.config.latents + ": expected latents of " + data::shape_text(expected) +
                   " for these images, found " + data::shape_text(sizes) +
                   "; change --count, --height or --width");
  }
}

// Before the first image, not when a prompt's turn comes.
void check_tagged_loras(Session& session) {
  const diffusion::LoraTarget target = diffusion::lora_target(session.pipeline);
  for (const auto& job : session.jobs)
    diffusion::check_loras(target, session.shelf->uses(job.loras));
}

// How prompts are read: the lengths of weighted ones; what of plain ones is not read.
void settle_prompts(Session& session) {
  if (session.config.prompt_weighting) {
    for (auto& job : session.jobs) {
      job.chunks = std::max(diffusion::chunk_count(session.pipeline, job.prompt),
                            diffusion::chunk_count(session.pipeline, job.negative_prompt));
    }
    return;
  }
  const auto texts = all_gather_text(session.jobs);
  for (const auto& warning : data::truncation_warnings(session.pipeline.tokenizer, texts))
    std::cerr << "warning: " << warning << " (--prompt-weighting reads long prompts)\n";
  for (const auto& text : texts) {
    if (!diffusion::has_weights(text)) continue;
    std::cerr << "note: weights such as (word:1.2) are read as plain text; --prompt-weighting "
                 "reads them as A1111 does\n";
    return;
  }
}

// The candidates of a group of jobs, in order.
std::vector<diffusion::ImageRequest> requests_of(const Session& session,
                                                 const std::vector<size_t>& group) {
  std::vector<diffusion::ImageRequest> requests;
  for (const size_t job : group) {
    const SampleJob& asked = session.jobs[job];
    for (int64_t i = 0; i < session.config.best_of; ++i) {
      requests.push_back({.prompt = asked.prompt,
                          .negative_prompt = asked.negative_prompt,
                          .seed = asked.seed + static_cast<uint64_t>(i),
                          .latents = {},
                          .source = fitted_image(session.image, asked.height, asked.width)});
      if (!session.latents.defined()) continue;
      requests.back().latents =
          session.latents[static_cast<int64_t>(job) * session.config.best_of + i];
    }
  }
  return requests;
}

diffusion::SamplerOptions sampler_options(const Session& session, int64_t steps) {
  return {.sampler = session.choice.sampler, .steps = steps, .eta = session.config.eta};
}

diffusion::GenerateOptions options_of(const Session& session, const SampleJob& job) {
  const auto& conditions = session.config.conditions;
  return {.sampler = sampler_options(session, job.steps),
          .guidance = {.scale = job.cfg_scale,
                       .image_scale = conditions.image_guidance_scale,
                       .rescale = conditions.guidance_rescale},
          .sizes = session.sizes,
          .height = job.height,
          .width = job.width,
          .clip_skip = session.config.clip_skip,
          .prompt_weighting = session.config.prompt_weighting};
}

void run_group(const Session& session,
               const std::vector<size_t>& group,
               Progress& progress,
               SampleWriter& writer) {
  const SampleJob& first = session.jobs[group[0]];
  const auto requests = requests_of(session, group);
  diffusion::GenerateOptions options = options_of(session, first);
  options.micro_batch = micro_batch_of(session.config, requests.size());
  options.sampler.on_step = [&](int64_t) { progress.advance(); };
  diffusion::Pipeline pipeline = session.pipeline;  // a copy shares the weights that stay
  if (!first.loras.empty()) diffusion::apply_loras(pipeline, session.shelf->uses(first.loras));
  diffusion::generate(pipeline, requests, options, [&](const diffusion::GeneratedBatch& batch) {
    for (int64_t row = 0; row < batch.images.size(0); ++row) {
      const auto index = static_cast<int64_t>(batch.first) + row;
      const size_t job = group[static_cast<size_t>(index / session.config.best_of)];
      writer.take(job, index % session.config.best_of,
                  {.image = batch.images[row],
                   .initial = batch.initial[row],
                   .latents = batch.latents[row]});
    }
  });
}

// Calls of the network, each a step of the progress bar. Throws BadInput for steps that do not fit
// the schedule.
int64_t total_calls(const Session& session, const std::vector<std::vector<size_t>>& groups) {
  const auto schedule = diffusion::make_schedule(session.pipeline.scheduler);
  int64_t total = 0;
  for (const auto& group : groups) {
    const size_t requests = group.size() * static_cast<size_t>(session.config.best_of);
    const int64_t size = micro_batch_of(session.config, requests);
    const int64_t batches = (static_cast<int64_t>(requests) + size - 1) / size;
    const auto options = sampler_options(session, session.jobs[group[0]].steps);
    total += batches * diffusion::network_calls(schedule, options);
  }
  return total;
}

WriterOptions writer_options(const Session& session, at::Device device) {
  const SampleConfig& config = session.config;
  WriterOptions options{.output_dir = config.output_dir,
                        .first_number = next_number(config.output_dir),
                        .best_of = config.best_of};
  if (!config.reward.empty()) {
    options.rewards = rewards::make_rewards(config.reward, reward_sources(config.sources, device));
  }
  options.base.sampler = diffusion::sampler_label(session.choice);
  options.base.model =
      model_name(config.unet.empty() ? session.pipeline.source : fs::path(config.unet));
  if (config.eta > 0) options.base.extra.push_back({"Eta", data::short_number(config.eta)});
  if (config.clip_skip > 0)
    options.base.extra.push_back({"Clip skip", std::to_string(config.clip_skip + 1)});
  if (config.prompt_weighting) options.base.extra.push_back({"Prompt weighting", "A1111"});
  if (!config.timestep_spacing.empty())
    options.base.extra.push_back({"Spacing", config.timestep_spacing});
  const auto loras = lora_text(parse_lora_choices(config.lora, config.lora_scale, config.lora_dir));
  if (!loras.empty()) options.base.extra.push_back({"Lora", loras});
  for (const auto& [name, value] : condition_notes(config.conditions, session.pipeline))
    options.base.extra.push_back({name, value});
  options.base.extra.push_back({"laurel", kVersion});
  return options;
}

std::string images_text(size_t count) {
  return std::to_string(count) + (count == 1 ? " image" : " images");
}

// The file whose hash names the model: the single file, or the UNet's.
fs::path weights_of(const Session& session) {
  const fs::path& source = session.pipeline.source;
  if (session.config.unet.empty() && fs::is_regular_file(source)) return source;
  const fs::path unet =
      session.config.unet.empty() ? source / "unet" : fs::path(session.config.unet);
  return data::find_weights(unet, "diffusion_pytorch_model").front();
}

void run(const Session& session, const Placement& placement) {
  WriterOptions options = writer_options(session, placement.device);
  options.model_digest = std::async(std::launch::async, data::cached_sha256_of_file,
                                    weights_of(session), data::user_cache_folder());
  SampleWriter writer(session.jobs, options);
  const auto groups = group_jobs(session.jobs);
  const auto start = std::chrono::steady_clock::now();
  {
    const PrecisionScope precision(placement);
    Progress progress("Sampling " + images_text(session.jobs.size()), total_calls(session, groups));
    for (const auto& group : groups) run_group(session, group, progress, writer);
  }
  if (!session.config.save_latents.empty()) writer.save_latents(session.config.save_latents);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double rate = static_cast<double>(session.jobs.size()) / seconds;
  std::cout << images_text(session.jobs.size()) << " in "
            << (fs::path(session.config.output_dir) / "").string() << ", "
            << data::short_number(std::round(seconds * 10) / 10) << " s ("
            << data::short_number(std::round(rate * 100) / 100) << " a second)\n";
  if (const std::string scores = writer.score_summary(); !scores.empty())
    std::cout << scores << "\n";
}

// Chooses batch size and tiling by the job with the most pixels.
void fit_memory(Session& session, at::Device device) {
  SampleConfig& config = session.config;
  const auto elements = [&](const SampleJob& job) {
    const auto shape = diffusion::latent_shape(session.pipeline, job.height, job.width);
    return shape[1] * shape[2];
  };
  const SampleJob& job = *std::max_element(
      session.jobs.begin(), session.jobs.end(),
      [&](const SampleJob& a, const SampleJob& b) { return elements(a) < elements(b); });
  const MemoryFit fit = fit_generation(
      session.pipeline, options_of(session, job),
      {.prompt = job.prompt, .negative_prompt = job.negative_prompt, .seed = 0, .latents = {}},
      {.bytes = memory_limit(config.max_memory, device),
       .batch_size =
           micro_batch_of(config, session.jobs.size() * static_cast<size_t>(config.best_of)),
       .tile_size = config.vae_tile_size,
       .told = !config.max_memory.empty()});
  config.batch_size = fit.batch_size;
  config.vae_tiling = fit.tiled;
}

int sample_command(const std::vector<std::string>& arguments) {
  Session session;
  SampleConfig& config = session.config;
  Options options("sample", "Prompts to images (PNG with the settings in its `parameters` text).",
                  "[PROMPT...]");
  declare_what(options, config);
  declare_how(options, config);
  declare_rest(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  config.prompt.insert(config.prompt.end(), parsed.positional.begin(), parsed.positional.end());
  if (config.best_of > 1 && config.reward.empty()) {
    throw BadInput(
        "--best_of: expected a --reward to choose by, found none (see `laurel score --list`)");
  }
  // Prompts are checked before anything is loaded.
  const auto texts = all_gather_text(plan_jobs(config, 0));
  if (!config.max_memory.empty()) data::parse_bytes(config.max_memory, "max_memory");
  const Placement placement = open_device(config.device);
  session.pipeline = load_model(config, placement.device);
  add_embeddings(config.embedding, texts, session.pipeline);
  session.choice =
      settle_sampler(config.sampling_method, config.timestep_spacing, config.eta, session.pipeline);
  session.sizes = size_conditions(config.conditions, session.pipeline);
  session.image = source_image(config.conditions, session.pipeline);
  settle_family(config, {options.given("steps"), options.given("cfg_scale")}, session.image,
                session.pipeline);
  settle_latents(session, options.given("count"));
  session.jobs = plan_jobs(config, std::random_device{}() & 0x7FFFFFFF);
  std::set<std::string> warnings;
  for (const auto& job : session.jobs)
    warnings.insert(guidance_warning(session.pipeline.source, job.cfg_scale));
  for (const auto& warning : warnings)
    if (!warning.empty()) std::cerr << "warning: " << warning << "\n";
  for (const auto& job : session.jobs)
    diffusion::latent_shape(session.pipeline, job.height, job.width);
  check_latents(session);
  check_tagged_loras(session);
  settle_prompts(session);
  if (!config.max_memory.empty() || !placement.device.is_cpu())
    fit_memory(session, placement.device);
  data::write_file(fs::path(config.output_dir) / "config.toml", options.resolved());
  const std::string batch = std::to_string(micro_batch_of(config, kMicroBatch));
  with_advice("laurel sample", "--batch_size (now " + batch + ") or the size, or take --vae_tiling",
              [&] { run(session, placement); });
  return 0;
}

}  // namespace

const Command kSample{"sample", "turn prompts into images; keep the best of several",
                      sample_command};

}  // namespace tools
