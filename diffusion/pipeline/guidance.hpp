#pragma once

// The network under guidance: a conditioning's rows in every branch, one batch, one prediction.

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/networks/network.hpp"
#include "diffusion/pipeline/conditioning.hpp"
#include "diffusion/pipeline/cuda_graph.hpp"
#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

struct GuidanceOptions {
  double scale = 7.5;         // classifier-free guidance; up to 1: the prompt's prediction alone
  double image_scale = 1.5;   // InstructPix2Pix: of the source image; below 1: no guidance at all
  double reward_scale = 1.0;  // of the requested reward against the low one; 1: no such guidance
  double rescale = 0.0;       // 0..1: towards the prompt's standard deviation (rescaled below)
};

// The network's batch of one step. Guidance combines outputs under several conditions; a branch is
// B rows under one of them.
enum class GuidanceBatch {
  kPrompt,                // [text]: no guidance, or a network that embeds its scale
  kUnconditionalPrompt,   // [uncond; text]: classifier-free guidance
  kPromptImageNone,       // [text; image alone; nothing]: InstructPix2Pix
  kPromptReward,          // [text; text at the low reward]
  kPromptImageNoneReward  // [text; image alone; nothing; text at the low reward]
};
int64_t branch_count(GuidanceBatch branches);
GuidanceBatch guidance_batch(const NetworkTraits& network, const GuidanceOptions& options);
// The rows of all branches from those of one: in [text; image; nothing] the negative text twice.
at::Tensor branch_rows(GuidanceBatch branches, const at::Tensor& text, const at::Tensor& negative);

// `conditioning` with the scale as an input of a network that embeds it (LCM).
Conditioning with_guidance_input(const Network& network,
                                 const Conditioning& conditioning,
                                 const GuidanceOptions& options);

// What the network reads beside x and the timestep, for R = B x branches rows.
struct BranchInputs {
  GuidanceBatch branches = GuidanceBatch::kPrompt;
  PreparedText text;
  ExtraConditions extra;
  at::Tensor image_latents;  // [R, C, h, w] raw latents of source images; undefined: none
};
// `rows`: of `conditioning`, one for each of the B latents; the keys and values of a text are then
// computed once, however many latents share it, and `negative` has 1 row. Empty: latent i has row i
// and a negative of its own.
BranchInputs branch_inputs(const Network& network,
                           const Conditioning& conditioning,
                           GuidanceBatch branches,
                           const std::vector<int64_t>& rows = {});

// The network's output in every branch. x: [B, C, h, w]; t: [R] the timesteps -> [R, C, h, w]
at::Tensor branch_outputs(const Network& network,
                          const at::Tensor& x,
                          const at::Tensor& t,
                          const BranchInputs& inputs);
// The branches' outputs combined by guidance. -> [B, C, h, w] fp32, also where the network computes
// in reduced precision.
at::Tensor guided_forward(const Network& network,
                          const at::Tensor& x,
                          const at::Tensor& t,
                          const BranchInputs& inputs,
                          const GuidanceOptions& options);
// The same as a sampler calls it, for B = the conditioning's rows. The keys and values of the text
// are computed here, once. `capture`: of its calls as a CUDA graph; empty: none.
Denoiser guided_denoiser(const Network& network,
                         const Conditioning& conditioning,
                         const GuidanceOptions& options,
                         const GraphCapture& capture = {});

// Classifier-free guidance (Ho and Salimans 2022, in diffusers' weighting):
// uncond + weight (cond - uncond). output: [2 B, C, H, W], the unconditional half first.
at::Tensor guide(const at::Tensor& output, double weight);
// The addend of guidance by reward: (reward_scale - 1) (text - low). output: [2 B or 4 B,
// C, H, W], text first, text at the low reward last. -> [B, C, H, W]
at::Tensor reward_push(const at::Tensor& output, int64_t branches, double reward_scale);
// Guidance by text and by image (Brooks et al. 2023, eq. 3): nothing + image_scale (image -
// nothing) + scale (text - image). output: [3 B, C, H, W]: text, image alone, nothing.
at::Tensor guide_edit(const at::Tensor& output, double scale, double image_scale);
// `guided` with `amount` of the way to the standard deviation of `text` (Lin et al. 2023, eq. 15
// and 16). Both [B, C, H, W].
at::Tensor rescaled(const at::Tensor& guided, const at::Tensor& text, double amount);

}  // namespace diffusion
