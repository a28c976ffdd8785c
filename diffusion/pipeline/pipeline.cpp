#include "diffusion/pipeline/pipeline.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "data/base/error.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "diffusion/pipeline/encode_together.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "diffusion/text/prompt_weighting.hpp"

using data::BadInput;

namespace diffusion {

struct PromptCache {
  std::mutex mutex;
  std::map<std::string, TextCondition> rows;  // of one prompt, by cache_key()
};

namespace {

constexpr size_t kMaxCachedPrompts = 1024;

// What the network reads of the encoders' outputs for one run of ids. weights: of the rows, one
// list for each encoder; empty: none.
TextCondition combined(const std::vector<nn::TextOutput>& outputs,
                       const std::vector<std::vector<double>>& weights) {
  const auto weighted = [&](size_t i, const at::Tensor& rows) {
    return weights.empty() ? rows : apply_weights(rows, weights[i]);
  };
  if (outputs.size() == 1) return {weighted(0, outputs[0].hidden), {}};
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < outputs.size(); ++i) rows.push_back(weighted(i, outputs[i].penultimate));
  return {at::cat(rows, 2), outputs.back().pooled};
}

// Rows of one run of each encoder, each with its own weights. chunks: of each encoder
TextCondition encode_chunk(const Pipeline& pipeline,
                           const std::vector<PromptChunk>& chunks,
                           int64_t clip_skip) {
  std::vector<nn::TextOutput> outputs;
  std::vector<std::vector<double>> weights;
  for (size_t i = 0; i < chunks.size(); ++i) {
    const at::Tensor ids = at::tensor(chunks[i].ids, at::kLong).unsqueeze(0);
    outputs.push_back(nn::clip_text_forward(pipeline.text_encoders[i].network, ids, clip_skip));
    weights.push_back(chunks[i].weights);
  }
  return combined(outputs, weights);
}

// The pooled output is the first chunk's, as in A1111.
TextCondition encode_weighted(const Pipeline& pipeline,
                              const Prompt& prompt,
                              const TextOptions& options) {
  const auto count = static_cast<size_t>(std::max(options.chunks, chunk_count(prompt)));
  std::vector<at::Tensor> hidden;
  at::Tensor pooled;
  for (size_t at = 0; at < count; ++at) {
    std::vector<PromptChunk> chunks;
    for (size_t i = 0; i < prompt.chunks.size(); ++i) {
      const auto& own = prompt.chunks[i];
      chunks.push_back(at < own.size() ? own[at]
                                       : empty_chunk(pipeline.text_encoders[i].tokenizer));
    }
    const TextCondition rows = encode_chunk(pipeline, chunks, options.clip_skip);
    hidden.push_back(rows.hidden);
    if (at == 0) pooled = rows.pooled;
  }
  return {at::cat(hidden, 1), pooled};
}

// What the network reads of texts without weighting.
TextCondition encode_plain(const Pipeline& pipeline,
                           const std::vector<std::string>& texts,
                           int64_t clip_skip) {
  std::vector<nn::TextOutput> outputs;
  for (const auto& encoder : pipeline.text_encoders) {
    TORCH_CHECK(encoder.network.token_embedding.defined(), "encode_prompts: '", texts.front(),
                "' comes after encode_and_free");
    const at::Tensor ids = data::encode(encoder.tokenizer, texts).ids;
    outputs.push_back(nn::clip_text_forward(encoder.network, ids, clip_skip));
  }
  if (!pipeline.t5_text) return combined(outputs, {});
  const int64_t width = traits(pipeline.network).context_width;
  std::vector<at::Tensor> rows;
  for (const auto& text : texts) rows.push_back(t5_rows(*pipeline.t5_text, text, width));
  return pipeline.t5_text->alone ? TextCondition{at::cat(rows), outputs[0].pooled}
                                 : joint_text(outputs, at::cat(rows), width);
}

TextCondition encode_one(const Pipeline& pipeline,
                         const Prompt& prompt,
                         const TextOptions& options) {
  if (options.weighting) return encode_weighted(pipeline, prompt, options);
  return encode_plain(pipeline, {prompt.text}, options.clip_skip);
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

bool is_xl(const Pipeline& pipeline) { return traits(pipeline.network).reads_time_ids; }

bool edits_images(const Pipeline& pipeline) { return traits(pipeline.network).edits_images; }

bool embeds_guidance(const Network& network) { return traits(network).guidance_width > 0; }

Prompt weighted_prompt(const Pipeline& pipeline, const std::string& text) {
  if (pipeline.t5_text) {
    throw BadInput("--prompt_weighting: " + pipeline.class_name +
                   " reads T5's rows, which have no weights; leave it out");
  }
  const std::vector<WeightedText> pieces = parse_weights(text);
  Prompt prompt(text);
  for (const auto& encoder : pipeline.text_encoders) {
    prompt.chunks.push_back(chunks_of(encoder.tokenizer, pieces));
    const size_t first = prompt.chunks.front().size(), other = prompt.chunks.back().size();
    if (first != other) {
      throw BadInput("prompt '" + text + "': " + std::to_string(first) + " chunks by one " +
                     "tokenizer, " + std::to_string(other) + " by the other; shorten it");
    }
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
  TORCH_CHECK(!pipeline.text_encoders.empty(), "encode_prompts: the pipeline has no text encoder");
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

TextCondition encode_together(const Pipeline& pipeline, const std::vector<std::string>& texts) {
  TORCH_CHECK(!texts.empty(), "encode_together: expected at least one text");
  const at::NoGradGuard no_grad;
  return encode_plain(pipeline, texts, 0);
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

bool encode_and_free(Pipeline& pipeline,
                     const std::vector<Prompt>& prompts,
                     const std::vector<Prompt>& negatives,
                     int64_t clip_skip) {
  if (prompts.size() + negatives.size() > kMaxCachedPrompts) return false;
  const TextOptions options{.clip_skip = clip_skip};
  for (const Prompt& prompt : prompts) encode_prompts(pipeline, {prompt}, options);
  for (const Prompt& negative : negatives) encode_negatives(pipeline, {negative}, options);
  for (TextEncoder& encoder : pipeline.text_encoders) {
    const nn::ClipTextConfig config = encoder.network.config;
    encoder.network = {};
    encoder.network.config = config;
  }
  if (pipeline.t5_text && pipeline.t5_text->encoder) {
    auto bare = std::make_shared<T5TextEncoder>(*pipeline.t5_text->encoder);
    bare->network = {};
    pipeline.t5_text->encoder = bare;
  }
  return true;
}

int64_t native_size(const Pipeline& pipeline) {
  return traits(pipeline.network).sample_size * vae_factor(pipeline.vae.config);
}

int64_t pixel_unit(const Pipeline& pipeline) {
  return traits(pipeline.network).patch_size * vae_factor(pipeline.vae.config);
}

}  // namespace diffusion
