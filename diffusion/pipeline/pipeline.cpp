#include "diffusion/pipeline/pipeline.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "data/base/error.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "diffusion/text/prompt_weighting.hpp"

using data::BadInput;

namespace diffusion {

struct PromptCache {
  std::mutex mutex;
  std::map<std::string, TextCondition> rows;  // of one prompt, by cache_key()
};

namespace {

constexpr size_t kMaxCachedPrompts = 1024;

// Rows of one run of each encoder, side by side for SDXL, each with its own weights.
TextCondition encode_chunk(const Pipeline& pipeline,
                           const PromptChunk& first,
                           const PromptChunk& second,
                           int64_t clip_skip) {
  const auto run = [&](const nn::ClipText& encoder, const PromptChunk& chunk) {
    return nn::clip_text_forward(encoder, at::tensor(chunk.ids, at::kLong).unsqueeze(0), clip_skip);
  };
  const auto output = run(pipeline.text_encoder, first);
  if (!pipeline.text_encoder_2) return {apply_weights(output.hidden, first.weights), {}};
  const auto output_2 = run(*pipeline.text_encoder_2, second);
  return {at::cat({apply_weights(output.penultimate, first.weights),
                   apply_weights(output_2.penultimate, second.weights)},
                  2),
          output_2.pooled};
}

std::vector<PromptChunk> padded(std::vector<PromptChunk> chunks,
                                const data::Tokenizer& tokenizer,
                                int64_t count) {
  if (chunks.size() < static_cast<size_t>(count))
    chunks.resize(static_cast<size_t>(count), empty_chunk(tokenizer));
  return chunks;
}

// The pooled output is the first chunk's, as in A1111.
TextCondition encode_weighted(const Pipeline& pipeline,
                              const Prompt& prompt,
                              const TextOptions& options) {
  const auto first = padded(prompt.chunks.front(), pipeline.tokenizer, options.chunks);
  const auto second = pipeline.tokenizer_2
                          ? padded(prompt.chunks.back(), *pipeline.tokenizer_2, options.chunks)
                          : first;
  std::vector<at::Tensor> hidden;
  at::Tensor pooled;
  for (size_t i = 0; i < first.size(); ++i) {
    const TextCondition rows = encode_chunk(pipeline, first[i], second[i], options.clip_skip);
    hidden.push_back(rows.hidden);
    if (i == 0) pooled = rows.pooled;
  }
  return {at::cat(hidden, 1), pooled};
}

TextCondition encode_one(const Pipeline& pipeline,
                         const Prompt& prompt,
                         const TextOptions& options) {
  if (options.weighting) return encode_weighted(pipeline, prompt, options);
  const at::Tensor ids = data::encode(pipeline.tokenizer, {prompt.text}).ids;
  const auto first = nn::clip_text_forward(pipeline.text_encoder, ids, options.clip_skip);
  if (!pipeline.text_encoder_2) return {first.hidden, {}};
  const at::Tensor ids_2 = data::encode(*pipeline.tokenizer_2, {prompt.text}).ids;
  const auto second = nn::clip_text_forward(*pipeline.text_encoder_2, ids_2, options.clip_skip);
  return {at::cat({first.penultimate, second.penultimate}, 2), second.pooled};
}

std::string cache_key(const std::string& prompt, const TextOptions& options) {
  return std::to_string(options.clip_skip) + ":" +
         (options.weighting ? std::to_string(options.chunks) : "") + ":" + prompt;
}

TextCondition stacked(const std::vector<TextCondition>& rows) {
  std::vector<at::Tensor> hidden, pooled;
  for (const auto& row : rows) {
    hidden.push_back(row.hidden);
    if (row.pooled.defined()) pooled.push_back(row.pooled);
  }
  return {at::cat(hidden), pooled.empty() ? at::Tensor() : at::cat(pooled)};
}

}  // namespace

std::shared_ptr<PromptCache> make_prompt_cache() { return std::make_shared<PromptCache>(); }

bool is_xl(const Pipeline& pipeline) { return pipeline.text_encoder_2.has_value(); }

bool edits_images(const Pipeline& pipeline) { return traits(pipeline.network).edits_images; }

bool embeds_guidance(const Network& network) { return traits(network).guidance_width > 0; }

Prompt weighted_prompt(const Pipeline& pipeline, const std::string& text) {
  const std::vector<WeightedText> pieces = parse_weights(text);
  Prompt prompt(text);
  prompt.chunks.push_back(chunks_of(pipeline.tokenizer, pieces));
  if (pipeline.tokenizer_2) prompt.chunks.push_back(chunks_of(*pipeline.tokenizer_2, pieces));
  const size_t first = prompt.chunks.front().size(), second = prompt.chunks.back().size();
  if (first != second) {
    throw BadInput("prompt '" + text + "': " + std::to_string(first) + " chunks by one " +
                   "tokenizer, " + std::to_string(second) + " by the other; shorten it");
  }
  return prompt;
}

int64_t chunk_count(const Prompt& prompt) {
  return prompt.chunks.empty() ? 1 : static_cast<int64_t>(prompt.chunks.front().size());
}

TextCondition encode_prompts(const Pipeline& pipeline,
                             const std::vector<Prompt>& prompts,
                             const TextOptions& options) {
  TORCH_CHECK(!prompts.empty(), "encode_prompts: expected at least one prompt");
  TORCH_CHECK(pipeline.cache, "encode_prompts: the pipeline has no prompt cache");
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(pipeline.cache->mutex);
  auto& known = pipeline.cache->rows;
  if (known.size() > kMaxCachedPrompts) known.clear();
  std::vector<Prompt> read = prompts;
  TextOptions same = options;  // one length for all
  for (auto& prompt : read) {
    if (options.weighting && prompt.chunks.empty()) prompt = weighted_prompt(pipeline, prompt.text);
    same.chunks = std::max(same.chunks, chunk_count(prompt));
  }
  std::vector<TextCondition> rows;
  for (const auto& prompt : read) {
    TextCondition& row = known[cache_key(prompt.text, same)];
    if (!row.hidden.defined()) row = encode_one(pipeline, prompt, same);
    rows.push_back(row);
  }
  return stacked(rows);
}

TextCondition encode_negatives(const Pipeline& pipeline,
                               const std::vector<Prompt>& prompts,
                               const TextOptions& options) {
  TextOptions own = options;
  if (!own.weighting) own.clip_skip = 0;
  TextCondition result = encode_prompts(pipeline, prompts, own);
  if (!pipeline.force_zeros_for_empty_prompt) return result;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!prompts[i].text.empty()) continue;
    result.hidden[static_cast<int64_t>(i)].zero_();
    if (result.pooled.defined()) result.pooled[static_cast<int64_t>(i)].zero_();
  }
  return result;
}

int64_t native_size(const Pipeline& pipeline) {
  return traits(pipeline.network).sample_size * vae_factor(pipeline.vae.config);
}

}  // namespace diffusion
