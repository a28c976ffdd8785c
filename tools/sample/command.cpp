// laurel sample: samples images from prompts.

#include "tools/sample/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <iostream>
#include <random>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/log.hpp"
#include "data/base/shape.hpp"
#include "data/device/memory.hpp"
#include "data/storage/digest_cache.hpp"
#include "data/storage/folder_lock.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/networks/streaming.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "diffusion/text/prompt_weighting.hpp"
#include "finetune/distill/distilled_range.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/version.hpp"
#include "tools/sample/embeddings.hpp"
#include "tools/sample/group_plan.hpp"
#include "tools/sample/guides/generate.hpp"
#include "tools/sample/guides/value.hpp"
#include "tools/sample/jobs.hpp"
#include "tools/sample/memory_fit.hpp"
#include "tools/sample/model.hpp"
#include "tools/sample/resume.hpp"
#include "tools/sample/sampler_choice.hpp"
#include "tools/sample/writer.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

// The state of the command.
struct SampleRun {
  SampleConfig config;
  std::vector<SamplePrompt> prompts;
  diffusion::Pipeline pipeline;
  bool prepacked = false;  // its network is, before the first image
  diffusion::SamplerChoice choice;
  std::vector<SampleJob> jobs;
  std::vector<bool> finished;  // jobs that have their image
  at::Tensor latents;          // [jobs x best_of, C, h, w] or undefined
  at::Tensor image;            // [3, H, W] to edit, or undefined
  diffusion::SizeConditions sizes;
  GuideSetting guide;  // its rewards: once they are loaded
  std::shared_ptr<LoraShelf> shelf = std::make_shared<LoraShelf>();  // of the prompts' tags
};

// With --latents, sets what the user left open: the size, and the number of images per prompt.
void resolve_latents(SampleRun& run, bool count_given) {
  auto& config = run.config;
  if (config.latents.empty()) return;
  run.latents = read_latents(config.latents, run.pipeline.vae.config.latent_channels);
  const int64_t factor = diffusion::vae_factor(run.pipeline.vae.config);
  if (config.height == 0) config.height = run.latents.size(2) * factor;
  if (config.width == 0) config.width = run.latents.size(3) * factor;
  if (!count_given && config.best_of == 1 && config.prompts.empty() && config.prompt.size() == 1) {
    config.count = run.latents.size(0);
  }
}

void check_latents(const SampleRun& run) {
  if (!run.latents.defined()) return;
  const auto& sizes = run.latents.sizes();
  const auto wanted = static_cast<int64_t>(run.jobs.size()) * run.config.best_of;
  for (const auto& job : run.jobs) {
    const auto shape = diffusion::latent_shape(run.pipeline, job.height, job.width);
    if (sizes[0] == wanted && sizes[2] == shape[1] && sizes[3] == shape[2]) continue;
    const std::vector<int64_t> expected{wanted, shape[0], shape[1], shape[2]};
    throw BadInput(run.config.latents + ": expected latents of " + data::shape_text(expected) +
                   " for these images, found " + data::shape_text(sizes) +
                   "; change --count, --height or --width");
  }
}

// Checks the LoRAs of all prompts before the first image.
void check_tagged_loras(SampleRun& run) {
  const diffusion::LoraTarget target = diffusion::lora_target(run.pipeline);
  for (const auto& job : run.jobs) diffusion::check_loras(target, run.shelf->uses(job.loras));
}

// Reads weighted prompts, once for all images; warns of truncated plain prompts.
void resolve_prompts(SampleRun& run) {
  if (run.config.prompt_weighting) {
    for (auto& prompt : run.prompts) {
      for (auto* one : {&prompt.prompt, &prompt.negative_prompt})
        *one = diffusion::weighted_prompt(run.pipeline, one->text);
    }
    return;
  }
  const auto texts = unique_texts(run.prompts);
  for (const auto& warning :
       data::truncation_warnings(run.pipeline.text_encoders[0].tokenizer, texts))
    data::log_warning(warning +
                      (run.pipeline.t5_text ? "" : " (--prompt-weighting supports long prompts)"));
  if (run.pipeline.t5_text) {
    for (const auto& warning : diffusion::t5_truncation_warnings(*run.pipeline.t5_text, texts))
      data::log_warning(warning);
  }
  if (std::any_of(texts.begin(), texts.end(), diffusion::has_weights)) {
    data::log_info(
        "note: weights such as (word:1.2) are plain text; --prompt-weighting parses them as A1111 "
        "does");
  }
}

