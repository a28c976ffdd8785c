#include "diffusion/checkpoints/single_file.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/checkpoints/ldm_layout.hpp"
#include "diffusion/checkpoints/scaled_weights.hpp"
#include "diffusion/checkpoints/text_beside.hpp"
#include "diffusion/families/family_defaults.hpp"
#include "diffusion/families/identify.hpp"
#include "diffusion/families/ldm_hints.hpp"
#include "diffusion/families/transformer_kinds.hpp"
#include "diffusion/naming/ldm_names.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "diffusion/networks/unet/stored_unet.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/pipeline/t5_text.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

struct Source {
  data::Weights file;
  LdmLayout layout;
  LdmHints hints;
  bool mapped = true;  // `file` has the file's own tensors
};

void check_parts(const Source& source, const SingleFileOptions& options) {
  const auto missing = [&](const std::string& what, const std::string& advice) {
    throw BadInput(source.file.source + ": this checkpoint of " + source.layout.family->name +
                   " holds no " + what + "; " + advice);
  };
  const fs::path file = source.file.source;
  const ModelFamily& family = *source.layout.family;
  if (source.layout.vae.empty() && options.vae.empty() &&
      text_beside(file, vae_encoder(family)).empty())
    missing("VAE (first_stage_model.*)", "name one with --vae");
  std::vector<FamilyEncoder> encoders = family.text_encoders;
  if (family.t5_alone) encoders.push_back(*family.t5_encoder);
  for (const FamilyEncoder& encoder : encoders) {
    if (holds_part(source.layout, encoder.part) || !text_beside(file, encoder).empty()) continue;
    missing("text encoder (" + std::string(encoder.prefix) + "*)",
            *encoder.stem == '\0'
                ? "take one that is whole"
                : "put " + std::string(encoder.stem) + ".safetensors or the folder " +
                      encoder.part + " beside it");
  }
}

bool is_tokenizer(const fs::path& folder) {
  return fs::exists(folder / "vocab.json") || fs::exists(folder / "tokenizer.json");
}

// `name`: "tokenizer" or, of SDXL's second encoder, "tokenizer_2".
data::Tokenizer tokenizer_of(const Source& source,
                             const SingleFileOptions& options,
                             const std::string& name,
                             const nn::ClipText& text) {
  const fs::path beside = fs::path(source.file.source).parent_path() / name;
  const bool own = !options.tokenizer.empty() || is_tokenizer(beside);
  const fs::path folder = !options.tokenizer.empty() ? options.tokenizer
                          : own                      ? beside
                                                     : options.clip_tokenizer;
  if (folder.empty())
    throw BadInput(source.file.source +
                   ": a single file holds no tokenizer; name a folder with --tokenizer");
  data::Tokenizer tokenizer = data::load_tokenizer(folder);
  const auto known = static_cast<int64_t>(tokenizer.vocab.size());
  if (known > text.config.vocab_size)
    throw BadInput(folder.string() + ": the tokenizer knows " + std::to_string(known) +
                   " symbols, the text encoder in " + source.file.source + " " +
                   std::to_string(text.config.vocab_size) +
                   "; name the model's own folder with --tokenizer");
  // OpenCLIP pads with 0, which is "!"; CLIP-L with the end token.
  const bool zero = text.config.encoder.hidden_act == nn::Activation::kGelu;
  if (!own && zero) {
    tokenizer.pad_token = "!";
    tokenizer.pad = 0;
  }
  return tokenizer;
}

nn::ClipText text_encoder_of(const Source& source, const FamilyEncoder& encoder) {
  const bool own = holds_part(source.layout, encoder.part);
  const fs::path beside = own ? fs::path() : text_beside(source.file.source, encoder);
  if (fs::is_directory(beside)) return nn::load_clip_text(beside);
  const data::Weights weights = own ? take_part(source.file, source.layout, encoder.part)
                                    : dequantised(data::read_weights_file(beside));
  const auto heads = source.hints.text_heads.find(encoder.part);
  const nn::ClipTextConfig config =
      text_config_of(weights, encoder.open_clip || encoder.gelu,
                     heads == source.hints.text_heads.end() ? 0 : heads->second);
  nn::ClipText text = nn::take_clip_text(weights, config);
  if (encoder.projects_identity)
    text.text_projection = nn::Linear{at::eye(config.encoder.hidden_size), {}, {}};
  else if (projects(encoder))
    text.text_projection = nn::take_text_projection(weights, config);
  return text;
}

