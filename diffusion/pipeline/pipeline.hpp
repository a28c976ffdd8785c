#pragma once

// A diffusion model: text encoders, network, VAE and schedule.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/nn/clip_text.hpp"
#include "data/text/clip_tokenizer.hpp"
#include "diffusion/networks/network.hpp"
#include "diffusion/networks/vae/vae.hpp"
#include "diffusion/pipeline/conditioning.hpp"
#include "diffusion/sampling/scheduler_config.hpp"
#include "diffusion/text/prompt_weighting.hpp"

namespace diffusion {

struct PromptCache;
std::shared_ptr<PromptCache> make_prompt_cache();  // for a pipeline that is put together by hand

struct TextEncoder {
  nn::ClipText network;
  data::Tokenizer tokenizer;
};

// The rows that T5 adds to a text in Stable Diffusion 3, and that are the text in FLUX.1: see
// diffusion/pipeline/t5_text.hpp.
struct T5TextEncoder;
struct T5Text {
  std::shared_ptr<const T5TextEncoder> encoder;  // none: zeros in the rows' place, as diffusers
  int64_t max_sequence_length = 256;             // rows, 0..512
  bool alone = false;  // the network reads no rows of the CLIP, but its pooled text (FLUX.1)
};

struct Pipeline {
  std::string class_name = "StableDiffusionPipeline";  // diffusers' name of the family
  Network network;
  Vae vae;
  // In the order of the family's row. One: the network reads its rows after the final norm. More
  // (SDXL): it reads the penultimate rows of all side by side, and the last one's pooled output.
  // With t5_text: as joint_text.
  std::vector<TextEncoder> text_encoders;
  std::optional<T5Text> t5_text;              // Stable Diffusion 3, FLUX.1
  bool force_zeros_for_empty_prompt = false;  // SDXL: guidance starts from zeros, see below
  SchedulerConfig scheduler;
  std::optional<double> guidance_scale;  // that the network was trained for, where it is known
  std::filesystem::path source;          // the folder that it was read from
  std::shared_ptr<PromptCache>
      cache;  // of encode_prompts; shared by copies, dropped where the text encoder changes
};

// The network reads the sizes of the image, as SDXL's.
bool is_xl(const Pipeline& pipeline);
// The network reads the latent of a source image beside its own, as InstructPix2Pix.
bool edits_images(const Pipeline& pipeline);
// The guidance scale is an input of the network, as in an LCM: no double batch.
bool embeds_guidance(const Network& network);

// A prompt as the text encoders read it. Converts from its text, which is read when it is encoded.
struct Prompt {
  Prompt(std::string words = "") : text(std::move(words)) {}
  Prompt(const char* words) : text(words) {}
  std::string text;
  // Read as A1111 does (diffusion/text/prompt_weighting.hpp): as many chunks for each text encoder.
  // Empty: not yet, or without weighting.
  std::vector<std::vector<PromptChunk>> chunks{};
};
// Throws BadInput as parse_weights and chunks_of do, when the tokenizers make different numbers of
// chunks, or when the pipeline has t5_text, whose rows have no weights.
Prompt weighted_prompt(const Pipeline& pipeline, const std::string& text);
int64_t chunk_count(const Prompt& prompt);

// How prompts are encoded. `weighting`: as weighted_prompt, the rows of every chunk one after the
// other, so L is a multiple of the encoder's length; empty chunks fill up to at least `chunks`.
struct TextOptions {
  int64_t clip_skip = 0;  // last layers of the text encoder left out: A1111's "Clip skip" minus 1
  bool weighting = false;
  int64_t chunks = 1;
};
// Each prompt is encoded alone, so that its rows are the same bits whatever the others are, and
// kept for the next call. Without weighting, truncation is silent: see data::truncation_warnings.
TextCondition encode_prompts(const Pipeline& pipeline,
                             const std::vector<Prompt>& prompts,
                             const TextOptions& options = {});
// What guidance starts from: negative prompts, without clip_skip as in diffusers, but with it under
// weighting, as in A1111. An empty one is all zeros under force_zeros_for_empty_prompt.
TextCondition encode_negatives(const Pipeline& pipeline,
                               const std::vector<Prompt>& prompts,
                               const TextOptions& options = {});

// Encodes these texts as `generate` asks for them without weighting, then frees the weights of the
// text encoders: other texts can no longer be encoded. -> whether it did; false, without effect,
// where there are more texts than a pipeline keeps.
bool encode_and_free(Pipeline& pipeline,
                     const std::vector<Prompt>& prompts,
                     const std::vector<Prompt>& negatives,
                     int64_t clip_skip);

// Pixels of a side that the network was trained at.
int64_t native_size(const Pipeline& pipeline);
// Pixels that a side of an image must be a multiple of.
int64_t pixel_unit(const Pipeline& pipeline);

}  // namespace diffusion
