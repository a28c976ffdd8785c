#pragma once

// Guidance around the UNet: from what conditions an image to one prediction.

#include <ATen/core/Tensor.h>

#include "diffusion/networks/unet/unet.hpp"

namespace diffusion {

struct TextCondition {
  at::Tensor hidden;  // [B, L, D] the text encoder's last hidden state, after its final norm; SDXL:
                      // both encoders' penultimate ones side by side
  at::Tensor pooled;  // [B, P] SDXL: the second encoder's projected output; undefined otherwise
};
// The same on `device`, where the CPU does not wait for it (data::sent).
TextCondition to_device(const TextCondition& text, at::Device device);

// SDXL's micro-conditioning (Podell et al. 2023, 2.2), in pixels: as if the image had been cut from
// one of the original size. 0: the image's own size.
struct SizeConditions {
  int64_t original_height = 0, original_width = 0;
  int64_t crop_top = 0, crop_left = 0;
  int64_t target_height = 0, target_width = 0;
};
// For an image of that size. -> [1, 6] fp32
at::Tensor time_ids(const SizeConditions& sizes, int64_t height, int64_t width);

struct GuidanceOptions {
  double scale = 7.5;         // classifier-free guidance; up to 1: the prompt's prediction alone
  double image_scale = 1.5;   // InstructPix2Pix: of the source image; below 1: no guidance at all
  double reward_scale = 1.0;  // of the reward asked for against the low one; 1: no such guidance
  double rescale = 0.0;  // 0..1: towards the spread of the prompt's prediction (rescaled below)
};

// The UNet's batches of one step. Guidance wants the network's output at several conditions; a
// branch is a batch of B rows under one of them.
enum class GuidanceBatch {
  kPrompt,                // [text]: no guidance, or a UNet that embeds its scale
  kUnconditionalPrompt,   // [uncond; text]: classifier-free guidance
  kPromptImageNone,       // [text; image alone; nothing]: InstructPix2Pix
  kPromptReward,          // [text; text at the low reward]
  kPromptImageNoneReward  // [text; image alone; nothing; text at the low reward]
};
int64_t branch_count(GuidanceBatch branches);
GuidanceBatch guidance_batch(const UNetConfig& unet, const GuidanceOptions& options);
// The rows of every branch, from one a branch: in [text; image; nothing] the negative text twice.
at::Tensor branch_rows(GuidanceBatch branches, const at::Tensor& text, const at::Tensor& negative);
// The source image's latents in every branch: zeros where there is nothing.
at::Tensor branch_images(GuidanceBatch branches, const at::Tensor& source);
// The reward asked for in every branch but the low one.
RewardCondition branch_rewards(GuidanceBatch branches,
                               const RewardCondition& reward,
                               const RewardCondition& low);

// All that the UNet reads beside x and the timestep, for R = B x branches rows.
struct BranchInputs {
  GuidanceBatch branches = GuidanceBatch::kPrompt;
  ContextKeys keys;
  ExtraConditions added;
  at::Tensor image_latents;  // [R, C, h, w] of source images, raw; undefined: none
};
// x: [B, C, h, w]; t: [R] fp32, the timestep -> [B, C, h, w] fp32. The network may run in reduced
// precision.
at::Tensor guided_forward(const UNet& unet,
                          const at::Tensor& x,
                          const at::Tensor& t,
                          const BranchInputs& inputs,
                          const GuidanceOptions& options);

// Classifier-free guidance (Ho and Salimans 2022, in diffusers' weighting):
// uncond + weight (cond - uncond). output: [2 B, C, H, W], the unconditional half first.
at::Tensor guide(const at::Tensor& output, double weight);
// Guidance by reward, to be added: (reward_scale - 1) (text - low). output: [2 B or 4 B,
// C, H, W], text first, text at the low reward last. -> [B, C, H, W]
at::Tensor reward_push(const at::Tensor& output, int64_t branches, double reward_scale);
// Guidance by text and by image (Brooks et al. 2023, eq. 3): nothing + image_scale (image -
// nothing) + scale (text - image). output: [3 B, C, H, W]: text, image alone, nothing.
at::Tensor guide_edit(const at::Tensor& output, double scale, double image_scale);
// `guided` with `amount` of the way to the standard deviation of `text` (Lin et al. 2023, eq. 15
// and 16). Both [B, C, H, W].
at::Tensor rescaled(const at::Tensor& guided, const at::Tensor& text, double amount);

}  // namespace diffusion