std::shared_ptr<const T5TextEncoder> t5_of(const Source& source, const FamilyEncoder& encoder) {
  const bool own = holds_part(source.layout, encoder.part);
  const fs::path file = source.file.source;
  const fs::path beside = own ? fs::path() : text_beside(file, encoder);
  if (!own && beside.empty()) return nullptr;
  const fs::path tokenizer = file.parent_path() / encoder.tokenizer;
  if (!fs::is_directory(tokenizer))
    throw BadInput(tokenizer.string() + ": expected the tokenizer of T5 (" +
                   (own ? file : beside).string() +
                   "), spiece.model or tokenizer.json, found nothing there; fetch it" +
                   (source.layout.family->t5_alone ? "" : ", or leave T5 out with --no_t5"));
  if (fs::is_directory(beside)) return load_t5_text(beside, tokenizer);
  const data::Weights weights = own ? take_part(source.file, source.layout, encoder.part)
                                    : dequantised(data::read_weights_file(beside));
  auto t5 = std::make_shared<T5TextEncoder>();
  t5->tokenizer = data::load_unigram_tokenizer(tokenizer);
  t5->tokenizer_files = tokenizer;
  t5->network = nn::take_t5_encoder(weights, nn::t5_config_of(weights));
  return t5;
}

void load_t5(const Source& source, const SingleFileOptions& options, SingleFile& loaded) {
  const auto& encoder = source.layout.family->t5_encoder;
  if (!encoder) return;
  loaded.pipeline.t5_text.emplace();
  if (options.without_t5) return;
  loaded.pipeline.t5_text->encoder = t5_of(source, *encoder);
  if (!loaded.pipeline.t5_text->encoder)
    loaded.notes.push_back("no T5 in the file, nor " + std::string(encoder->stem) +
                           "*.safetensors or " + encoder->part +
                           " beside it: zeros in its rows' place, as diffusers");
}

// The text encoders and their tokenizers, which know the end token.
void load_text(const Source& source, const SingleFileOptions& options, Pipeline& pipeline) {
  for (const auto& row : source.layout.family->text_encoders) {
    TextEncoder encoder{.network = text_encoder_of(source, row), .tokenizer = {}};
    encoder.tokenizer = tokenizer_of(source, options, row.tokenizer, encoder.network);
    encoder.network.config.eos_token_id = encoder.tokenizer.eos;
    pipeline.text_encoders.push_back(encoder);
  }
  pipeline.force_zeros_for_empty_prompt = source.layout.family->reads_pooled_text;
}

// The class of diffusers' pipeline.
std::string class_of(const ModelFamily& family, const UNetConfig& unet) {
  for (const auto& one : family.classes) {
    if (one.embeds_guidance == (unet.time_cond_proj_dim > 0) &&
        one.edits_images == reads_image(unet))
      return one.name;
  }
  return family.classes.front().name;
}

// Stable Diffusion 2 came as both, under the same names. A UNet that predicts noise answers noise
// with about itself; one that predicts v answers far below (AUTOMATIC1111's test).
bool predicts_v(const UNet& unet) {
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::full({1, unet.config.in_channels, 8, 8}, 0.5);
  const at::Tensor text = at::full({1, 2, unet.config.cross_attention_dim}, 0.5);
  const at::Tensor answer = unet_forward(unet, x, at::full({1}, 999), text);
  return (answer - 0.5).mean().item<double>() < -1;
}

// Whether the file leaves open what the UNet predicts.
bool is_asked(const Source& source) {
  return source.layout.family->both_predictions && !source.hints.prediction;
}

void set_prediction_by_answer(Source& source, UNet& unet, std::vector<std::string>& notes) {
  if (!is_asked(source)) return;
  const bool v = predicts_v(unet);
  source.hints.prediction = v ? Prediction::kV : Prediction::kEpsilon;
  set_prediction(unet.config, *source.layout.family, source.hints);
  notes.push_back("the UNet's answer to noise says that it predicts " +
                  prediction_name(*source.hints.prediction) + "; --prediction_type overrides");
}

void check_channels(const UNetConfig& config, const data::Weights& file) {
  const int64_t out = config.out_channels;
  if (config.in_channels == out || config.in_channels == 2 * out) return;
  throw BadInput(file.source + ": found a " + identify(file).kind + ", whose UNet reads " +
                 std::to_string(config.in_channels) + " channels; expected " + std::to_string(out) +
                 ", or " + std::to_string(2 * out) +
                 " of InstructPix2Pix; other kinds are not supported");
}

void read_unet(Source& source, bool as_stored, SingleFile& loaded) {
  Pipeline& pipeline = loaded.pipeline;
  const ModelFamily& family = *source.layout.family;
  const data::Weights weights = take_part(source.file, source.layout, kUnetPart);
  const int64_t pooled = pooled_width(source.file, source.layout);
  const UNetConfig config = unet_config_of(weights, family, source.hints, pooled);
  check_channels(config, source.file);
  UNet unet = as_stored && !is_asked(source) ? stored_unet_from_weights(weights, config)
                                             : unet_from_weights(weights, config);
  set_prediction_by_answer(source, unet, loaded.notes);
  pipeline.network = unet;
  pipeline.scheduler = scheduler_config_of(unet.config, family, source.hints);
  pipeline.class_name = class_of(family, unet.config);
}

