#include "diffusion/pipeline/generate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/device/precision.hpp"
#include "diffusion/networks/prepack.hpp"
#include "diffusion/networks/streaming.hpp"
#include "diffusion/pipeline/inpaint_mask.hpp"

namespace diffusion {
namespace {

constexpr int64_t kCapturedRows = 4;

// `count` requests from `first` on; the last request is repeated where there are fewer.
std::vector<ImageRequest> filled(const std::vector<ImageRequest>& requests,
                                 size_t first,
                                 size_t count) {
  std::vector<ImageRequest> batch;
  for (size_t i = 0; i < count; ++i)
    batch.push_back(requests[std::min(first + i, requests.size() - 1)]);
  return batch;
}

std::vector<uint64_t> seeds_of(const std::vector<ImageRequest>& requests) {
  std::vector<uint64_t> seeds;
  for (const auto& request : requests) seeds.push_back(request.seed);
  return seeds;
}

// The given latents, or the generator's first draw where none are given.
at::Tensor initial_noise(const std::vector<ImageRequest>& batch,
                         std::vector<at::Generator>& generators,
                         at::IntArrayRef shape) {
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].latents.defined()) {
      data::check_shape(batch[i].latents, {shape[0], shape[1], shape[2]}, "generate: latents");
      rows.push_back(batch[i].latents.cpu().to(at::kFloat).unsqueeze(0));
    } else {
      std::vector<at::Generator> own{generators[i]};  // shares the generator's state
      rows.push_back(draw_noise(own, shape, at::kCPU));
    }
  }
  return at::cat(rows);
}

std::vector<Prompt> prompts_of(const Pipeline& pipeline,
                               const std::vector<ImageRequest>& batch,
                               Prompt ImageRequest::*member,
                               bool weighting) {
  std::vector<Prompt> prompts;
  for (const auto& request : batch) {
    const Prompt& prompt = request.*member;
    const bool unread = weighting && prompt.chunks.empty();
    prompts.push_back(unread ? weighted_prompt(pipeline, prompt.text) : prompt);
  }
  return prompts;
}

std::vector<RewardRequest> requests_of(const std::vector<ImageRequest>& batch,
                                       RewardRequest ImageRequest::*reward) {
  std::vector<RewardRequest> requests;
  for (const auto& request : batch) requests.push_back(request.*reward);
  return requests;
}

at::Tensor sources_of(const std::vector<ImageRequest>& batch) {
  std::vector<at::Tensor> images;
  for (const auto& request : batch) images.push_back(request.source.to(at::kFloat));
  return at::stack(images);
}

// Ones for the images of a batch that are edited everywhere; undefined when all are.
at::Tensor changes_of(const std::vector<ImageRequest>& batch) {
  std::vector<at::Tensor> changes;
  bool any = false;
  for (const auto& request : batch) {
    any = any || request.change.defined();
    if (!request.source.defined()) continue;
    changes.push_back(request.change.defined() ? request.change
                                               : at::ones_like(request.source.slice(0, 0, 1)));
  }
  return any ? at::stack(changes) : at::Tensor();
}

// The mode of the source images' latents, without scaling_factor: as InstructPix2Pix was trained.
at::Tensor source_latents(const Pipeline& pipeline,
                          const std::vector<ImageRequest>& batch,
                          at::IntArrayRef pixels) {
  for (const auto& request : batch) {
    if (!request.source.defined()) {
      throw data::BadInput("prompt \"" + request.prompt.text + "\": " + pipeline.class_name +
                           " changes an image: expected one, found none; give --image FILE");
    }
    data::check_shape(request.source, {3, pixels[0], pixels[1]}, "generate: source");
  }
  const at::Device device = device_of(pipeline.network);
  return vae_encode(pipeline.vae, sources_of(batch).to(device) * 2 - 1).mean;
}

