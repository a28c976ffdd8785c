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
  const fs::path beside =
      fs::absolute(parts.text_encoder / "").parent_path().parent_path() / "tokenizer";
  pipeline.text_encoders.push_back(
      {.network = nn::load_clip_text(parts.text_encoder),
       .tokenizer = data::load_tokenizer(parts.tokenizer.empty() ? beside : parts.tokenizer)});
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
  const auto& encoders = class_family(index.class_name, folder.string()).family.text_encoders;
  for (size_t i = 1; i < encoders.size(); ++i) {
    pipeline.text_encoders.push_back(
        {.network = nn::load_clip_text(folder / encoders[i].part),
         .tokenizer = data::load_tokenizer(folder / encoders[i].tokenizer)});
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
  const auto& encoders = class_family(pipeline.class_name, folder.string()).family.text_encoders;
  for (size_t i = 0; i < pipeline.text_encoders.size(); ++i) {
    nn::save_clip_text(folder / encoders.at(i).part, pipeline.text_encoders[i].network, dtype);
    data::save_tokenizer(folder / encoders.at(i).tokenizer, pipeline.text_encoders[i].tokenizer);
  }
  write_scheduler_config(folder / "scheduler", pipeline.scheduler);
  const bool projects = pipeline.text_encoders[0].network.text_projection.weight.defined();
  write_model_index(folder,
                    {.class_name = pipeline.class_name,
                     .scheduler = pipeline.scheduler.class_name,
                     .text_encoder = projects ? "CLIPTextModelWithProjection" : "CLIPTextModel",
                     .force_zeros_for_empty_prompt = pipeline.force_zeros_for_empty_prompt});
}

}  // namespace diffusion
