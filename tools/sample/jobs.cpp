#include "tools/sample/jobs.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <tuple>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace tools {

void resolve_family(SampleConfig& config,
                    const GivenOptions& given,
                    const at::Tensor& image,
                    const diffusion::Pipeline& pipeline) {
  if (image.defined()) {
    if (config.height == 0) config.height = fitted_side(image.size(1), pipeline);
    if (config.width == 0) config.width = fitted_side(image.size(2), pipeline);
  }
  if (pipeline.t5_text) {  // as diffusers' StableDiffusion3Pipeline and FluxPipeline
    const bool flux = pipeline.t5_text->alone,
               told = diffusion::traits(pipeline.network).guidance.has_value();
    if (!given.steps) config.steps = flux && !told ? 4 : 28;
    if (!given.cfg_scale) config.cfg_scale = 7;
  }
  if (!given.cfg_scale && pipeline.guidance_scale) config.cfg_scale = *pipeline.guidance_scale;
  warn_of_true_guidance(pipeline, "--cfg_scale", config.cfg_scale);
  if (!diffusion::embeds_guidance(pipeline.network)) return;
  if (!given.steps) config.steps = 4;
  if (!given.cfg_scale) config.cfg_scale = 8.5;
}

int64_t micro_batch_of(const SampleConfig& config, size_t requests) {
  if (config.batch_size > 0) return config.batch_size;
  const int64_t most = std::min<int64_t>(kMicroBatch, static_cast<int64_t>(requests));
  return guided_batch(parse_guide(config.guide.guide), most);
}

void resolve_guide(SampleConfig& config) {
  const Guide guide = parse_guide(config.guide.guide);
  resolve_candidates(guide, config.best_of);
  if (config.batch_size > 0 && guided_batch(guide, config.batch_size) != config.batch_size)
    throw data::BadInput(
        "--batch_size: expected a multiple of the " + std::to_string(candidates_of(guide)) +
        " samples of an image that compete, found " + std::to_string(config.batch_size));
  if (search_of(guide) != nullptr && !config.latents.empty())
    throw data::BadInput("--latents: --guide noise searches for the initial noise; leave one out");
}

std::vector<SampleJob> plan_jobs(const std::vector<SamplePrompt>& prompts,
                                 const SampleConfig& config,
                                 uint64_t random_seed) {
  const uint64_t base = config.seed < 0 ? random_seed : static_cast<uint64_t>(config.seed);
  std::vector<SampleJob> jobs;
  for (const auto& [line, prompt, negative_prompt, loras] : prompts) {
    SampleJob job{.prompt = prompt,
                  .negative_prompt = negative_prompt,
                  .height = line.height.value_or(config.height),
                  .width = line.width.value_or(config.width),
                  .steps = line.steps.value_or(config.steps),
                  .cfg_scale = line.cfg_scale.value_or(config.cfg_scale),
                  .written_prompt = line.prompt,
                  .loras = loras};
    for (int64_t i = 0; i < config.count; ++i) {
      job.seed = line.seed.value_or(base) + static_cast<uint64_t>(i * config.best_of);
      jobs.push_back(job);
    }
  }
  return jobs;
}

namespace {

// Runs of the text encoder for the longer text.
int64_t chunks_of(const SampleJob& job) {
  return std::max(diffusion::chunk_count(job.prompt), diffusion::chunk_count(job.negative_prompt));
}

}  // namespace

std::vector<std::vector<size_t>> group_jobs(const std::vector<SampleJob>& jobs) {
  std::vector<std::vector<size_t>> groups;
  std::map<std::tuple<int64_t, int64_t, int64_t, double, int64_t, std::vector<LoraChoice>>, size_t>
      known;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const auto key = std::make_tuple(jobs[i].height, jobs[i].width, jobs[i].steps,
                                     jobs[i].cfg_scale, chunks_of(jobs[i]), jobs[i].loras);
    const auto [place, added] = known.emplace(key, groups.size());
    if (added) groups.emplace_back();
    groups[place->second].push_back(i);
  }
  return groups;
}

int64_t next_number(const std::string& folder) {
  int64_t next = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const size_t digits = name.find_first_not_of("0123456789");
    if (digits == 0 || digits > 9 || digits == std::string::npos || name[digits] != '-') continue;
    if (entry.path().extension() == ".png") next = std::max<int64_t>(next, std::stoll(name) + 1);
  }
  return next;
}

std::string image_name(int64_t number, uint64_t seed) {
  char text[64];
  std::snprintf(text, sizeof text, "%05lld-%llu.png", static_cast<long long>(number),
                static_cast<unsigned long long>(seed));
  return text;
}

}  // namespace tools
