#pragma once

// A Stable Diffusion 1 or 2 checkpoint in diffusers' folder layout.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/nn/clip_text.hpp"
#include "data/tokenizer.hpp"
#include "diffusion/scheduler_config.hpp"
#include "diffusion/unet.hpp"
#include "diffusion/vae.hpp"

namespace diffusion {

struct PromptCache;
std::shared_ptr<PromptCache> make_prompt_cache();  // for a pipeline that is put together by hand

struct Pipeline {
  UNet unet;
  Vae vae;
  nn::ClipText text_encoder;
  data::Tokenizer tokenizer;
  SchedulerConfig scheduler;
  std::filesystem::path source;  // the folder that it was read from
  std::shared_ptr<PromptCache>
      cache;  // of encode_prompts; shared by copies, dropped where the text encoder changes
};

// <folder>/{model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/}, .fp16 variants
// of weights accepted. Throws BadInput: when the path is something else it says what, and what was
// expected; when parts are missing or do not fit together it names them.
Pipeline load_pipeline(const std::filesystem::path& folder);

// The same without the UNet: all that pretraining one needs. Folders of their own; "" for
// text_encoder's tokenizer means the folder "tokenizer" beside it.
struct PipelineParts {
  std::filesystem::path vae, text_encoder, tokenizer;
};
Pipeline load_parts(const PipelineParts& parts);

// Writes such a folder. `dtype` of all weights: at::kHalf or at::kFloat.
void save_pipeline(const std::filesystem::path& folder,
                   const Pipeline& pipeline,
                   at::ScalarType dtype);

// Writes model_index.json alone.
void write_model_index(const std::filesystem::path& folder, const SchedulerConfig& scheduler);

struct TextCondition {
  at::Tensor hidden;  // [B, L, D] the text encoder's last hidden state, after its final norm
};
// Each prompt is encoded alone, so that its rows are the same bits in every company, and kept for
// the next call. `clip_skip` leaves out that many of the last layers. Truncation is silent: see
// data::truncation_warnings.
TextCondition encode_prompts(const Pipeline& pipeline,
                             const std::vector<std::string>& prompts,
                             int64_t clip_skip = 0);

// Pixels of a side that the UNet was trained at.
int64_t native_size(const Pipeline& pipeline);

}  // namespace diffusion
