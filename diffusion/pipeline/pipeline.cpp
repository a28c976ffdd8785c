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
namespace fs = std::filesystem;

namespace diffusion {

struct PromptCache {
  std::mutex mutex;
  std::map<std::string, TextCondition> rows;  // of one prompt, by cache_key()
};

namespace {

constexpr size_t kMaxCachedPrompts = 1024;

// Throws BadInput "<source>: <what> ...".
[[noreturn]] void refuse(const std::string& source, const std::string& what) {
  throw BadInput(source + ": " + what + "; they are of different checkpoints");
}

void check_text_width(const Pipeline& pipeline, const std::string& source) {
  int64_t text_width = pipeline.text_encoder.token_embedding.size(1);
  if (pipeline.text_encoder_2) text_width += pipeline.text_encoder_2->token_embedding.size(1);
  const int64_t expected = pipeline.unet.config.cross_attention_dim;
  if (expected == text_width) return;
  refuse(source, "the unet's cross_attention_dim is " + std::to_string(expected) +
                     ", the hidden_size of the text " +
                     (pipeline.text_encoder_2 ? "encoders together is " : "encoder is ") +
                     std::to_string(text_width));
}

void check_vocabulary(const data::Tokenizer& tokenizer,
                      const nn::ClipText& encoder,
                      const std::string& source) {
  auto ids = static_cast<int64_t>(tokenizer.vocab.size());
  for (const auto& token : tokenizer.added) ids = std::max(ids, token.id + token.count);
  const int64_t rows = encoder.token_embedding.size(0);
  if (ids <= rows) return;
  refuse(source, "the tokenizer's words take " + std::to_string(ids) +
                     " ids, the text encoder's vocab_size is " + std::to_string(rows));
}

void check_channels(const Pipeline& pipeline, const std::string& source) {
  const UNetConfig& unet = pipeline.unet.config;
  const int64_t latent = pipeline.vae.config.latent_channels;
  if (unet.out_channels == latent && (unet.in_channels == latent || edits_images(pipeline))) return;
  refuse(source, "the unet's in_channels and out_channels are " + std::to_string(unet.in_channels) +
                     " and " + std::to_string(unet.out_channels) + ", the vae's latent_channels " +
                     std::to_string(latent));
}

// SDXL's second encoder and what the UNet reads of it.
void check_second_encoder(const Pipeline& pipeline, const std::string& source) {
  const UNetConfig& unet = pipeline.unet.config;
  const nn::ClipText& second = *pipeline.text_encoder_2;
  if (!second.text_projection.weight.defined())
    throw BadInput(source + ": text_encoder_2: expected text_projection.weight, found none; " +
                   "expected a CLIPTextModelWithProjection");
  check_vocabulary(*pipeline.tokenizer_2, second, source);
  const int64_t pooled = second.text_projection.weight.size(0);
  const int64_t read =
      unet.projection_class_embeddings_input_dim - kTimeIds * unet.addition_time_embed_dim;
  if (pooled != read) {
    refuse(source, "the unet reads " + std::to_string(read) +
                       " pooled values of the text, text_encoder_2 projects to " +
                       std::to_string(pooled));
  }
  if (pipeline.tokenizer.max_length != pipeline.tokenizer_2->max_length) {
    refuse(source, "tokenizer and tokenizer_2 make " +
                       std::to_string(pipeline.tokenizer.max_length) + " and " +
                       std::to_string(pipeline.tokenizer_2->max_length) + " ids of a prompt");
  }
}

// The UNet has what the class in model_index.json says.
void check_family(const Pipeline& pipeline, const std::string& source) {
  const ModelClass& kind = model_class(pipeline.class_name, source);
  const auto check = [&](bool expected, bool found, const std::string& what) {
    if (expected == found) return;
    throw BadInput(source + ": a " + kind.name + " has a unet " +
                   (expected ? "with " : "without ") + what + ", found one " +
                   (found ? "with" : "without") +
                   "; model_index.json and the unet are of different families");
  };
  const UNetConfig& unet = pipeline.unet.config;
  check(kind.xl, unet.addition_time_embed_dim > 0,
        "addition_embed_type text_time (Stable Diffusion XL)");
  check(kind.edits, edits_images(pipeline),
        std::to_string(2 * pipeline.vae.config.latent_channels) +
            " in_channels (InstructPix2Pix's source image)");
  if (kind.embeds_guidance)
    check(true, embeds_guidance(pipeline.unet), "time_cond_proj_dim (LCM's guidance)");
}

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

std::vector<PromptChunk> padded_chunks(const data::Tokenizer& tokenizer,
                                       const std::vector<WeightedText>& pieces,
                                       int64_t count) {
  std::vector<PromptChunk> chunks = chunks_of(tokenizer, pieces);
  if (chunks.size() < static_cast<size_t>(count))
    chunks.resize(static_cast<size_t>(count), empty_chunk(tokenizer));
  return chunks;
}

// The pooled output is the first chunk's, as in A1111.
TextCondition encode_weighted(const Pipeline& pipeline,
                              const std::string& prompt,
                              const TextOptions& options) {
  const std::vector<WeightedText> pieces = parse_weights(prompt);
  const auto first = padded_chunks(pipeline.tokenizer, pieces, options.chunks);
  const auto second =
      pipeline.tokenizer_2 ? padded_chunks(*pipeline.tokenizer_2, pieces, options.chunks) : first;
  if (first.size() != second.size()) {
    throw BadInput("prompt '" + prompt + "': " + std::to_string(first.size()) + " chunks by one " +
                   "tokenizer, " + std::to_string(second.size()) + " by the other; shorten it");
  }
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
                         const std::string& prompt,
                         const TextOptions& options) {
  if (options.weighting) return encode_weighted(pipeline, prompt, options);
  const at::Tensor ids = data::encode(pipeline.tokenizer, {prompt}).ids;
  const auto first = nn::clip_text_forward(pipeline.text_encoder, ids, options.clip_skip);
  if (!pipeline.text_encoder_2) return {first.hidden, {}};
  const at::Tensor ids_2 = data::encode(*pipeline.tokenizer_2, {prompt}).ids;
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

bool edits_images(const Pipeline& pipeline) { return reads_image(pipeline.unet.config); }

bool embeds_guidance(const UNet& unet) { return unet.config.time_cond_proj_dim > 0; }

void check_fit(const Pipeline& pipeline, const std::string& source) {
  check_channels(pipeline, source);
  check_family(pipeline, source);
  check_text_width(pipeline, source);
  check_vocabulary(pipeline.tokenizer, pipeline.text_encoder, source);
  if (pipeline.text_encoder_2) check_second_encoder(pipeline, source);
}

Pipeline load_parts(const PipelineParts& parts) {
  Pipeline pipeline;
  pipeline.vae = load_vae(parts.vae);
  pipeline.text_encoder = nn::load_clip_text(parts.text_encoder);
  const fs::path beside =
      fs::absolute(parts.text_encoder / "").parent_path().parent_path() / "tokenizer";
  pipeline.tokenizer = data::load_tokenizer(parts.tokenizer.empty() ? beside : parts.tokenizer);
  pipeline.cache = make_prompt_cache();
  return pipeline;
}

Pipeline load_pipeline(const fs::path& folder) {
  const ModelIndex index = read_model_index(folder);
  Pipeline pipeline = load_parts({.vae = folder / "vae",
                                  .text_encoder = folder / "text_encoder",
                                  .tokenizer = folder / "tokenizer"});
  pipeline.class_name = index.class_name;
  pipeline.force_zeros_for_empty_prompt = index.force_zeros_for_empty_prompt;
  if (model_class(index.class_name, folder.string()).xl) {
    pipeline.text_encoder_2 = nn::load_clip_text(folder / "text_encoder_2");
    pipeline.tokenizer_2 = data::load_tokenizer(folder / "tokenizer_2");
  }
  pipeline.scheduler = read_scheduler_config(folder / "scheduler");
  pipeline.unet = load_unet(folder / "unet");
  pipeline.source = folder;
  check_fit(pipeline, folder.string());
  return pipeline;
}

void save_pipeline(const fs::path& folder, const Pipeline& pipeline, at::ScalarType dtype) {
  UNet unet = pipeline.unet;
  save_unet(folder / "unet", unet, dtype);
  save_vae(folder / "vae", pipeline.vae, dtype);
  nn::save_clip_text(folder / "text_encoder", pipeline.text_encoder, dtype);
  data::save_tokenizer(folder / "tokenizer", pipeline.tokenizer);
  if (pipeline.text_encoder_2) {
    nn::save_clip_text(folder / "text_encoder_2", *pipeline.text_encoder_2, dtype);
    data::save_tokenizer(folder / "tokenizer_2", *pipeline.tokenizer_2);
  }
  write_scheduler_config(folder / "scheduler", pipeline.scheduler);
  const bool projects = pipeline.text_encoder.text_projection.weight.defined();
  write_model_index(folder,
                    {.class_name = pipeline.class_name,
                     .scheduler = pipeline.scheduler.class_name,
                     .text_encoder = projects ? "CLIPTextModelWithProjection" : "CLIPTextModel",
                     .force_zeros_for_empty_prompt = pipeline.force_zeros_for_empty_prompt});
}

int64_t chunk_count(const Pipeline& pipeline, const std::string& prompt) {
  return static_cast<int64_t>(chunks_of(pipeline.tokenizer, parse_weights(prompt)).size());
}

TextCondition encode_prompts(const Pipeline& pipeline,
                             const std::vector<std::string>& prompts,
                             const TextOptions& options) {
  TORCH_CHECK(!prompts.empty(), "encode_prompts: expected at least one prompt");
  TORCH_CHECK(pipeline.cache, "encode_prompts: the pipeline has no prompt cache");
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(pipeline.cache->mutex);
  auto& known = pipeline.cache->rows;
  if (known.size() > kMaxCachedPrompts) known.clear();
  TextOptions same = options;  // one length for all
  if (options.weighting) {
    for (const auto& prompt : prompts)
      same.chunks = std::max(same.chunks, chunk_count(pipeline, prompt));
  }
  std::vector<TextCondition> rows;
  for (const auto& prompt : prompts) {
    TextCondition& row = known[cache_key(prompt, same)];
    if (!row.hidden.defined()) row = encode_one(pipeline, prompt, same);
    rows.push_back(row);
  }
  return stacked(rows);
}

TextCondition encode_prompts(const Pipeline& pipeline,
                             const std::vector<std::string>& prompts,
                             int64_t clip_skip) {
  return encode_prompts(pipeline, prompts, TextOptions{.clip_skip = clip_skip});
}

TextCondition encode_negatives(const Pipeline& pipeline,
                               const std::vector<std::string>& prompts,
                               const TextOptions& options) {
  TextOptions own = options;
  if (!own.weighting) own.clip_skip = 0;
  TextCondition result = encode_prompts(pipeline, prompts, own);
  if (!pipeline.force_zeros_for_empty_prompt) return result;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!prompts[i].empty()) continue;
    result.hidden[static_cast<int64_t>(i)].zero_();
    if (result.pooled.defined()) result.pooled[static_cast<int64_t>(i)].zero_();
  }
  return result;
}

int64_t native_size(const Pipeline& pipeline) {
  return pipeline.unet.config.sample_size * vae_factor(pipeline.vae.config);
}

}  // namespace diffusion