GroupPlan plan_of(const SampleRun& run, const std::vector<size_t>& group) {
  return plan_group(run.config, run.guide.guide, group, run.finished);
}

std::vector<diffusion::ImageRequest> requests_of(const SampleRun& run, const GroupPlan& plan) {
  std::vector<diffusion::ImageRequest> requests;
  for (const auto& [job, i] : plan.wanted) {
    const SampleJob& asked = run.jobs[job];
    requests.push_back({.prompt = asked.prompt,
                        .negative_prompt = asked.negative_prompt,
                        .seed = asked.seed + static_cast<uint64_t>(i),
                        .latents = {},
                        .source = fitted_image(run.image, asked.height, asked.width)});
    if (!run.latents.defined()) continue;
    requests.back().latents = run.latents[static_cast<int64_t>(job) * run.config.best_of + i];
  }
  return requests;
}

diffusion::SamplerOptions sampler_options(const SampleRun& run, int64_t steps) {
  return {.sampler = run.choice.sampler, .steps = steps, .eta = run.config.eta};
}

diffusion::GenerateOptions options_of(const SampleRun& run, const SampleJob& job) {
  const auto& conditions = run.config.conditions;
  return {.sampler = sampler_options(run, job.steps),
          .guidance = {.scale = job.cfg_scale,
                       .image_scale = conditions.image_guidance_scale,
                       .rescale = conditions.guidance_rescale},
          .sizes = run.sizes,
          .height = job.height,
          .width = job.width,
          .clip_skip = run.config.clip_skip,
          .prompt_weighting = run.config.prompt_weighting};
}

void run_group(const SampleRun& run,
               const std::vector<size_t>& group,
               Progress& progress,
               SampleWriter& writer) {
  const SampleJob& first = run.jobs[group[0]];
  const GroupPlan plan = plan_of(run, group);
  if (plan.wanted.empty()) return;
  const auto requests = requests_of(run, plan);
  diffusion::GenerateOptions options = options_of(run, first);
  options.micro_batch = plan.micro_batch;
  options.sampler.on_step = [&](int64_t) { progress.advance(); };
  diffusion::Pipeline pipeline = run.pipeline;  // the copy shares unchanged weights
  if (!first.loras.empty()) diffusion::apply_loras(pipeline, run.shelf->uses(first.loras));
  generate_guided(run.guide, pipeline, requests, options, [&](const auto& batch) {
    for (int64_t row = 0; row < batch.images.size(0); ++row) {
      const Wanted& one = plan.wanted[static_cast<size_t>(batch.first) + static_cast<size_t>(row)];
      writer.take(one.job, one.candidate,
                  {.image = batch.images[row],
                   .initial = batch.initial[row],
                   .latents = batch.latents[row]});
    }
  });
}

// The number of network calls, each a step of the progress bar. Throws BadInput for steps that do
// not fit the schedule.
int64_t total_calls(const SampleRun& run, const std::vector<std::vector<size_t>>& groups) {
  int64_t total = 0;
  for (const auto& group : groups) {
    const SampleJob& job = run.jobs[group[0]];
    const auto shape = diffusion::latent_shape(run.pipeline, job.height, job.width);
    const auto schedule = diffusion::make_schedule(run.pipeline.scheduler,
                                                   diffusion::image_tokens(run.pipeline, shape));
    const auto options = sampler_options(run, job.steps);
    total += plan_of(run, group).batches() * diffusion::network_calls(schedule, options);
  }
  return total;
}