Conditioning conditions_of(const Pipeline& pipeline,
                           const std::vector<ImageRequest>& batch,
                           const GenerateOptions& options,
                           at::IntArrayRef pixels) {
  const at::Device device = device_of(pipeline.network);
  TextOptions text{.clip_skip = options.clip_skip, .weighting = options.prompt_weighting};
  const auto prompts = prompts_of(pipeline, batch, &ImageRequest::prompt, text.weighting),
             negatives =
                 prompts_of(pipeline, batch, &ImageRequest::negative_prompt, text.weighting);
  for (const auto* all : {&prompts, &negatives}) {  // one length for both
    for (const Prompt& prompt : *all) text.chunks = std::max(text.chunks, chunk_count(prompt));
  }
  Conditioning conditions;
  conditions.text = to_device(encode_prompts(pipeline, prompts, text), device);
  if (guidance_batch(traits(pipeline.network), options.guidance) != GuidanceBatch::kPrompt)
    conditions.negative = to_device(encode_negatives(pipeline, negatives, text), device);
  if (is_xl(pipeline))
    conditions.time_ids = time_ids(options.sizes, pixels[0], pixels[1]).to(device);
  if (edits_images(pipeline)) conditions.image_latents = source_latents(pipeline, batch, pixels);
  if (traits(pipeline.network).reads_reward) {
    conditions.reward = reward_condition(pipeline, requests_of(batch, &ImageRequest::reward));
    conditions.reward_low =
        reward_condition(pipeline, requests_of(batch, &ImageRequest::reward_low));
  }
  return conditions;
}

// CUDA graphs pay where launching the network's operations takes longer than their arithmetic: in
// small batches. A graph keeps the memory of its activations for as long as it lives.
GraphCapture graph_capture_for(const Pipeline& pipeline,
                               size_t batch,
                               const GuidanceOptions& guidance) {
  const int64_t rows = static_cast<int64_t>(batch) *
                       branch_count(guidance_batch(traits(pipeline.network), guidance));
  if (!streamed_bytes(pipeline.network).empty()) return {};  // a graph cannot read files
  return rows <= kCapturedRows ? cuda_graph_capture(device_of(pipeline.network)) : GraphCapture();
}

// The pipeline with a network that computes in the device's type.
Pipeline with_product_type(const Pipeline& pipeline) {
  const auto type = data::product_type(device_of(pipeline.network).type());
  Pipeline typed = pipeline;
  if (type != at::kFloat) typed.network = with_compute_dtype(pipeline.network, type);
  return typed;
}

GeneratedBatch generate_batch(const Pipeline& pipeline,
                              const NoiseSchedule& schedule,
                              const std::vector<ImageRequest>& batch,
                              const GenerateOptions& options) {
  const at::Device device = device_of(pipeline.network);
  const auto shape = latent_shape(pipeline, options.height, options.width);
  const int64_t factor = vae_factor(pipeline.vae.config);
  auto generators = image_generators(seeds_of(batch));
  const at::Tensor initial = initial_noise(batch, generators, shape);  // [B, C, h, w]
  const Conditioning conditions =
      conditions_of(pipeline, batch, options, {shape[1] * factor, shape[2] * factor});
  const BatchGuide guide = options.guide ? options.guide(batch) : BatchGuide();
  const GraphCapture capture = guide.differentiates
                                   ? GraphCapture()
                                   : graph_capture_for(pipeline, batch.size(), options.guidance);
  Denoiser denoiser = guided_denoiser(pipeline.network, conditions, options.guidance, capture);
  const at::Tensor change = changes_of(batch);  // [B, 1, H, W]
  InitialImage start{.latents = {}, .strength = options.strength};
  if (change.defined() || options.strength < 1)
    start.latents = scaled_latents(pipeline.vae.config, conditions.image_latents);
  if (change.defined()) {
    const at::Tensor small = at::adaptive_avg_pool2d(change.to(device), {shape[1], shape[2]});
    denoiser = masked_denoiser(denoiser, schedule, {small, start.latents});
  }
  if (options.strength >= 1) start.latents.reset();
  SamplerOptions sampler = options.sampler;
  if (guide.around) denoiser = guide.around(denoiser);
  if (guide.select) sampler.select = guide.select;
  sampler.unmoved = guide.unmoved;
  const at::Tensor x0 =
      sample_from(start, denoiser, initial.to(device), schedule, generators, sampler);
  at::Tensor images = latents_to_images(pipeline.vae, x0.to(at::kFloat)).to(at::kFloat).cpu();
  if (change.defined()) images = change * images + (1 - change) * sources_of(batch);
  return {.first = 0, .initial = initial, .latents = x0.cpu(), .images = images};
}

