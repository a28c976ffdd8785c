#pragma once

// Prompts and seeds in, images out.

#include <functional>
#include <string>
#include <vector>

#include "diffusion/pipeline/edit_conditioning.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

struct ImageRequest {
  Prompt prompt;
  Prompt negative_prompt;  // in place of the empty prompt of guidance
  uint64_t seed = 0;
  at::Tensor
      latents;  // [C, h, w] initial noise, standard normal, or undefined: drawn from the seed
  at::Tensor source{};  // [3, H, W] in [0, 1] the image to edit; for editing models alone
  // [1, H, W] mask: 1 where the source is edited, 0 where it is kept; undefined: edited everywhere
  at::Tensor change{};
  RewardRequest reward{};      // of models that read it: the reward that the edit should get,
  RewardRequest reward_low{};  // and the one that reward guidance leads away from
  std::string caption{};       // of the image, for guides; "": the prompt's text
};

// What leads a micro-batch beside its conditions.
struct BatchGuide {
  // The denoiser to sample with, from the guided one. Empty: that one.
  std::function<Denoiser(const Denoiser& denoiser)> around{};
  std::function<at::Tensor(const SamplerCallState& state)> select{};  // of SamplerOptions
  std::function<at::Tensor()> unmoved{};                              // of SamplerOptions
  bool differentiates = false;  // the denoiser, whose calls are then not captured as a graph
};

struct GenerateOptions {
  SamplerOptions sampler{};
  GuidanceOptions guidance{};
  double strength = 1;            // below 1: an edit begins at its source, see sample_from
  SizeConditions sizes{};         // SDXL
  int64_t height = 0, width = 0;  // pixels, multiples of pixel_unit(); 0: the model's own
  int64_t micro_batch = 8;        // images computed together, 1..
  int64_t clip_skip = 0;          // last layers of the text encoder left out
  bool prompt_weighting = false;  // prompts are read as A1111 does: see weighted_prompt
  // Of the requests of a micro-batch, filled up. Empty: none. An image then depends on the others
  // of its micro-batch as far as the guide lets it.
  std::function<BatchGuide(const std::vector<ImageRequest>& batch)> guide{};
};

struct GeneratedBatch {
  size_t first = 0;    // of the requests
  at::Tensor initial;  // [b, C, h, w] the initial noise, standard normal
  at::Tensor latents;  // [b, C, h, w] x0, unit variance
  at::Tensor images;   // [b, 3, H, W] in [0, 1]
};
// Called for each micro-batch, in order; its tensors are on the CPU.
using OnBatch = std::function<void(const GeneratedBatch& batch)>;

// Generates an image for each request. As in diffusers' StableDiffusionPipeline with
// generator=[torch.Generator().manual_seed(seed), ...], the same weights, seed and settings give
// the same image. An image depends on its own request alone: the last micro-batch is filled up with
// copies, so that its kernels see the same shapes, and at one micro-batch size the bits are the
// same at every position. Throws BadInput for sizes that do not fit the model, and for a source
// image that is missing for an editing model, or given to another model.
void generate(const Pipeline& pipeline,
              const std::vector<ImageRequest>& requests,
              const GenerateOptions& options,
              const OnBatch& on_batch);

// Gives a network on the CPU, of whichever types its weights are, the form in which it generates
// fastest with these options, its products in `compute`. It takes the time that three or four calls
// of the network save. The weights cannot be trained, saved or merged with LoRAs afterwards
// (networks/prepack.hpp).
void prepack(Pipeline& pipeline, const GenerateOptions& options, at::ScalarType compute);

// The guided network of a micro-batch, as `generate` samples with it. Throws as it does.
Denoiser batch_denoiser(const Pipeline& pipeline,
                        const std::vector<ImageRequest>& batch,
                        const GenerateOptions& options);

// {C, h, w} of the latents of such an image. Throws BadInput as above.
std::vector<int64_t> latent_shape(const Pipeline& pipeline, int64_t height, int64_t width);
// Patches of such latents: what a dynamic shift of flow matching follows (make_schedule).
int64_t image_tokens(const Pipeline& pipeline, const std::vector<int64_t>& latent_shape);

}  // namespace diffusion
