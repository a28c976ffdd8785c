#pragma once

// The file of a taste: safetensors whose metadata names its people and rewards.

#include <filesystem>

#include "data/weights/tensor_map.hpp"
#include "rewards/pairs/taste.hpp"

namespace rewards {

inline constexpr const char* kRewardFile = "model.safetensors";
// Its metadata's laurel.kind.
inline constexpr const char *kTasteKind = "taste", *kExamplesKind = "examples";

// The file in a folder that `laurel train-reward` writes, or the file itself.
std::filesystem::path reward_file(const std::filesystem::path& path);

// fp32. One file, so that a reader sees either the old or the new taste.
void save_taste(const std::filesystem::path& folder, const Taste& taste);
// Throws BadInput naming the file, for a file of another kind and for tensors that do not fit.
Taste load_taste(const std::filesystem::path& path);
Taste take_taste(const data::Weights& weights);

// A picture that tells one CLIP from another. -> [1, 3, 64, 64]
at::Tensor clip_test_image();
// Throws BadInput when `embedding`, [1, D] of clip_test_image(), is not that of `fingerprint`, [D].
// source: the reward's file, for the message
void check_same_clip(const at::Tensor& fingerprint,
                     const at::Tensor& embedding,
                     const std::string& source);

}  // namespace rewards