void check_sources(const Pipeline& pipeline, const std::vector<ImageRequest>& requests) {
  if (edits_images(pipeline)) return;
  for (const auto& request : requests) {
    if (!request.source.defined()) continue;
    throw data::BadInput("--image: " + pipeline.class_name +
                         " makes images from text alone; leave it out, or name an InstructPix2Pix "
                         "model");
  }
}

}  // namespace

Denoiser batch_denoiser(const Pipeline& pipeline,
                        const std::vector<ImageRequest>& batch,
                        const GenerateOptions& options) {
  const Pipeline typed = with_product_type(pipeline);
  const auto shape = latent_shape(typed, options.height, options.width);
  const int64_t factor = vae_factor(typed.vae.config);
  return guided_denoiser(
      typed.network, conditions_of(typed, batch, options, {shape[1] * factor, shape[2] * factor}),
      options.guidance);
}

std::vector<int64_t> latent_shape(const Pipeline& pipeline, int64_t height, int64_t width) {
  const int64_t factor = vae_factor(pipeline.vae.config), unit = pixel_unit(pipeline);
  const int64_t native = native_size(pipeline);
  const int64_t rows = height == 0 ? native : height, columns = width == 0 ? native : width;
  if (rows < unit || columns < unit || rows % unit != 0 || columns % unit != 0) {
    throw data::BadInput("size: expected multiples of " + std::to_string(unit) + " pixels, found " +
                         std::to_string(columns) + "x" + std::to_string(rows));
  }
  const int64_t most = traits(pipeline.network).most_patches * unit;
  if (most > 0 && (rows > most || columns > most)) {
    throw data::BadInput("size: expected at most " + std::to_string(most) +
                         " pixels a side, which the network has positions for, found " +
                         std::to_string(columns) + "x" + std::to_string(rows));
  }
  return {pipeline.vae.config.latent_channels, rows / factor, columns / factor};
}

int64_t image_tokens(const Pipeline& pipeline, const std::vector<int64_t>& latent_shape) {
  const int64_t patch = traits(pipeline.network).patch_size;
  return (latent_shape[1] / patch) * (latent_shape[2] / patch);
}

void prepack(Pipeline& pipeline, const GenerateOptions& options, at::ScalarType compute) {
  const auto latents = latent_shape(pipeline, options.height, options.width);
  const int64_t branches = branch_count(guidance_batch(traits(pipeline.network), options.guidance));
  prepack(pipeline.network, {options.micro_batch * branches, latents[1], latents[2]}, compute);
}

void generate(const Pipeline& pipeline,
              const std::vector<ImageRequest>& requests,
              const GenerateOptions& options,
              const OnBatch& on_batch) {
  TORCH_CHECK(options.micro_batch >= 1, "generate: micro_batch must be >= 1, got ",
              options.micro_batch);
  check_sources(pipeline, requests);
  const at::NoGradGuard no_grad;
  const auto shape = latent_shape(pipeline, options.height, options.width);
  const NoiseSchedule schedule = make_schedule(pipeline.scheduler, image_tokens(pipeline, shape));
  const Pipeline typed = with_product_type(pipeline);
  const auto size = static_cast<size_t>(options.micro_batch);
  for (size_t first = 0; first < requests.size(); first += size) {
    GeneratedBatch batch = generate_batch(typed, schedule, filled(requests, first, size), options);
    const auto count = static_cast<int64_t>(std::min(size, requests.size() - first));
    batch.first = first;
    for (at::Tensor* tensor : {&batch.initial, &batch.latents, &batch.images}) {
      *tensor = tensor->slice(0, 0, count);
    }
    on_batch(batch);
  }
}

}  // namespace diffusion
