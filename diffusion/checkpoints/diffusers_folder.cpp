#include "diffusion/checkpoints/diffusers_folder.hpp"

#include "data/text/clip_tokenizer_files.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/checkpoints/model_index.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/families/family_defaults.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/pipeline/t5_text.hpp"

namespace fs = std::filesystem;

namespace diffusion {

Pipeline load_parts(const PipelineParts& parts) {
  Pipeline pipeline;
  pipeline.vae = load_vae(parts.vae);
  const fs::path beside =
      fs::absolute(parts.text_encoder / "").parent_path().parent_path() / "tokenizer";
  pipeline.text_encoders.push_back(
      {.network = nn::load_clip_text(parts.text_encoder),
       .tokenizer = data::load_tokenizer(parts.tokenizer.empty() ? beside : parts.tokenizer)});
  pipeline.cache = make_prompt_cache();
  return pipeline;
}

Pipeline load_pipeline(const fs::path& folder, const FolderOptions& options) {
  const ModelIndex index = read_model_index(folder);
  Pipeline pipeline = load_parts({.vae = folder / "vae",
                                  .text_encoder = folder / "text_encoder",
                                  .tokenizer = folder / "tokenizer"});
  pipeline.class_name = index.class_name;
  pipeline.force_zeros_for_empty_prompt = index.force_zeros_for_empty_prompt;
  const ModelFamily& family = class_family(index.class_name, folder.string()).family;
  const auto& encoders = family.text_encoders;
  for (size_t i = 1; i < encoders.size(); ++i) {
    pipeline.text_encoders.push_back(
        {.network = nn::load_clip_text(folder / encoders[i].part),
         .tokenizer = data::load_tokenizer(folder / encoders[i].tokenizer)});
  }
  if (const auto& t5 = family.t5_encoder) {
    pipeline.t5_text.emplace();
    if (index.has_t5 && !options.without_t5)
      pipeline.t5_text->encoder = load_t5_text(folder / t5->part, folder / t5->tokenizer);
    if (index.max_sequence_length)
      pipeline.t5_text->max_sequence_length = *index.max_sequence_length;
  }
  pipeline.scheduler = read_scheduler_config(folder / "scheduler");
  pipeline.network = load_network(folder / family.network_part, options.holding);
  pipeline.source = folder;
  set_family_defaults(pipeline, family);
  if (index.guidance_scale) pipeline.guidance_scale = index.guidance_scale;
  check_fit(pipeline, folder.string());
  return pipeline;
}

void save_pipeline(const fs::path& folder, const Pipeline& pipeline, at::ScalarType dtype) {
  save_network(folder, pipeline.network, dtype);
  save_vae(folder / "vae", pipeline.vae, dtype);
  const ModelFamily& family = class_family(pipeline.class_name, folder.string()).family;
  const auto& encoders = family.text_encoders;
  const bool has_t5 = pipeline.t5_text && pipeline.t5_text->encoder;
  if (has_t5)
    save_t5_text(folder / family.t5_encoder->part, folder / family.t5_encoder->tokenizer,
                 *pipeline.t5_text->encoder, dtype);
  for (size_t i = 0; i < pipeline.text_encoders.size(); ++i) {
    nn::save_clip_text(folder / encoders.at(i).part, pipeline.text_encoders[i].network, dtype);
    data::save_tokenizer(folder / encoders.at(i).tokenizer, pipeline.text_encoders[i].tokenizer);
  }
  write_scheduler_config(folder / "scheduler", pipeline.scheduler);
  const bool projects = pipeline.text_encoders[0].network.text_projection.weight.defined();
  ModelIndex index{.class_name = pipeline.class_name,
                   .scheduler = pipeline.scheduler.class_name,
                   .text_encoder = projects ? "CLIPTextModelWithProjection" : "CLIPTextModel",
                   .force_zeros_for_empty_prompt = pipeline.force_zeros_for_empty_prompt,
                   .has_t5 = has_t5};
  if (pipeline.t5_text && !has_t5 &&
      pipeline.t5_text->max_sequence_length != T5Text{}.max_sequence_length)
    index.max_sequence_length = pipeline.t5_text->max_sequence_length;
  if (pipeline.guidance_scale != family.guidance_scale)
    index.guidance_scale = pipeline.guidance_scale;
  write_model_index(folder, index);
}

}  // namespace diffusion
