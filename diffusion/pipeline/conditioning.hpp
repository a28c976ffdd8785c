#pragma once

// What conditions an image: its text, sizes, source image and requested reward.

#include <ATen/core/Tensor.h>

#include "diffusion/networks/network.hpp"

namespace diffusion {

struct TextCondition {
  at::Tensor hidden;  // [B, L, D] the text encoder's last hidden state, after its final norm; SDXL:
                      // both encoders' penultimate ones side by side
  at::Tensor pooled;  // [B, P] SDXL: the second encoder's projected output; undefined otherwise
};
// The same on `device`; the CPU does not wait for the copy (data::to_device).
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

// What an editing model reads beside the text. N rows; undefined tensors: nothing.
struct EditCondition {
  at::Tensor image_latents;  // [N, C, h, w] raw latents of the source images
  RewardCondition reward;    // the requested scores
  double image_scale = 1.0;  // guidance by the source image (GuidanceOptions)
};

// Everything that conditions N images. A tensor that the network does not read is undefined.
struct Conditioning {
  TextCondition text;                      // N rows
  TextCondition negative{};                // what guidance starts from: N rows, or 1 for all
  at::Tensor time_ids{};                   // [N, 6] or [1, 6] SDXL
  at::Tensor guidance_w{};                 // [N] LCM: the guidance scale minus 1
  at::Tensor image_latents{};              // [N, C, h, w] InstructPix2Pix: as EditCondition
  RewardCondition reward{}, reward_low{};  // requested, and what reward guidance leads away from
};

}  // namespace diffusion
