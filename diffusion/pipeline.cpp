#include "diffusion/pipeline.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <mutex>
#include <nlohmann/json.hpp>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/json.hpp"

using data::BadInput;
using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {

struct PromptCache {
  std::mutex mutex;
  std::map<std::string, at::Tensor> hidden;  // [1, L, D] by clip_skip and prompt
};

namespace {

constexpr size_t kMaxCachedPrompts = 1024;

const char* kExpected =
    "expected a diffusers folder of Stable Diffusion 1 or 2 (model_index.json, unet/, vae/, "
    "text_encoder/, tokenizer/, scheduler/)";

// What a path is that is no diffusers folder, and what to do.
std::string what_it_is(const fs::path& path) {
  if (!fs::exists(path)) return "found nothing there; check the path";
  if (!fs::is_directory(path)) {
    const std::string ending = path.extension().string();
    if (ending == ".safetensors" || ending == ".ckpt" || ending == ".bin") {
      return "found a single file; convert it with diffusers' scripts, or name the folder that it "
             "came from";
    }
    return "found a file; name the folder";
  }
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path parent =
      (absolute.has_filename() ? absolute : absolute.parent_path()).parent_path();
  if (fs::exists(parent / "model_index.json"))
    return "found a part of one; name " + parent.string();
  if (fs::exists(path / "config.json"))
    return "found a single network (config.json); name a whole checkpoint";
  if (fs::is_empty(path)) return "found an empty folder; the download may have failed";
  return "found a folder without model_index.json; the download may be incomplete";
}

void check_model_index(const fs::path& folder) {
  const fs::path file = folder / "model_index.json";
  if (!fs::exists(file))
    throw BadInput(folder.string() + ": " + kExpected + ", " + what_it_is(folder));
  const json index = data::read_json_object(file);
  const json name = index.value("_class_name", json());
  for (const char* known :
       {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline", "StableDiffusionInstructPix2PixPipeline"}) {
    if (name == known) return;
  }
  throw BadInput(file.string() + ": _class_name: expected StableDiffusionPipeline, found " +
                 data::to_text(name) + "; this kind of model is not supported");
}

void check_fit(const Pipeline& pipeline, const std::string& source) {
  const auto& unet = pipeline.unet.config;
  const int64_t text_width = pipeline.text_encoder.token_embedding.size(1);
  if (unet.cross_attention_dim != text_width) {
    throw BadInput(source + ": the unet's cross_attention_dim is " +
                   std::to_string(unet.cross_attention_dim) +
                   ", the text encoder's hidden_size is " + std::to_string(text_width) +
                   "; they are of different checkpoints");
  }
  const int64_t latent = pipeline.vae.config.latent_channels;
  if (unet.out_channels != latent || unet.in_channels % latent != 0) {
    throw BadInput(source + ": the unet's in_channels and out_channels are " +
                   std::to_string(unet.in_channels) + " and " + std::to_string(unet.out_channels) +
                   ", the vae's latent_channels " + std::to_string(latent) +
                   "; they are of different checkpoints");
  }
}

}  // namespace

std::shared_ptr<PromptCache> make_prompt_cache() { return std::make_shared<PromptCache>(); }

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
  check_model_index(folder);
  Pipeline pipeline = load_parts({.vae = folder / "vae",
                                  .text_encoder = folder / "text_encoder",
                                  .tokenizer = folder / "tokenizer"});
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
  write_scheduler_config(folder / "scheduler", pipeline.scheduler);
  write_model_index(folder, pipeline.scheduler);
}

void write_model_index(const fs::path& folder, const SchedulerConfig& scheduler) {
  const json absent = {nullptr, nullptr};
  const json index = {
      {"_class_name", "StableDiffusionPipeline"},
      {"_diffusers_version", "0.42.1"},
      {"feature_extractor", absent},
      {"image_encoder", absent},
      {"requires_safety_checker", false},
      {"safety_checker", absent},
      {"scheduler", {"diffusers", scheduler.class_name}},
      {"text_encoder", {"transformers", "CLIPTextModel"}},
      {"tokenizer", {"transformers", "CLIPTokenizer"}},
      {"unet", {"diffusers", "UNet2DConditionModel"}},
      {"vae", {"diffusers", "AutoencoderKL"}},
  };
  data::write_file(folder / "model_index.json", data::to_text(index, 2) + "\n");
}

TextCondition encode_prompts(const Pipeline& pipeline,
                             const std::vector<std::string>& prompts,
                             int64_t clip_skip) {
  TORCH_CHECK(!prompts.empty(), "encode_prompts: expected at least one prompt");
  TORCH_CHECK(pipeline.cache, "encode_prompts: the pipeline has no prompt cache");
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(pipeline.cache->mutex);
  auto& known = pipeline.cache->hidden;
  if (known.size() > kMaxCachedPrompts) known.clear();
  std::vector<at::Tensor> rows;
  for (const auto& prompt : prompts) {
    at::Tensor& hidden = known[std::to_string(clip_skip) + ":" + prompt];
    if (!hidden.defined()) {
      const at::Tensor ids = data::encode(pipeline.tokenizer, {prompt}).ids;
      hidden = nn::clip_text_forward(pipeline.text_encoder, ids, clip_skip).hidden;
    }
    rows.push_back(hidden);
  }
  return {at::cat(rows)};
}

int64_t native_size(const Pipeline& pipeline) {
  return pipeline.unet.config.sample_size * vae_factor(pipeline.vae.config);
}

}  // namespace diffusion