WriterOptions writer_options(const SampleRun& run, at::Device device) {
  const SampleConfig& config = run.config;
  WriterOptions options{.output_dir = config.output_dir,
                        .first_number = config.resume ? 0 : next_number(config.output_dir),
                        .best_of = search_of(run.guide.guide) ? 1 : config.best_of,
                        .joint = candidates_of(run.guide.guide) > 1,
                        .mark = !config.no_provenance,
                        .finished = run.finished};
  if (!config.reward.empty()) {
    options.rewards = rewards::make_rewards(config.reward, reward_sources(config.sources, device));
  }
  options.base.sampler = diffusion::sampler_label(run.choice);
  options.base.model =
      model_name(config.unet.empty() ? run.pipeline.source : fs::path(config.unet));
  if (!config.guide.guide.empty()) options.base.extra.push_back({"Guide", config.guide.guide});
  if (run.guide.value) options.base.extra.push_back({"Guide value", guide_value_text(run.guide)});
  for (const auto& delta : run.guide.deltas) options.base.extra.push_back({"Delta", delta.name});
  if (!run.guide.skipped.layers.empty())
    options.base.extra.push_back({"Skipped layers", skipped_layers_text(run.guide.skipped)});
  if (config.eta > 0) options.base.extra.push_back({"Eta", data::short_number(config.eta)});
  if (config.clip_skip > 0)
    options.base.extra.push_back({"Clip skip", std::to_string(config.clip_skip + 1)});
  if (config.prompt_weighting) options.base.extra.push_back({"Prompt weighting", "A1111"});
  if (!config.timestep_spacing.empty())
    options.base.extra.push_back({"Spacing", config.timestep_spacing});
  const auto loras = parse_lora_choices(config.lora, config.lora_scale, config.lora_dir);
  if (!loras.empty()) options.base.extra.push_back({"Lora", lora_text(loras)});
  const auto conditions = condition_parameters(config.conditions, run.pipeline);
  for (const auto& [name, value] : conditions) options.base.extra.push_back({name, value});
  for (const auto& [name, value] : diffusion::t5_parameters(run.pipeline))
    options.base.extra.push_back({name, value});
  const auto told = diffusion::traits(run.pipeline.network).guidance;
  if (told)  // under the name that web UIs have for it
    options.base.extra.push_back({"Distilled CFG Scale", data::short_number(*told)});
  // A graph of text to image alone: of other images ComfyUI reads the parameters.
  if (!config.no_workflow && !told && conditions.empty() && config.unet.empty() &&
      config.latents.empty() && run.guide.deltas.empty() && run.guide.skipped.layers.empty())
    options.comfy = {.checkpoint = options.base.model + ".safetensors",
                     .choice = run.choice,
                     .clip_skip = config.clip_skip,
                     .loras = loras};
  options.base.extra.push_back({"laurel", kVersion});
  return options;
}

std::string images_text(size_t count) {
  return std::to_string(count) + (count == 1 ? " image" : " images");
}

void make_images(SampleRun& run, const Placement& placement) {
  WriterOptions options = writer_options(run, placement.device);
  options.model_digest =
      std::async(std::launch::async, data::cached_sha256_of_file,
                 weights_of(run.config, run.pipeline), data::user_cache_folder());
  run.guide.rewards = options.rewards;
  run.guide.log = (fs::path(run.config.output_dir) / "guide.jsonl").string();
  check_guide(run.guide, sampler_options(run, run.jobs.front().steps));
  SampleWriter writer(run.jobs, options);
  const auto groups = group_jobs(run.jobs);
  const auto start = std::chrono::steady_clock::now();
  {
    const PrecisionScope precision(placement);
    Progress progress("Sampling " + images_text(run.jobs.size()), total_calls(run, groups));
    for (const auto& group : groups) run_group(run, group, progress, writer);
  }
  if (!run.config.save_latents.empty()) writer.save_latents(run.config.save_latents);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double rate = static_cast<double>(writer.written()) / seconds;
  std::cout << images_text(writer.written()) << " in "
            << (fs::path(run.config.output_dir) / "").string() << ", "
            << data::short_number(std::round(seconds * 10) / 10) << " s ("
            << data::short_number(std::round(rate * 100) / 100) << " per second)\n";
  if (const std::string scores = writer.score_summary(); !scores.empty())
    std::cout << scores << "\n";
}

// Chooses batch size, tiling and the blocks that stay in their file for the job with the most
// pixels.
void fit_memory(SampleRun& run, const Placement& placement) {
  SampleConfig& config = run.config;
  diffusion::Network& network = run.pipeline.network;
  const bool streams = !diffusion::streamed_bytes(network).empty();
  if (streams && placement.compute != at::kFloat)
    network = diffusion::with_compute_dtype(network, placement.compute);
  const PrecisionScope precision(streams ? placement : Placement());
  const auto elements = [&](const SampleJob& job) {
    const auto shape = diffusion::latent_shape(run.pipeline, job.height, job.width);
    return shape[1] * shape[2];
  };
  const SampleJob& job = *std::max_element(
      run.jobs.begin(), run.jobs.end(),
      [&](const SampleJob& a, const SampleJob& b) { return elements(a) < elements(b); });
  const MemoryFit fit = fit_generation(
      run.pipeline, options_of(run, job),
      {.prompt = job.prompt, .negative_prompt = job.negative_prompt, .seed = 0, .latents = {}},
      {.bytes = memory_limit(config.max_memory, placement.device),
       .batch_size = micro_batch_of(config, run.jobs.size() * static_cast<size_t>(config.best_of)),
       .tile_size = config.vae_tile_size,
       .told = !config.max_memory.empty()});
  config.batch_size = guided_batch(run.guide.guide, fit.batch_size);
  config.vae_tiling = fit.tiled;
  // The trial's prompt was encoded in fp32. Those of a streamed network stay: their encoders left.
  if (!streams) run.pipeline.cache = diffusion::make_prompt_cache();
}