void read_transformer(const Source& source, const SingleFileOptions& options, Pipeline& pipeline) {
  const ModelFamily& family = *source.layout.family;
  const std::string velocity = prediction_name(Prediction::kFlow);
  if (!options.prediction_type.empty() && options.prediction_type != velocity)
    throw BadInput("--prediction_type: expected " + velocity + " of " + family.name + ", found " +
                   options.prediction_type + "; leave it out");
  const data::Weights weights = take_part(source.file, source.layout, family.network_part);
  pipeline.network = transformer_kind(family).read(weights, family, source.hints,
                                                   options.holding.streamed && source.mapped);
  // FLUX.1: the shift of dev follows the image's size, schnell has none.
  const bool dynamic_shift = traits(pipeline.network).guidance.has_value();
  pipeline.scheduler = flow_scheduler_of(family, dynamic_shift);
  pipeline.class_name = family.classes.front().name;
}

void note_averages(const data::Weights& file, std::vector<std::string>& notes) {
  const auto averages = std::count_if(file.tensors.begin(), file.tensors.end(), [](auto& entry) {
    return entry.first.starts_with("model_ema.");
  });
  if (averages > 0)
    notes.push_back(
        "model_ema.*: " + std::to_string(averages) +
        " tensors of a moving average are passed over; the weights themselves are used");
}

Source open_source(const fs::path& path, const SingleFileOptions& options) {
  Source source{.file = data::read_weights_file(path), .layout = {}, .hints = {}};
  source.layout = ldm_layout(source.file);
  source.mapped = !holds_scaled_weights(source.file);
  if (source.layout.blocks > 0) source.file = dequantised(source.file);
  check_parts(source, options);
  source.hints = read_hints(source.file);
  if (!options.prediction_type.empty()) {
    source.hints.prediction = prediction_from_name(options.prediction_type, "--prediction_type");
    source.hints.prediction_from = "--prediction_type";
  }
  return source;
}

Vae vae_of(const Source& source, const SingleFileOptions& options) {
  const ModelFamily& family = *source.layout.family;
  if (!options.vae.empty())
    return load_vae_alone(options.vae, scaling_factor_of(family, source.hints),
                          family.shift_factor);
  if (source.layout.vae.empty())
    return load_vae_alone(text_beside(source.file.source, vae_encoder(family)),
                          scaling_factor_of(family, source.hints), family.shift_factor);
  const data::Weights weights = take_part(source.file, source.layout, kVaePart);
  return vae_from_weights(weights, vae_config_of(weights, family, source.hints));
}

}  // namespace

SingleFile load_single_file(const fs::path& path, const SingleFileOptions& options) {
  Source source = open_source(path, options);
  SingleFile loaded;
  Pipeline& pipeline = loaded.pipeline;
  note_averages(source.file, loaded.notes);
  load_text(source, options, pipeline);
  load_t5(source, options, loaded);
  pipeline.vae = vae_of(source, options);
  if (source.layout.blocks > 0)
    read_transformer(source, options, pipeline);
  else
    read_unet(source, options.holding.as_stored, loaded);
  pipeline.source = path;
  pipeline.cache = make_prompt_cache();
  set_family_defaults(pipeline, *source.layout.family);
  check_fit(pipeline, path.string());
  return loaded;
}

Vae load_vae_alone(const fs::path& path, double scaling_factor, double shift_factor) {
  if (fs::is_directory(path)) return load_vae(path);
  const data::Weights file = data::read_weights_file(path);
  const std::string start =
      data::has_prefix(file, "first_stage_model.") ? "first_stage_model." : "";
  const bool original = data::has_prefix(file, start + "decoder.up.");
  if (!original && !data::has_prefix(file, start + "decoder.up_blocks."))
    throw BadInput(path.string() + ": expected a VAE, found " + identify(file).kind);
  data::Weights whole;  // as it stands in a whole checkpoint
  whole.source = file.source;
  for (const auto& [name, tensor] : file.tensors) {
    const std::string bare = name.starts_with(start) ? name.substr(start.size()) : name;
    whole.tensors[original ? "first_stage_model." + bare : current_vae_name(bare)] = tensor;
  }
  LdmHints hints = read_hints(file);
  if (hints.scaling_factor == 0) hints.scaling_factor = scaling_factor;
  LdmLayout layout{.family = &family_of_network(0, false, false), .vae = ""};
  layout.vae = "first_stage_model.";
  layout.vae_levels = data::count_numbered(whole, "first_stage_model.decoder.up.");
  const data::Weights weights = original ? take_part(whole, layout, kVaePart) : whole;
  VaeConfig config = vae_config_of(weights, *layout.family, hints);
  config.shift_factor = shift_factor;
  return vae_from_weights(weights, config);
}

}  // namespace diffusion
