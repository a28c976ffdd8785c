#include "diffusion/families/families.hpp"

#include <algorithm>

#include "data/base/error.hpp"
#include "diffusion/naming/part_names.hpp"

namespace diffusion {
namespace {

// Classes of Stable Diffusion 1 and 2.
std::vector<PipelineClass> sd_classes() {
  return {{.name = "StableDiffusionPipeline"},
          {.name = "StableDiffusionImg2ImgPipeline"},
          {.name = "StableDiffusionInpaintPipeline"},
          {.name = "StableDiffusionInstructPix2PixPipeline", .edits_images = true},
          {.name = "LatentConsistencyModelPipeline", .embeds_guidance = true},
          {.name = "LatentConsistencyModelImg2ImgPipeline", .embeds_guidance = true}};
}

// Parts that Stable Diffusion 1 and 2 have beside SDXL's.
std::vector<const char*> safety_parts() {
  return {"feature_extractor", "image_encoder", "safety_checker"};
}

ModelFamily sd1() {
  return {.name = "Stable Diffusion 1",
          .prefixes = {"cond_stage_model.transformer."},
          .context_width = 768,
          .classes = sd_classes(),
          .text_encoders = {{.part = kTextPart,
                             .tokenizer = "tokenizer",
                             .prefix = "cond_stage_model.transformer."}},
          .absent_parts = safety_parts(),
          .scheduler_class = "PNDMScheduler",
          .unet_heads = 8,
          .text_layer =
              "the last, then the final norm (some models are made for clip_skip 1: not "
              "in the file)",
          .kohya_version = "sd_v1",
          .architecture = "stable-diffusion-v1/lora"};
}

ModelFamily sd2() {
  return {.name = "Stable Diffusion 2",
          .prefixes = {"cond_stage_model.model."},
          .context_width = 1024,
          .linear_projection = true,
          .classes = sd_classes(),
          .text_encoders = {{.part = kTextPart,
                             .tokenizer = "tokenizer",
                             .prefix = "cond_stage_model.model.",
                             .open_clip = true,
                             .drops_last_layer = true}},
          .absent_parts = safety_parts(),
          .both_predictions = true,
          .v_sample_size = 96,
          .text_layer = "the last but one of OpenCLIP-H, then the final norm",
          .kohya_version = "sd_v2",
          .architecture = "stable-diffusion-v2-512/lora"};
}

ModelFamily sdxl() {
  return {.name = "SDXL",
          .prefixes = {"conditioner.embedders.1."},
          .context_width = 2048,
          .reads_pooled_text = true,
          .linear_projection = true,
          .classes = {{.name = "StableDiffusionXLPipeline"},
                      {.name = "StableDiffusionXLImg2ImgPipeline"}},
          .text_encoders = {{.part = kTextPart,
                             .tokenizer = "tokenizer",
                             .prefix = "conditioner.embedders.0.transformer."},
                            {.part = kText2Part,
                             .tokenizer = "tokenizer_2",
                             .prefix = "conditioner.embedders.1.model.",
                             .class_name = "CLIPTextModelWithProjection",
                             .open_clip = true}},
          .scheduler_class = "EulerDiscreteScheduler",
          .sample_size = 128,
          .vae_sample_size = 1024,
          .scaling_factor = 0.13025,
          .vae_overflows = true,
          .text_layer =
              "the last but one of both encoders, without the final norm (clip_skip "
              "counts from there)",
          .kohya_version = "sdxl_base_v1-0",
          .architecture = "stable-diffusion-xl-v1-base/lora"};
}

// Also 3.5: their networks differ in what config.json says alone.
ModelFamily sd3() {
  return {.name = "Stable Diffusion 3",
          .prefixes = {"model.diffusion_model.joint_blocks.", "joint_blocks."},
          .context_width = 4096,
          .says_velocity = true,
          .classes = {{.name = "StableDiffusion3Pipeline"},
                      {.name = "StableDiffusion3Img2ImgPipeline"},
                      {.name = "StableDiffusion3InpaintPipeline"}},
          .network_part = kTransformerPart,
          .network_class = "SD3Transformer2DModel",
          .blocks = "joint_blocks.",
          .text_encoders = {{.part = kTextPart,
                             .tokenizer = "tokenizer",
                             .prefix = "text_encoders.clip_l.transformer.",
                             .class_name = "CLIPTextModelWithProjection",
                             .projects_identity = true,
                             .stem = "clip_l"},
                            {.part = kText2Part,
                             .tokenizer = "tokenizer_2",
                             .prefix = "text_encoders.clip_g.transformer.",
                             .class_name = "CLIPTextModelWithProjection",
                             .gelu = true,
                             .stem = "clip_g"}},
          .t5_encoder = FamilyEncoder{.part = kText3Part,
                                      .tokenizer = "tokenizer_3",
                                      .prefix = "text_encoders.t5xxl.transformer.",
                                      .class_name = "T5EncoderModel",
                                      .stem = "t5xxl"},
          .scheduler_class = "FlowMatchEulerDiscreteScheduler",
          .flow_shift = 3,
          .sample_size = 128,
          .vae_sample_size = 1024,
          .scaling_factor = 1.5305,
          .shift_factor = 0.0609,
          .vae_overflows = true,
          .text_layer =
              "the last but one of both CLIPs, without the final norm (clip_skip counts from "
              "there); then T5's rows",
          .kohya_version = "sd3",
          .architecture = "stable-diffusion-3/lora"};
}

// dev, schnell and their kin: what config.json says alone, guidance_embeds, tells them apart.
ModelFamily flux1() {
  return {.name = "FLUX.1",
          .prefixes = {"model.diffusion_model.double_blocks.", "double_blocks."},
          .context_width = 4096,
          .says_velocity = true,
          .classes = {{.name = "FluxPipeline"},
                      {.name = "FluxImg2ImgPipeline"},
                      {.name = "FluxInpaintPipeline"}},
          .network_part = kTransformerPart,
          .network_class = "FluxTransformer2DModel",
          .blocks = "double_blocks.",
          .text_encoders = {{.part = kTextPart,
                             .tokenizer = "tokenizer",
                             .prefix = "text_encoders.clip_l.transformer.",
                             .stem = "clip_l"}},
          .t5_encoder = FamilyEncoder{.part = kText2Part,
                                      .tokenizer = "tokenizer_2",
                                      .prefix = "text_encoders.t5xxl.transformer.",
                                      .class_name = "T5EncoderModel",
                                      .stem = "t5xxl"},
          .t5_alone = true,
          .vae_stem = "ae",
          .scheduler_class = "FlowMatchEulerDiscreteScheduler",
          .flow_shift = 1,
          .even_times = true,
          .sample_size = 128,
          .vae_sample_size = 1024,
          .scaling_factor = 0.3611,
          .shift_factor = 0.1159,
          .vae_overflows = true,
          .guidance_scale = 1,
          .kohya_original = true,
          .own_modules = "single_transformer_blocks.",
          .own_width = 3072,
          .text_layer = "T5's rows; CLIP's end token after the final norm",
          .kohya_version = "flux1",
          .architecture = "flux-1-dev/lora"};
}

ModelFamily sdxl_refiner() {
  return {.name = "SDXL refiner",
          .supported = false,
          .instead = "use the base model",
          .prefixes = {"conditioner.embedders.0.model."},
          .context_width = 1280,
          .reads_pooled_text = true,
          .linear_projection = true};
}

// Kin of FLUX.1 with other blocks. Both have double_blocks, so they are looked for before it.
ModelFamily chroma() {
  return {
      .name = "Chroma",
      .supported = false,
      .instead = "use FLUX.1",
      .prefixes = {"model.diffusion_model.distilled_guidance_layer.", "distilled_guidance_layer."},
      .network_part = kTransformerPart,
      .blocks = "double_blocks."};
}

ModelFamily flux2() {
  return {.name = "FLUX.2",
          .supported = false,
          .instead = "use FLUX.1",
          .prefixes = {"model.diffusion_model.double_stream_modulation_img.",
                       "double_stream_modulation_img."},
          .network_part = kTransformerPart,
          .blocks = "double_blocks."};
}

}  // namespace

bool projects(const FamilyEncoder& encoder) {
  return encoder.class_name == std::string("CLIPTextModelWithProjection");
}

const std::vector<ModelFamily>& model_families() {
  static const std::vector<ModelFamily> families = {sdxl(), sdxl_refiner(), sd2(),   sd1(),
                                                    sd3(),  chroma(),       flux2(), flux1()};
  return families;
}

const ModelFamily& family_of_network(int64_t context_width,
                                     bool reads_pooled_text,
                                     bool linear_projection) {
  const ModelFamily* result = nullptr;
  for (const auto& family : model_families()) {
    if (family.network_part != std::string(kUnetPart)) continue;
    // Networks with pooled text all have linear projections.
    const bool fits = family.reads_pooled_text == reads_pooled_text &&
                      (reads_pooled_text || family.linear_projection == linear_projection);
    if (fits && !family.supported && family.context_width == context_width) return family;
    if (fits && family.supported && !result) result = &family;
  }
  return *result;
}

const ModelFamily* family_of_width(int64_t context_width) {
  for (const auto& family : model_families()) {
    if (family.context_width == context_width) return &family;
  }
  return nullptr;
}

const ModelFamily& family_of_transformer(
    const std::function<bool(const std::string& start)>& has_module, int64_t width) {
  const ModelFamily* plain = nullptr;
  for (const auto& family : model_families()) {
    if (family.network_part != std::string(kTransformerPart) || !family.supported) continue;
    if (*family.own_modules == '\0' && plain == nullptr) plain = &family;
    if (*family.own_modules != '\0' &&
        (has_module(family.own_modules) || width == family.own_width))
      return family;
  }
  return *plain;
}

const ModelFamily* family_of_name(const std::string& name) {
  for (const auto& family : model_families()) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

ClassFamily class_family(const std::string& class_name, const std::string& source) {
  std::vector<std::string> names;
  for (const auto& family : model_families()) {
    for (const auto& one : family.classes) {
      if (class_name == one.name) return {one, family};
      if (std::find(names.begin(), names.end(), one.name) == names.end()) names.push_back(one.name);
    }
  }
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "" : ", ") + name;
  throw data::BadInput(source + ": _class_name: expected one of " + list + "; found \"" +
                       class_name + "\"; this kind of model is not supported");
}

}  // namespace diffusion
