#include "tools/sample/memory_fit.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "diffusion/networks/streaming.hpp"

namespace tools {
namespace {

constexpr int64_t kPixelUnit = 64;     // of suggested sizes
constexpr int64_t kLargePixels = 256;  // larger images are measured at half their sides

// Peak memory of sampling, in bytes, above what is resident before.
struct Need {
  double tensors = 0;
  double beside = 0;  // of the matrix libraries, from the growth of the process
};

at::Device device_of(const diffusion::Pipeline& pipeline) {
  return diffusion::device_of(pipeline.network);
}

// The memory of `images` images in one step, with sides divided by `shrink`.
Need need_of(const diffusion::Pipeline& pipeline,
             diffusion::GenerateOptions options,
             diffusion::ImageRequest request,
             int64_t images,
             int64_t shrink) {
  options.height /= shrink;
  options.width /= shrink;
  options.micro_batch = images;
  options.strength = 1;
  options.sampler = {.steps = 1};
  if (diffusion::edits_images(pipeline))
    request.source = at::zeros({3, options.height, options.width});
  request.change.reset();
  request.latents.reset();
  const std::vector<diffusion::ImageRequest> requests(static_cast<size_t>(images), request);
  const at::Device device = device_of(pipeline);
  data::reset_peak_memory();
  const double resident = data::resident_memory();
  const auto tensors = static_cast<double>(data::peak_bytes(device, [&] {
    diffusion::generate(pipeline, requests, options, [](const diffusion::GeneratedBatch&) {});
  }));
  if (!device.is_cpu()) return {tensors, data::kMatrixBuffers};
  return {tensors, std::max(data::kMatrixBuffers, data::peak_memory() - resident - tensors)};
}

[[noreturn]] void refuse(const diffusion::GenerateOptions& asked,
                         double limit,
                         double least,
                         double fixed,
                         double image) {
  throw data::BadInput("max_memory: expected at least " + data::bytes_text(1.02 * least) +
                       " for one image of " + std::to_string(asked.width) + "x" +
                       std::to_string(asked.height) + ", found " + data::bytes_text(limit) + "; " +
                       size_that_fits(asked.width, asked.height, (limit - fixed) / image));
}

// What the first `count` blocks take in memory beside the one that a pass reads.
double kept_bytes(const std::vector<double>& blocks, size_t count) {
  const auto first = static_cast<std::ptrdiff_t>(count);
  const double sum = std::accumulate(blocks.begin(), blocks.begin() + first, 0.0);
  const bool all = count == blocks.size() && !blocks.empty();  // then none is read
  return sum - (all ? *std::max_element(blocks.begin(), blocks.end()) : 0);
}

// ", 20 of 24 blocks are read from the file in every step (8.10 GB)"
std::string streamed_text(const std::vector<double>& blocks, size_t kept) {
  if (kept == blocks.size()) return "";
  const auto first = static_cast<std::ptrdiff_t>(kept);
  return ", " + std::to_string(blocks.size() - kept) + " of " + std::to_string(blocks.size()) +
         " blocks of the network are read from the file in every step (" +
         data::bytes_text(std::accumulate(blocks.begin() + first, blocks.end(), 0.0)) + ")";
}

void tell(const MemoryLimit& limit, const MemoryFit& fit, const std::string& streamed) {
  data::log_info("max_memory " + data::bytes_text(limit.bytes) + ": batch_size " +
                 std::to_string(fit.batch_size) + (fit.tiled ? ", tiled decoding" : "") + streamed +
                 "; forecast peak " + data::bytes_text(fit.peak));
}

}  // namespace

size_t kept_blocks(const std::vector<double>& blocks, double bytes) {
  size_t count = blocks.size();
  while (count > 0 && kept_bytes(blocks, count) > bytes) --count;
  return count;
}

std::string size_that_fits(int64_t width, int64_t height, double share) {
  const double side = std::sqrt(std::max(0.0, std::min(share, 1.0)));
  const auto smaller = [&](int64_t pixels) {
    return static_cast<int64_t>(side * static_cast<double>(pixels)) / kPixelUnit * kPixelUnit;
  };
  const int64_t w = smaller(width), h = smaller(height);
  if (w <= 0 || h <= 0)
    return "no smaller image fits either: raise the limit, or use a smaller model";
  return "what would fit: about " + std::to_string(w) + "x" + std::to_string(h);
}

MemoryFit fit_generation(diffusion::Pipeline& pipeline,
                         diffusion::GenerateOptions options,
                         diffusion::ImageRequest request,
                         const MemoryLimit& limit) {
  const auto shape = diffusion::latent_shape(pipeline, options.height, options.width);
  options.height = shape[1] * diffusion::vae_factor(pipeline.vae.config);
  options.width = shape[2] * diffusion::vae_factor(pipeline.vae.config);
  const bool large = std::min(options.height, options.width) > kLargePixels && shape[1] % 16 == 0 &&
                     shape[2] % 16 == 0;
  const int64_t shrink = large ? 2 : 1;
  const double resident = data::used_memory(device_of(pipeline));
  const Need one = need_of(pipeline, options, request, 1, shrink),
             two = need_of(pipeline, options, request, 2, shrink);
  const double each = std::max(0.0, two.tensors - one.tensors);
  const double area = static_cast<double>(shrink * shrink);
  const double fixed =
      resident + std::max(0.0, one.tensors - each) + area * std::max(one.beside, two.beside);
  const auto total = [&](int64_t batch) {
    return fixed + area * each * static_cast<double>(batch);
  };
  const auto blocks = diffusion::streamed_bytes(pipeline.network);
  const double in_file = kept_bytes(blocks, blocks.size());
  const bool tiled = pipeline.vae.tile_size > 0;
  MemoryFit fit{.batch_size = limit.batch_size, .tiled = tiled};
  while (fit.batch_size > 1 && total(fit.batch_size) + in_file > limit.bytes) fit.batch_size /= 2;
  fit.peak = total(fit.batch_size);
  if (fit.peak > limit.bytes && !fit.tiled) {
    diffusion::enable_tiling(pipeline.vae, limit.tile_size);
    fit.tiled = true;
    const Need whole = need_of(pipeline, options, request, 1, 1);
    fit.peak = resident + whole.tensors + whole.beside;
  }
  if (fit.peak > limit.bytes) refuse(options, limit.bytes, fit.peak, fixed, area * each);
  const size_t kept = kept_blocks(blocks, limit.bytes - fit.peak);
  fit.peak += kept_bytes(blocks, kept);
  diffusion::keep_blocks(pipeline.network, kept);
  const bool as_asked = !limit.told && fit.batch_size == limit.batch_size && fit.tiled == tiled;
  if (!as_asked) tell(limit, fit, streamed_text(blocks, kept));
  return fit;
}

}  // namespace tools
