#include "tools/cli/models.hpp"

#include <ATen/ATen.h>

#include <cstdlib>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/weights/hub_cache.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/single_file.hpp"

namespace fs = std::filesystem;

namespace tools {

fs::path embedded_models() {
  if (const char* named = std::getenv("LAUREL_MODELS"))
    return fs::is_directory(named) ? named : fs::path();
  std::error_code error;
  const fs::path bin = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path packaged = bin.parent_path() / "share" / "laurel" / "models";
  const fs::path built =
      bin.parent_path().parent_path().parent_path() / "models";  // <source>/build/<preset>/bin
  for (const auto& folder : {packaged, built}) {
    if (fs::is_directory(folder, error)) return folder;
  }
  return {};
}

fs::path checkpoint_path(const std::string& named) {
  const fs::path models = embedded_models();
  std::error_code error;
  if (!named.empty()) {
    if (fs::exists(named, error)) return named;
    if (named.find('/') == std::string::npos &&
        fs::exists(models / named / "model_index.json", error))
      return models / named;
    return data::is_hub_name(named) ? data::find_in_hub_cache(named) : fs::path(named);
  }
  if (models.empty()) {
    throw data::BadInput(
        "model: expected a folder, found none, and no embedded models beside the program; give "
        "--model FOLDER, or set LAUREL_MODELS to the folder of the embedded models");
  }
  return models / "tiny-world";
}

bool is_embedded(const std::string& named) {
  std::error_code error;
  return fs::equivalent(checkpoint_path(named) / "..", embedded_models(), error);
}

std::string model_name(const fs::path& path) {
  if (fs::is_regular_file(path)) return path.stem().string();
  const fs::path whole = fs::absolute(path / "").lexically_normal().parent_path();
  const fs::path snapshots = whole.parent_path();
  const std::string repository = snapshots.parent_path().filename().string();
  if (snapshots.filename() != "snapshots" || !repository.starts_with("models--"))
    return whole.filename().string();
  return repository.substr(repository.rfind("--") + 2);
}

void declare_model(Options& options, ModelConfig& config) {
  options.text(
      "model", config.model,
      "folder, .safetensors, .ckpt, org/name in the HF cache, embedded model [tiny-world]");
  options.short_name("model", 'm');
  options.rare().text("vae", config.vae, "folder or file of a VAE that replaces the model's");
  options.rare().text("tokenizer", config.tokenizer,
                      "folder of a tokenizer that replaces the model's");
  options.rare().text("prediction_type", config.prediction_type,
                      "epsilon or v_prediction [derived from the model]");
  options.rare().flag("no_t5", config.no_t5,
                      "Stable Diffusion 3: leave T5 out, zeros in its rows' place: less memory");
  options.rare().number("distilled_cfg_scale", config.distilled_cfg_scale,
                        "FLUX.1 dev: the guidance that its network is told, one pass a step; "
                        "diffusers' guidance_scale",
                        0, 100);
  options.alias("pretrained_model_name_or_path", "model");
}

namespace {

void set_distilled_scale(diffusion::Pipeline& pipeline, double scale) {
  if (diffusion::traits(pipeline.network).guidance)
    return diffusion::set_guidance(pipeline.network, scale);
  if (scale == ModelConfig().distilled_cfg_scale) return;
  throw data::BadInput("--distilled_cfg_scale: " + pipeline.source.string() +
                       " reads no guidance scale, as FLUX.1 dev does; leave it out");
}

diffusion::Pipeline open_parts(const ModelConfig& config) {
  const fs::path path = checkpoint_path(config.model);
  if (fs::is_regular_file(path)) {
    const fs::path clip = embedded_models() / "clip-tokenizer";
    auto loaded = diffusion::load_single_file(
        path, {.clip_tokenizer = fs::is_directory(clip) ? clip : fs::path(),
               .tokenizer = config.tokenizer,
               .vae = config.vae,
               .prediction_type = config.prediction_type,
               .without_t5 = config.no_t5,
               .holding = config.holding});
    for (const auto& note : loaded.notes) data::log_info("note: " + note);
    return loaded.pipeline;
  }
  diffusion::Pipeline pipeline =
      diffusion::load_pipeline(path, {.without_t5 = config.no_t5, .holding = config.holding});
  if (!config.vae.empty())
    pipeline.vae = diffusion::load_vae_alone(config.vae, pipeline.vae.config.scaling_factor,
                                             pipeline.vae.config.shift_factor);
  if (!config.tokenizer.empty())
    pipeline.text_encoders[0].tokenizer = data::load_tokenizer(config.tokenizer);
  if (!config.prediction_type.empty())
    pipeline.scheduler.prediction_type =
        diffusion::prediction_from_name(config.prediction_type, "--prediction_type");
  return pipeline;
}

}  // namespace

diffusion::Pipeline open_model(const ModelConfig& config) {
  diffusion::Pipeline pipeline = open_parts(config);
  set_distilled_scale(pipeline, config.distilled_cfg_scale);
  return pipeline;
}

void warn_of_true_guidance(const diffusion::Pipeline& pipeline,
                           const std::string& option,
                           double scale) {
  if (!pipeline.t5_text || !pipeline.t5_text->alone || scale <= 1) return;
  data::log_warning(option + " " + data::short_number(scale) +
                    ": two passes a step of a network that was distilled to do without; 1 is "
                    "usual, and what diffusers calls guidance_scale is --distilled_cfg_scale here");
}

void resolve_guidance(const diffusion::Pipeline& pipeline,
                      const Options& options,
                      double& sample_guidance_scale) {
  const std::string key = "sample_guidance_scale";
  if (!options.declares(key)) return;
  if (pipeline.guidance_scale && !options.given(key))
    sample_guidance_scale = *pipeline.guidance_scale;
  warn_of_true_guidance(pipeline, "--" + key, sample_guidance_scale);
}

void move_to(diffusion::Pipeline& pipeline, at::Device device) {
  const auto move = [device](const std::string&, at::Tensor& tensor) {
    if (!tensor.is_meta()) tensor = tensor.to(device);  // else it is in the file
  };
  for_each_tensor(pipeline.network, "", move);
  for_each_tensor(pipeline.vae, "", move);
}

}  // namespace tools
