#include "finetune/pretrain/flow.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/sigma_schedule.hpp"

namespace finetune {
namespace {

// t: [B] -> [B, 1, 1, 1] each
diffusion::NoiseLevels flow_levels(const at::Tensor& t) {
  const at::Tensor noise = t.view({-1, 1, 1, 1});
  return {1 - noise, noise};
}

// The timesteps at which the teacher saw the noise-to-signal ratios of t. -> [B] fp32
at::Tensor teacher_timesteps(const diffusion::NoiseSchedule& schedule, const at::Tensor& t) {
  const auto trained = diffusion::training_sigmas(schedule);
  at::Tensor result = at::empty_like(t, at::kFloat);
  for (int64_t i = 0; i < t.size(0); ++i) {
    const double noise = t[i].item<double>();
    result[i].fill_(diffusion::timestep_of(noise / (1 - noise), trained));
  }
  return result;
}

// The teacher's output, guided where it is asked for. x: [B, C, h, w], timesteps: [B], caption: [B]
at::Tensor teacher_output(const VelocityTeacher& teacher,
                          const at::Tensor& x,
                          const at::Tensor& timesteps,
                          const at::Tensor& caption) {
  const auto of = [&](const at::Tensor& rows) {
    return teacher.hidden.index_select(0, rows).to(at::kFloat);
  };
  if (teacher.guidance_scale <= 1)
    return diffusion::forward(teacher.network, x, timesteps, of(caption));
  const at::Tensor both =
      diffusion::forward(teacher.network, at::cat({x, x}), at::cat({timesteps, timesteps}),
                         of(at::cat({at::zeros_like(caption), caption})));
  return diffusion::guide(both, teacher.guidance_scale);
}

}  // namespace

at::Tensor logit_normal_times(int64_t count, double mean, double std, at::Generator& generator) {
  const at::Tensor offset = at::rand({1}, generator, at::kDouble);
  const at::Tensor place = (at::arange(count, at::kDouble) + offset) / static_cast<double>(count);
  const at::Tensor z = std::sqrt(2.0) * at::erfinv(2 * place - 1);
  return at::sigmoid(mean + std * z).to(at::kFloat);
}

at::Tensor teacher_velocity(const VelocityTeacher& teacher,
                            const at::Tensor& x,
                            const at::Tensor& t,
                            const at::Tensor& caption) {
  const at::NoGradGuard no_grad;
  const auto levels = flow_levels(t);
  const at::Tensor norm = (levels.signal.square() + levels.noise.square()).sqrt();
  const at::Tensor scaled = x / norm;
  const at::Tensor output =
      teacher_output(teacher, scaled, teacher_timesteps(teacher.schedule, t), caption);
  const auto predicted =
      diffusion::predict(teacher.schedule.config.prediction_type,
                         {levels.signal / norm, levels.noise / norm}, output, scaled);
  return predicted.epsilon - predicted.x0;
}

at::Tensor flow_loss(const diffusion::Network& network,
                     const PretrainBatch& batch,
                     int64_t num_train_timesteps,
                     const VelocityTeacher* teacher) {
  const auto levels = flow_levels(batch.t);
  const at::Tensor x = diffusion::add_noise(levels, batch.latents, batch.noise);
  at::Tensor target =
      diffusion::training_target(diffusion::Prediction::kFlow, levels, batch.latents, batch.noise);
  if (teacher != nullptr) {
    const double last = diffusion::training_sigmas(teacher->schedule).back();
    const at::Tensor known = (batch.t <= last / (1 + last)).nonzero().squeeze(1);
    const auto some = [&](const at::Tensor& all) { return all.index_select(0, known); };
    if (known.size(0) > 0)
      target = target.index_copy(
          0, known, teacher_velocity(*teacher, some(x), some(batch.t), some(batch.caption)));
  }
  diffusion::ExtraConditions extra;
  extra.text_embeds = batch.pooled;
  const at::Tensor output = diffusion::forward(
      network, x, batch.t * static_cast<double>(num_train_timesteps), batch.hidden, extra);
  return (output - target).square().mean();
}

diffusion::MMDiT make_flow_network(const diffusion::MMDiTConfig& config, at::Generator& generator) {
  diffusion::MMDiT network = diffusion::make_mmdit(config, generator);
  const auto zero = [](nn::Linear& layer) {
    layer.weight.zero_();
    layer.bias.zero_();
  };
  for (auto& block : network.transformer_blocks) {
    zero(block.image.modulation);
    zero(block.text.modulation);
  }
  zero(network.norm_out);
  zero(network.proj_out);
  return network;
}

PretrainObjective flow_objective(const FlowObjectiveOptions& options,
                                 const diffusion::SchedulerConfig& scheduler) {
  const int64_t timesteps = scheduler.num_train_timesteps;
  const bool taught = options.teacher != nullptr;
  return {.settings = {{"logit_mean", std::to_string(options.logit_mean)},
                       {"logit_std", std::to_string(options.logit_std)},
                       {"teacher_share", std::to_string(taught ? options.teacher_share : 0)},
                       {"teacher_guidance_scale",
                        std::to_string(taught ? options.teacher->guidance_scale : 0)}},
          .make_network = [options](at::Generator& generator) -> diffusion::Network {
            return make_flow_network(options.model, generator);
          },
          .draw_times =
              [options](int64_t count, at::Generator& generator) {
                return logit_normal_times(count, options.logit_mean, options.logit_std, generator);
              },
          .loss =
              [options, timesteps](const diffusion::Network& network, const PretrainBatch& batch,
                                   double done) {
                const bool teach = options.teacher && done < options.teacher_share;
                return flow_loss(network, batch, timesteps,
                                 teach ? options.teacher.get() : nullptr);
              },
          .held_out_loss =
              [timesteps](const diffusion::Network& network, const PretrainBatch& batch) {
                return flow_loss(network, batch, timesteps, nullptr);
              }};
}

}  // namespace finetune
