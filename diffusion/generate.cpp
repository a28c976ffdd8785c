#include "diffusion/generate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/error.hpp"
#include "data/shape.hpp"

namespace diffusion {
namespace {

// Requests `first` .. `first + count` of which the last is repeated where they end before.
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

// Given latents, or the generators' first draw; a given one leaves its generator untouched.
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

std::vector<std::string> texts_of(const std::vector<ImageRequest>& batch,
                                  std::string ImageRequest::*text) {
  std::vector<std::string> texts;
  for (const auto& request : batch) texts.push_back(request.*text);
  return texts;
}

// As many chunks for each text of the batch as the longest needs.
TextOptions text_options(const Pipeline& pipeline,
                         const std::vector<ImageRequest>& batch,
                         const GenerateOptions& options) {
  TextOptions text{.clip_skip = options.clip_skip, .weighting = options.prompt_weighting};
  if (!text.weighting) return text;
  for (const auto& request : batch) {
    text.chunks = std::max({text.chunks, chunk_count(pipeline, request.prompt),
                            chunk_count(pipeline, request.negative_prompt)});
  }
  return text;
}

GeneratedBatch generate_batch(const Pipeline& pipeline,
                              const NoiseSchedule& schedule,
                              const std::vector<ImageRequest>& batch,
                              const GenerateOptions& options) {
  const at::Device device = pipeline.unet.conv_in.weight.device();
  const auto shape = latent_shape(pipeline, options.height, options.width);
  auto generators = image_generators(seeds_of(batch));
  const at::Tensor initial = initial_noise(batch, generators, shape);  // [B, C, h, w]
  const TextOptions text = text_options(pipeline, batch, options);
  const at::Tensor condition =
      encode_prompts(pipeline, texts_of(batch, &ImageRequest::prompt), text).hidden.to(device);
  at::Tensor unconditional;
  if (options.guidance > 1) {
    unconditional =
        encode_negatives(pipeline, texts_of(batch, &ImageRequest::negative_prompt), text)
            .hidden.to(device);
  }
  const Denoiser denoiser =
      guided_denoiser(pipeline.unet, condition, unconditional, options.guidance);
  const at::Tensor x0 = sample(denoiser, initial.to(device), schedule, generators, options.sampler);
  const at::Tensor images = latents_to_images(pipeline.vae, x0.to(at::kFloat));
  return {
      .first = 0, .initial = initial, .latents = x0.cpu(), .images = images.to(at::kFloat).cpu()};
}

}  // namespace

std::vector<int64_t> latent_shape(const Pipeline& pipeline, int64_t height, int64_t width) {
  const int64_t factor = vae_factor(pipeline.vae.config);
  const int64_t native = native_size(pipeline);
  const int64_t rows = height == 0 ? native : height, columns = width == 0 ? native : width;
  if (rows < factor || columns < factor || rows % factor != 0 || columns % factor != 0) {
    throw data::BadInput("size: expected multiples of " + std::to_string(factor) +
                         " pixels, found " + std::to_string(columns) + "x" + std::to_string(rows));
  }
  return {pipeline.unet.config.in_channels, rows / factor, columns / factor};
}

Denoiser guided_denoiser(const UNet& unet,
                         const at::Tensor& condition,
                         const at::Tensor& unconditional,
                         double guidance) {
  const bool guided = guidance > 1;
  TORCH_CHECK(!guided || unconditional.sizes() == condition.sizes(),
              "guided_denoiser: conditions of different shapes");
  const ContextKeys keys =
      context_keys(unet, guided ? at::cat({unconditional, condition}) : condition);
  return [&unet, keys, guided, guidance](const at::Tensor& x, double timestep) {
    const at::Tensor input = guided ? at::cat({x, x}) : x;  // [2 B or B, C, H, W]
    const at::Tensor t = at::full({input.size(0)}, timestep, x.options());
    const at::Tensor output = unet_forward(unet, input, t, keys).to(at::kFloat);
    return guided ? guide(output, guidance) : output;
  };
}

void generate(const Pipeline& pipeline,
              const std::vector<ImageRequest>& requests,
              const GenerateOptions& options,
              const OnBatch& on_batch) {
  TORCH_CHECK(options.micro_batch >= 1, "generate: micro_batch must be >= 1, got ",
              options.micro_batch);
  const at::NoGradGuard no_grad;
  const NoiseSchedule schedule = make_schedule(pipeline.scheduler);
  const auto size = static_cast<size_t>(options.micro_batch);
  for (size_t first = 0; first < requests.size(); first += size) {
    GeneratedBatch batch =
        generate_batch(pipeline, schedule, filled(requests, first, size), options);
    const auto count = static_cast<int64_t>(std::min(size, requests.size() - first));
    batch.first = first;
    for (at::Tensor* tensor : {&batch.initial, &batch.latents, &batch.images}) {
      *tensor = tensor->slice(0, 0, count);
    }
    on_batch(batch);
  }
}

}  // namespace diffusion
