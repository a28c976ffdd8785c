#pragma once

// Textual inversion (Gal et al., "An image is worth one word", 2022): words learnt as vectors of
// the text encoder's input, a few kilobytes each.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

struct Embedding {
  std::string name;      // the word in a prompt
  at::Tensor vectors;    // [k, D] of the text encoder
  at::Tensor vectors_2;  // [k, D'] of SDXL's second; undefined in files of other families
  std::string source;    // for messages
};

// A1111's .pt (string_to_param) and .safetensors (emb_params), diffusers' {word: tensor}, SDXL's
// clip_l and clip_g. The name is `name`, or where that is empty diffusers' word, or the file's name
// without its ending. Throws BadInput when the file holds none of these.
Embedding read_embedding(const std::filesystem::path& path, const std::string& name = "");

// From now on the name stands in prompts for the vectors, in any case of its letters, and not
// inside longer words. Throws BadInput when the vectors are of another family's text encoder, or
// the word is taken.
void add_embedding(Pipeline& pipeline, const Embedding& embedding);

}  // namespace diffusion
