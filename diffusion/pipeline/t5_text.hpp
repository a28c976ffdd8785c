#pragma once

// The text of Stable Diffusion 3 (Esser et al. 2024, section 5.1 and figure 2a): the rows of both
// CLIP encoders, then those of T5; as diffusers' StableDiffusion3Pipeline.encode_prompt.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/nn/t5_encoder.hpp"
#include "data/text/unigram_tokenizer.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

struct T5TextEncoder {
  nn::T5Encoder network;
  data::UnigramTokenizer tokenizer;
  std::filesystem::path tokenizer_files;  // the folder or file that it was read from
};
// text_encoder_3 and tokenizer_3 of a diffusers folder, or such places. Throws BadInput as
// nn::load_t5_encoder and data::load_unigram_tokenizer do.
std::shared_ptr<const T5TextEncoder> load_t5_text(const std::filesystem::path& encoder,
                                                  const std::filesystem::path& tokenizer);
// Writes such folders; the tokenizer's files are copied.
void save_t5_text(const std::filesystem::path& encoder,
                  const std::filesystem::path& tokenizer,
                  const T5TextEncoder& t5,
                  at::ScalarType dtype);

constexpr int64_t kMostT5Tokens = 512;  // as diffusers

// T5's rows of a prompt, which is cut at the length; zeros without an encoder. -> [1,
// max_sequence_length, width]
at::Tensor t5_rows(const T5Text& text, const std::string& prompt, int64_t width);

// clip: of each CLIP encoder, B rows; t5: [B, L, width]. The penultimate rows of the encoders side
// by side, with zeros up to `width`, and T5's rows below; pooled: those of the encoders side by
// side.
TextCondition joint_text(const std::vector<nn::TextOutput>& clip,
                         const at::Tensor& t5,
                         int64_t width);

// For each prompt that T5 cuts: its number, and how many ids it has and T5 takes. Empty without an
// encoder.
std::vector<std::string> t5_truncation_warnings(const T5Text& text,
                                                const std::vector<std::string>& prompts);

// Sets the rows of T5 that a prompt has, 0 to 512; 0 only without an encoder. Throws BadInput when
// the pipeline's text has no T5 rows, or for another number.
void set_max_sequence_length(Pipeline& pipeline, int64_t length);

// What an image's parameters say of it: {"T5 tokens", "256"}, or "256 zeros (no T5)"; nothing of
// other families.
std::vector<std::pair<std::string, std::string>> t5_parameters(const Pipeline& pipeline);

}  // namespace diffusion
