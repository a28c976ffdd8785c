// Settings: TOML, and the configurations of models and schedulers.

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/families/ldm_hints.hpp"
#include "diffusion/networks/flux/config.hpp"
#include "diffusion/networks/mmdit/config.hpp"
#include "diffusion/networks/unet/config.hpp"
#include "diffusion/sampling/scheduler_config.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"
#include "tools/cli/config_file.hpp"

namespace fuzz {
namespace {

void toml(std::string_view input) {
  for (const auto& entry : tools::read_config_file(file_of("config.toml", input))) {
    if (!entry.is_text) continue;
    const auto file = file_of("again.toml", "key = " + tools::toml_text(entry.words.at(0)));
    bool same = false;
    try {
      same = tools::read_config_file(file).at(0).words == entry.words;
    } catch (const data::BadInput&) {
    }
    require(same, "a text that is written is read back");
  }
}

void scheduler(std::string_view input) {
  diffusion::read_scheduler_config(file_of("scheduler_config.json", input));
}

void unet(std::string_view input) { diffusion::read_unet_config(file_of("config.json", input)); }

void mmdit(std::string_view input) { diffusion::read_mmdit_config(file_of("config.json", input)); }

void flux(std::string_view input) { diffusion::read_flux_config(file_of("config.json", input)); }

// The two files beside a checkpoint, and its metadata.
void hints(std::string_view input) {
  const auto parts = parts_of(input, 3);
  file_of("model.json", parts[0]);
  file_of("model.yaml", parts[1]);
  data::Weights weights;
  weights.source = (scratch() / "model.safetensors").string();
  weights.metadata["modelspec.prediction_type"] = parts[2];
  diffusion::read_hints(weights);
}

}  // namespace

Targets config_targets() {
  return {
      {.name = "toml",
       .run = toml,
       .seeds = {"a = 1\nb = \"x \\u00e9\"\nc = [1, 2.5, true]\nd.e = 'y'\n",
                 "x = \"\"\"a\nb\"\"\"\n"},
       .words = {"[a]", "[[a]]", "\"\"\"", "'''", "= nan", "= inf", "0x", "1979-05-27T07:32:00Z",
                 "{a = 1}", "a.b.c = ", "\\U0010FFFF", "1e400"}},
      {.name = "scheduler_config",
       .run = scheduler,
       .seeds =
           {R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})",
            R"({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": )"
            R"("sde-dpmsolver++", "use_karras_sigmas": true, "lambda_min_clipped": -Infinity})"},
       .golden = {"pipeline/scheduler/scheduler_config.json"},
       .words = {"trained_betas", "num_train_timesteps", "timestep_spacing", "use_flow_sigmas",
                 "disable_corrector", "solver_order", "UniPCMultistepScheduler", "1e7"}},
      {.name = "unet_config",
       .run = unet,
       .golden = {"unet_sd1/config.json", "unet_sdxl/config.json"},
       .words = {"block_out_channels", "attention_head_dim", "\"reward_condition\"", "16777216",
                 "[[1]]", "-1"}},
      {.name = "mmdit_config",
       .run = mmdit,
       .golden = {"mmdit_sd3/config.json", "mmdit_sd35/config.json"},
       .words = {"dual_attention_layers", "num_layers", "qk_norm", "patch_size", "16777216"}},
      {.name = "flux_config",
       .run = flux,
       .golden = {"flux_dev/config.json", "flux_odd/config.json"},
       .words = {"axes_dims_rope", "num_single_layers", "guidance_embeds", "[16, 56, 56]",
                 "16777216"}},
      {.name = "checkpoint_hints",
       .run = hints,
       .seeds =
           {R"({"unet": {"attention_head_dim": 8}, "scheduler": {"prediction_type": "epsilon"}})"
            "\n%%\nmodel:\n  parameterization: \"v\"\n  scale_factor: 0.18215\n  num_heads: 8\n"
            "\n%%\nv"},
       .words = {"\n%%\n", "num_head_channels: -1", "scale_factor: ", "\"scaling_factor\"",
                 "1e400"}},
  };
}

}  // namespace fuzz
