#include "tools/sample_memory.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iostream>

#include "data/error.hpp"
#include "data/memory.hpp"
#include "diffusion/generate.hpp"

namespace tools {
namespace {

constexpr int64_t kLargePixels = 256;  // larger images are measured at half their sides

// Bytes of tensors at once while `images` images of one step are made.
double peak_of(const diffusion::Pipeline& pipeline,
               const SampleJob& job,
               int64_t images,
               int64_t shrink) {
  const diffusion::GenerateOptions options{
      .sampler = {.sampler = diffusion::Sampler::kDdim, .steps = 1},
      .guidance = job.cfg_scale,
      .height = job.height / shrink,
      .width = job.width / shrink,
      .micro_batch = images};
  const std::vector<diffusion::ImageRequest> requests(
      static_cast<size_t>(images),
      {.prompt = job.prompt, .negative_prompt = job.negative_prompt, .seed = 0, .latents = {}});
  return static_cast<double>(data::peak_tensor_bytes([&] {
    diffusion::generate(pipeline, requests, options, [](const diffusion::GeneratedBatch&) {});
  }));
}

// The job with the most pixels, its size filled in.
SampleJob largest_job(const diffusion::Pipeline& pipeline, const std::vector<SampleJob>& jobs) {
  SampleJob largest;
  for (SampleJob job : jobs) {
    const int64_t native = diffusion::native_size(pipeline);
    if (job.height == 0) job.height = native;
    if (job.width == 0) job.width = native;
    if (job.height * job.width > largest.height * largest.width) largest = job;
  }
  return largest;
}

}  // namespace

void fit_sample_memory(SampleConfig& config,
                       diffusion::Pipeline& pipeline,
                       const std::vector<SampleJob>& jobs) {
  const double limit = data::parse_bytes(config.max_memory, "max_memory");
  const SampleJob job = largest_job(pipeline, jobs);
  const int64_t factor = 2 * 8 * diffusion::vae_factor(pipeline.vae.config);
  const bool large = std::min(job.height, job.width) > kLargePixels && job.height % factor == 0 &&
                     job.width % factor == 0;
  const int64_t shrink = large ? 2 : 1;
  const double kept = data::resident_memory() + data::kMatrixBuffers;
  const double one = peak_of(pipeline, job, 1, shrink),
               each = std::max(0.0, peak_of(pipeline, job, 2, shrink) - one);
  const double fixed = kept + std::max(0.0, one - each);
  const double area = static_cast<double>(shrink * shrink);
  const auto total = [&](int64_t batch) {
    return fixed + area * each * static_cast<double>(batch);
  };
  int64_t batch = micro_batch_of(config, jobs.size() * static_cast<size_t>(config.best_of));
  while (batch > 1 && total(batch) > limit) batch /= 2;
  double peak = total(batch);
  if (peak > limit && pipeline.vae.tile_size == 0) {
    diffusion::enable_tiling(pipeline.vae, config.vae_tile_size);
    config.vae_tiling = true;
    peak = kept + peak_of(pipeline, job, 1, 1);
  }
  if (peak > limit) {
    throw data::BadInput("max_memory: expected at least " + data::bytes_text(1.02 * peak) +
                         " for one image of " + std::to_string(job.width) + "x" +
                         std::to_string(job.height) + ", found " + data::bytes_text(limit) +
                         "; allow more, or make smaller images");
  }
  config.batch_size = batch;
  std::cerr << "max_memory " << data::bytes_text(limit) << ": batch_size " << batch
            << (config.vae_tiling ? ", tiled decoding" : "") << "; forecast peak "
            << data::bytes_text(peak) << "\n";
}

}  // namespace tools
