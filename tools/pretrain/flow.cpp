#include "tools/pretrain/flow.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "finetune/pretrain/flow.hpp"
#include "tools/pretrain/options.hpp"
#include "tools/pretrain/text_to_image.hpp"

namespace tools {
namespace {

struct PretrainFlowConfig {
  PretrainConfig common;
  finetune::FlowObjectiveOptions objective;
  double shift = 1;
  std::string teacher;
  double teacher_guidance_scale = 1;
};

void declare_model(Options& options, PretrainFlowConfig& s) {
  diffusion::MMDiTConfig& model = s.objective.model;
  options.group("model");
  options.integer("num_layers", model.num_layers, "joint blocks", 1, 64);
  options.integer("num_attention_heads", model.num_attention_heads, "heads of every attention", 1,
                  64);
  options.integer("attention_head_dim", model.attention_head_dim,
                  "channels of a head; times the heads: the width", 4, 1024);
  options.integer("patch_size", model.patch_size, "latents of a side that are one token", 1, 16);
  options.flag("qk_norm", model.qk_norm, "queries and keys are normalised, as in SD3.5");
  options.number("shift", s.shift, "shift of the scheduler that the checkpoint names", 0.01, 100);
}

void declare_objective(Options& options, PretrainFlowConfig& s) {
  options.number("logit_mean", s.objective.logit_mean, "mean of the logit-normal times", -10, 10);
  options.number("logit_std", s.objective.logit_std, "their standard deviation", 0.01, 10);
  options.text("teacher", s.teacher,
               "checkpoint of Stable Diffusion 1's kind over the same autoencoder, whose "
               "velocities are the targets; default: none");
  options.number("teacher_share", s.objective.teacher_share,
                 "part of the training, from its start, with the teacher", 0, 1);
  options.number("teacher_guidance_scale", s.teacher_guidance_scale,
                 "guidance scale of the teacher, which then needs none at sampling; 1: none", 1,
                 100);
}

// Both text encoders are the one that was given, and T5 has no rows.
diffusion::Pipeline flow_parts(PretrainFlowConfig& s) {
  auto parts = diffusion::load_parts({s.common.vae, s.common.text_encoder, s.common.tokenizer});
  const auto& family = *diffusion::family_of_name("Stable Diffusion 3");
  nn::ClipText& text = parts.text_encoders[0].network;
  const int64_t width = text.config.encoder.hidden_size;
  if (!text.text_projection.weight.defined()) {
    text.text_projection = {at::eye(width), {}, {}};
    text.config.projection_dim = width;
  }
  parts.text_encoders.push_back(parts.text_encoders[0]);
  parts.class_name = family.classes[0].name;
  parts.t5_text = diffusion::T5Text{.encoder = {}, .max_sequence_length = 0};
  if (!s.teacher.empty() && s.teacher_guidance_scale > 1) parts.guidance_scale = 1;
  parts.scheduler = diffusion::flow_scheduler_of(family, /*dynamic_shift=*/false);
  parts.scheduler.flow->shift = s.shift;
  diffusion::MMDiTConfig& model = s.objective.model;
  model.in_channels = model.out_channels = parts.vae.config.latent_channels;
  model.sample_size = s.common.resolution / diffusion::vae_factor(parts.vae.config);
  model.pos_embed_max_size = model.sample_size / model.patch_size;
  model.caption_projection_dim = diffusion::width_of(model);
  model.joint_attention_dim = 2 * width;
  model.pooled_projection_dim = 2 * text.config.projection_dim;
  diffusion::check_mmdit_config(model, "pretrain flow");
  if (model.sample_size % model.patch_size != 0)
    throw data::BadInput("pretrain flow: patch_size: expected a divisor of the latent's side " +
                         std::to_string(model.sample_size) + ", found " +
                         std::to_string(model.patch_size));
  parts.network = diffusion::meta_mmdit(model);  // until it is trained: its sizes
  return parts;
}

// Throws BadInput unless the teacher's latents are those of the flow and its levels have betas.
std::shared_ptr<const finetune::VelocityTeacher> open_teacher(const PretrainFlowConfig& s,
                                                              const diffusion::Pipeline& parts,
                                                              const PretrainData& data) {
  const diffusion::Pipeline teacher = diffusion::load_pipeline(s.teacher);
  if (teacher.scheduler.flow || diffusion::traits(teacher.network).pooled_width > 0)
    throw data::BadInput(
        "pretrain flow: teacher: expected a checkpoint of Stable Diffusion 1 or 2, "
        "found " +
        s.teacher + ", a " + teacher.class_name);
  const auto &own = parts.vae.config, &other = teacher.vae.config;
  if (own.latent_channels != other.latent_channels || own.scaling_factor != other.scaling_factor ||
      own.shift_factor != other.shift_factor)
    throw data::BadInput(
        "pretrain flow: teacher: expected the autoencoder of --vae, found another "
        "scaling_factor, shift_factor or latent_channels in " +
        s.teacher + "/vae/config.json; give its autoencoder as --vae");
  return std::make_shared<finetune::VelocityTeacher>(finetune::VelocityTeacher{
      teacher.network, diffusion::make_schedule(teacher.scheduler),
      with_text(s.common, data.train, teacher).hidden, s.teacher_guidance_scale});
}

int pretrain_flow_command(const std::vector<std::string>& arguments) {
  PretrainFlowConfig s;
  s.objective.model = {.patch_size = 2,
                       .num_layers = 4,
                       .attention_head_dim = 32,
                       .num_attention_heads = 6,
                       .qk_norm = true};
  Options options("pretrain flow",
                  "Trains a flow transformer of Stable Diffusion 3's layout on latents of an "
                  "autoencoder.");
  declare_data(options, s.common);
  declare_model(options, s);
  declare_optimisation(options, s.common);
  declare_objective(options, s);
  declare_exam(options, s.common);
  if (!options.parse(arguments).proceed) return 0;
  check_folders("pretrain flow", s.common);
  diffusion::Pipeline parts = flow_parts(s);
  data::write_file(s.common.train.loop.output_dir / "config.toml", options.resolved());
  const PretrainData data = pretrain_data(s.common, parts.vae);
  if (!s.teacher.empty()) s.objective.teacher = open_teacher(s, parts, data);
  return pretrain_and_save(s.common, finetune::flow_objective(s.objective, parts.scheduler), parts,
                           data, "flow transformer", "velocity");
}

}  // namespace

const Command kPretrainFlow{"flow", "a flow transformer of Stable Diffusion 3's layout",
                            pretrain_flow_command};

}  // namespace tools
