#pragma once

namespace diffusion {

// The parts of a checkpoint, named as their folders in diffusers' layout.
inline constexpr const char* kUnetPart = "unet";
inline constexpr const char* kTransformerPart = "transformer";
inline constexpr const char* kVaePart = "vae";
inline constexpr const char* kTextPart = "text_encoder";
inline constexpr const char* kText2Part = "text_encoder_2";
inline constexpr const char* kText3Part = "text_encoder_3";  // T5
// Of the CLIP text encoders, in their order.
inline constexpr const char* kTextParts[] = {kTextPart, kText2Part};
inline constexpr const char* kParts[] = {kUnetPart, kTransformerPart, kVaePart,
                                         kTextPart, kText2Part,       kText3Part};

}  // namespace diffusion
