#pragma once

// Prompts as AUTOMATIC1111's web UI reads them: weights in brackets, BREAK, and chunks of 75 tokens
// in place of one that is cut. Text in, ids and weights out; no network.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/text/clip_tokenizer.hpp"

namespace diffusion {

struct WeightedText {
  std::string text;
  double weight = 1.0;
  bool operator==(const WeightedText&) const = default;
};

// (a) weighs 1.1, (a:1.3) 1.3, [a] 1/1.1; nested ones multiply; \( \) \[ \] \\ are the characters
// themselves; a bracket without its partner reaches to the end; a closing one alone, or (a:x), is
// text. BREAK becomes {"BREAK", -1}; inside brackets its weight is multiplied like any, and then it
// is a word, as there. Throws BadInput for what is not supported: AND, [a:b:0.5] and [a:0.5]
// (prompt editing), [a|b] (alternation), and for weights that are no number, such as (a:1.2.3).
std::vector<WeightedText> parse_weights(const std::string& prompt);

// Ids of one run of the text encoder: bos, text, eos and padding.
struct PromptChunk {
  std::vector<int64_t> ids;     // tokenizer.max_length of them
  std::vector<double> weights;  // of each
  bool operator==(const PromptChunk&) const = default;
};

// At least one. Where a chunk is full and a comma stands among its last 20 ids, what follows the
// comma moves on to the next. Throws BadInput above kMaxChunks.
std::vector<PromptChunk> chunks_of(const data::Tokenizer& tokenizer,
                                   const std::vector<WeightedText>& pieces);
constexpr size_t kMaxChunks = 64;

// The chunk of an empty text, which fills up the shorter of two prompts.
PromptChunk empty_chunk(const data::Tokenizer& tokenizer);

// Whether the text holds brackets that `parse_weights` would read.
bool has_weights(const std::string& prompt);

// hidden: [1, L, D], weights: L -> each row times its weight, then all scaled so that the mean over
// everything is what it was.
at::Tensor apply_weights(const at::Tensor& hidden, const std::vector<double>& weights);

}  // namespace diffusion
