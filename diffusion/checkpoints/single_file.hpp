#pragma once

// A whole checkpoint in one file with the original code's names (.safetensors, .ckpt): Stable
// Diffusion 1, 2, XL and 3, LCM distillates, InstructPix2Pix.

#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/networks/network_files.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

struct SingleFileOptions {
  std::filesystem::path clip_tokenizer{};  // CLIP's own vocabulary, as such files hold none
  std::filesystem::path tokenizer{};       // a folder to take instead; "": the folder "tokenizer"
                                           // beside the file where there is one
  std::filesystem::path vae{};             // a folder or file to take in place of the file's VAE
  std::string prediction_type{};           // epsilon | v_prediction; "": inferred from the file
  bool without_t5 = false;                 // T5 is not read
  NetworkHolding holding{};  // streamed: if the file has no scaled fp8; as_stored: if it tells what
                             // a UNet predicts, else the UNet is asked
};
struct SingleFile {
  Pipeline pipeline;
  std::vector<std::string> notes;  // for the user: ignored averages, guesses
};

// Text encoders that a file of Stable Diffusion 3 lacks are looked for beside it: diffusers'
// folders (text_encoder), or files of their own (clip_l.safetensors, clip_g.safetensors,
// t5xxl*.safetensors); T5's tokenizer is the folder tokenizer_3. Without T5 its rows are zeros.
// Throws BadInput when the file is of another kind (which is named), lacks a part, or its tensors
// do not fit together.
SingleFile load_single_file(const std::filesystem::path& path, const SingleFileOptions& options);

// A VAE alone: a diffusers folder, or a file with the original code's or diffusers' names.
// The factors are of a file, which does not hold them.
Vae load_vae_alone(const std::filesystem::path& path,
                   double scaling_factor,
                   double shift_factor = 0);

}  // namespace diffusion
