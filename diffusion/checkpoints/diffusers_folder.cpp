#include "diffusion/checkpoints/diffusers_folder.hpp"

#include "data/text/clip_tokenizer_files.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/checkpoints/families.hpp"
#include "diffusion/checkpoints/model_index.hpp"
#include "diffusion/naming/part_names.hpp"
#include "diffusion/networks/vae/build.hpp"

namespace fs = std::filesystem;

namespace diffusion {

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
  if (class_family(index.class_name, folder.string()).family.text_encoders.size() > 1) {
    pipeline.text_encoder_2 = nn::load_clip_text(folder / "text_encoder_2");
    pipeline.tokenizer_2 = data::load_tokenizer(folder / "tokenizer_2");
  }
  pipeline.scheduler = read_scheduler_config(folder / "scheduler");
  pipeline.network = load_unet(folder / "unet");
  pipeline.source = folder;
  check_fit(pipeline, folder.string());
  return pipeline;
}

void save_network(const fs::path& folder, const Network& network, at::ScalarType dtype) {
  UNet unet = unet_of(network);
  save_unet(folder / kUnetPart, unet, dtype);
}

void save_pipeline(const fs::path& folder, const Pipeline& pipeline, at::ScalarType dtype) {
  save_network(folder, pipeline.network, dtype);
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

}  // namespace diffusion