// For the size of the first job.
void prepack_network(SampleRun& run, at::ScalarType compute) {
  diffusion::GenerateOptions options = options_of(run, run.jobs.front());
  options.micro_batch = plan_of(run, group_jobs(run.jobs).front()).micro_batch;
  diffusion::prepack(run.pipeline, options, compute);
}

// Loads the model, then sets the options that the user left open.
void open_run(SampleRun& run, const Options& options, at::Device device) {
  SampleConfig& config = run.config;
  run.prepacked = device.is_cpu() && can_prepack(config, run.prompts);
  config.checkpoint.holding = {.streamed = can_stream(config, run.prompts),
                               .as_stored = run.prepacked && config.lora.empty()};
  run.pipeline = load_sample_model(config, device);
  run.guide.deltas = load_deltas(config.deltas, run.pipeline);
  run.guide.skipped = read_skipped_layers(config.skipped, run.pipeline);
  open_guide_value(run.pipeline, run.guide, config.reward);
  add_embeddings(config.embedding, unique_texts(run.prompts), run.pipeline);
  if (options.given("max_sequence_length"))
    diffusion::set_max_sequence_length(run.pipeline, config.max_sequence_length);
  run.choice =
      resolve_sampler(config.sampling_method, config.timestep_spacing, config.eta, run.pipeline);
  run.sizes = size_conditions(config.conditions, run.pipeline);
  run.image = source_image(config.conditions, run.pipeline);
  resolve_family(config, {options.given("steps"), options.given("cfg_scale")}, run.image,
                 run.pipeline);
  resolve_latents(run, options.given("count"));
  resolve_prompts(run);
}

void plan_run(SampleRun& run) {
  run.jobs = plan_jobs(run.prompts, run.config, std::random_device{}() & 0x7FFFFFFF);
  std::set<std::string> warnings;
  for (const auto& job : run.jobs) {
    diffusion::latent_shape(run.pipeline, job.height, job.width);  // throws for a bad size
    warnings.insert(finetune::guidance_warning(run.pipeline.source, job.cfg_scale));
  }
  for (const auto& warning : warnings)
    if (!warning.empty()) data::log_warning(warning);
  check_latents(run);
  check_tagged_loras(run);
  run.finished.assign(run.jobs.size(), false);
  if (!run.config.resume) return;
  run.finished = finished_jobs(run.config.output_dir, run.jobs, run.config.best_of);
  const auto done = std::count(run.finished.begin(), run.finished.end(), true);
  data::log_info(images_text(static_cast<size_t>(done)) + " of the run are there already");
}

int sample_command(const std::vector<std::string>& arguments) {
  SampleRun run;
  SampleConfig& config = run.config;
  Options options("sample",
                  "Samples images from prompts (PNG files with the settings in their `parameters` "
                  "text).",
                  "[PROMPT...]");
  declare_sample(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  config.prompt.insert(config.prompt.end(), parsed.positional.begin(), parsed.positional.end());
  check_sample(config);
  resolve_guide(config);
  run.guide.guide = parse_guide(config.guide.guide);
  run.guide.config = config.guide;
  run.prompts = read_sample_prompts(config);  // throws for bad prompts before a model is loaded
  const Placement placement = open_device(config.device);
  open_run(run, options, placement.device);
  plan_run(run);
  if (config.checkpoint.holding.streamed) {
    const PrecisionScope precision(placement);
    encode_texts(run.jobs, config.clip_skip, run.pipeline);
  }
  if (!config.max_memory.empty() || !placement.device.is_cpu()) fit_memory(run, placement);
  if (run.prepacked) prepack_network(run, placement.compute);
  const data::FolderLock lock =
      config.resume ? data::FolderLock(config.output_dir) : data::FolderLock();
  const std::string settings = options.resolved();
  if (config.resume) check_same_settings(config.output_dir, settings);
  data::write_file(fs::path(config.output_dir) / "config.toml", settings);
  const std::string batch = std::to_string(micro_batch_of(config, kMicroBatch));
  with_advice("laurel sample", "--batch_size (now " + batch + ") or the size, or use --vae_tiling",
              [&] { make_images(run, placement); });
  return 0;
}

}  // namespace

const Command kSample{"sample", "sample images from prompts; keep the best of several",
                      sample_command};

}  // namespace tools
