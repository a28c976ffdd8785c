#include "tools/pretrain/unet.hpp"

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "finetune/pretrain/unet.hpp"
#include "tools/pretrain/options.hpp"
#include "tools/pretrain/text_to_image.hpp"

namespace tools {
namespace {

struct PretrainUnetConfig {
  PretrainConfig common;
  finetune::UNetObjectiveOptions objective;
  std::string init_unet;
  std::vector<std::string> widths{"48", "96", "144"};
  int64_t layers_per_block = 1, heads = 4, attention_levels = 2;
};

void declare_model(Options& options, PretrainUnetConfig& s) {
  options.text(
      "init_unet", s.init_unet,
      "folder of a UNet to start from, in diffusers' layout; its shape replaces the model options");
  options.group("model");
  options.list("block_out_channels", s.widths,
               "channels of each level, finest first; each level halves the latent");
  options.integer("layers_per_block", s.layers_per_block, "residual blocks per level", 1, 8);
  options.integer("attention_levels", s.attention_levels,
                  "levels with attention, from the coarsest", 0, 8);
  options.integer("attention_heads", s.heads, "heads of every attention", 1, 64);
  options.integer("norm_num_groups", s.objective.model.norm_num_groups,
                  "groups of the group norms; must divide every level's channels", 1, 512);
}

// The config of the UNet to start from. Throws BadInput unless it fits the other parts.
void adopt_model(PretrainUnetConfig& s, const diffusion::Pipeline& parts) {
  auto& model = s.objective.model;
  s.objective.init_unet = s.init_unet;
  model = diffusion::read_unet_config(s.objective.init_unet / "config.json");
  const auto expect = [&](const char* key, int64_t found, int64_t expected, const char* part) {
    if (found != expected)
      throw data::BadInput(s.init_unet + "/config.json: " + key + ": expected " +
                           std::to_string(expected) + " as in the " + part + ", found " +
                           std::to_string(found) + "; give the " + part + " of this UNet");
  };
  expect("in_channels", model.in_channels, parts.vae.config.latent_channels, "vae");
  expect("cross_attention_dim", model.cross_attention_dim,
         parts.text_encoders[0].network.token_embedding.size(1), "text_encoder");
}

// Sets the config of the UNet from the options; text width and latent channels come from the other
// parts.
void resolve_model(PretrainUnetConfig& s, const diffusion::Pipeline& parts) {
  if (!s.init_unet.empty()) return adopt_model(s, parts);
  auto& model = s.objective.model;
  const size_t levels = s.widths.size();
  model.block_out_channels = whole_numbers(s.widths, "block_out_channels");
  model.down_attention.assign(levels, false);
  model.up_attention.assign(levels, false);
  for (int64_t i = 0; i < std::min(s.attention_levels, static_cast<int64_t>(levels)); ++i) {
    model.down_attention[levels - 1 - i] = true;
    model.up_attention[i] = true;
  }
  model.layers_per_block.assign(levels, s.layers_per_block);
  model.transformer_layers.assign(levels, 1);
  model.heads.assign(levels, s.heads);
  model.in_channels = model.out_channels = parts.vae.config.latent_channels;
  model.cross_attention_dim = parts.text_encoders[0].network.token_embedding.size(1);
  model.sample_size = s.common.resolution / diffusion::vae_factor(parts.vae.config);
  diffusion::check_unet_config(model, "pretrain unet");
}

int pretrain_unet_command(const std::vector<std::string>& arguments) {
  PretrainUnetConfig s;
  s.objective.model.norm_num_groups = 16;
  Options options("pretrain unet", "Trains a text-conditional UNet on latents of an autoencoder.");
  declare_data(options, s.common);
  declare_model(options, s);
  declare_optimisation(options, s.common);
  options.number("snr_gamma", s.objective.snr_gamma, "gamma of the loss's min-SNR weights; 0: off",
                 0, 1e6);
  declare_exam(options, s.common);
  if (!options.parse(arguments).proceed) return 0;
  check_folders("pretrain unet", s.common);
  diffusion::Pipeline parts =
      diffusion::load_parts({s.common.vae, s.common.text_encoder, s.common.tokenizer});
  resolve_model(s, parts);
  data::write_file(s.common.train.loop.output_dir / "config.toml", options.resolved());
  const PretrainData data = pretrain_data(s.common, parts.vae);
  return pretrain_and_save(s.common, finetune::unet_objective(s.objective, parts.scheduler), parts,
                           data, "UNet", "noise");
}

}  // namespace

const Command kPretrainUnet{"unet", "the text-conditional UNet of a latent-diffusion checkpoint",
                            pretrain_unet_command};

}  // namespace tools
