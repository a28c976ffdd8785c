// LoRAs: the names of their tensors, and whole files.

#include "diffusion/lora/names.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/naming/ldm_names.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

void names(std::string_view input) {
  const std::string name(input);
  for (const int64_t count : {1, 2, 4}) {
    diffusion::unet_name(name, count);
    diffusion::vae_name(name, count);
    diffusion::diffusers_module(name, count);
  }
  diffusion::open_clip_name(name);
  diffusion::current_vae_name(name);
  diffusion::dotted_module(name);
  const auto parsed = diffusion::parse_lora_name(name, "input");
  require(!parsed.part.empty() && !parsed.role.empty(), "a name has its parts");
}

void file(std::string_view input) {
  const auto lora = diffusion::read_lora(file_of("input.safetensors", input));
  for (const auto& [part, modules] : lora.parts) {
    for (const auto& [module, change] : modules) {
      diffusion::change_rank(change);
      int64_t values = 1;
      for (const int64_t size : diffusion::change_shape(change)) values *= size;
      if (values <= 1 << 14) touch(diffusion::dense_change(change));
    }
  }
  diffusion::lora_summary(lora);
}

std::string tiny_lora() {
  const std::string header =
      R"({"lora_unet_mid_block_attentions_0_proj_in.alpha":{"dtype":"F32","shape":[],)"
      R"("data_offsets":[0,4]},"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight":)"
      R"({"dtype":"F16","shape":[1,2],"data_offsets":[4,8]},)"
      R"("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight":{"dtype":"F16","shape":[3,1],)"
      R"("data_offsets":[8,14]}})";
  return little_endian(header.size(), 8) + header + std::string(14, '\x38');
}

}  // namespace

Targets lora_targets() {
  return {
      {.name = "tensor_names",
       .run = names,
       .seeds = {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
                 "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
                 "lora_te1_text_model_encoder_layers_0_mlp_fc1.hada_w1_a",
                 "input_blocks.1.0.in_layers.0.weight", "decoder.up.3.block.0.norm1.weight",
                 "transformer.resblocks.0.attn.in_proj_weight", "bundle_emb.x.string_to_param.*"},
       .words = {"lora_unet_", "lora_te2_", "base_model.model.", ".lora_B.weight", ".alpha",
                 ".dora_scale", "input_blocks_", "output_blocks.", ".lokr_w1", "text_encoder_2.",
                 "99999999999999999999"},
       .longest = 512},
      {.name = "lora_file",
       .run = file,
       .seeds = {tiny_lora()},
       .golden = {"lora/tucker.safetensors", "lora/older.bin"},
       .words = {".lora_down.weight", ".lora_up.weight", ".alpha", ".hada_w1_a", ".lokr_w1",
                 ".lora_mid.weight", ".diff", "\"shape\":[]", "lora_adapter_metadata",
                 "unet.lora_alpha"},
       .longest = 6000},
  };
}

}  // namespace fuzz
