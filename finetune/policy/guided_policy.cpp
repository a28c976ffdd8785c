#include "finetune/policy/guided_policy.hpp"

#include <ATen/ATen.h>

#include <map>

#include "data/device/transfer.hpp"

namespace finetune {
namespace {

struct Rows {
  std::vector<int64_t> distinct;  // prompts
  std::vector<int64_t> place;     // of each latent's prompt among them
};

Rows distinct_rows(const std::vector<int64_t>& prompt_ids) {
  Rows rows;
  std::map<int64_t, int64_t> seen;
  for (const int64_t id : prompt_ids) {
    const auto [found, added] = seen.emplace(id, static_cast<int64_t>(rows.distinct.size()));
    if (added) rows.distinct.push_back(id);
    rows.place.push_back(found->second);
  }
  return rows;
}

// The distinct texts, the unconditional one before them where it is used.
at::Tensor table_of(const at::Tensor& texts,
                    const at::Tensor& negative,
                    const std::vector<int64_t>& distinct,
                    bool guided) {
  const at::Tensor rows = texts.index_select(0, data::to_device(distinct, texts.device()));
  return guided ? at::cat({negative, rows}) : rows;
}

// The source images and the request of each latent, in every branch.
void add_edit(const Guidance& guidance,
              const diffusion::UNetConfig& unet,
              const std::vector<int64_t>& prompt_ids,
              diffusion::BranchInputs& inputs) {
  const EditCondition& edit = guidance.edit;
  const auto rows_of = [&](const at::Tensor& all) {
    return all.index_select(0, data::to_device(prompt_ids, all.device()));
  };
  if (edit.image_latents.defined())
    inputs.image_latents = diffusion::branch_images(inputs.branches, rows_of(edit.image_latents));
  if (!diffusion::reads_reward(unet.reward)) return;
  const auto prompts = guidance.conditions.hidden.size(0);
  const diffusion::RewardCondition all = diffusion::completed(unet.reward, edit.reward, prompts);
  inputs.added.reward = diffusion::branch_rewards(
      inputs.branches, {rows_of(all.scores), rows_of(all.valid), rows_of(all.text)}, {});
}

at::Tensor guided_output(const diffusion::UNet& unet,
                         const Guidance& guidance,
                         const at::Tensor& x,
                         int64_t timestep,
                         const std::vector<int64_t>& prompt_ids) {
  const diffusion::GuidanceOptions options{.scale = guidance.scale,
                                           .image_scale = guidance.edit.image_scale};
  diffusion::BranchInputs inputs;
  inputs.branches = diffusion::guidance_batch(unet.config, options);
  const bool guided = inputs.branches != diffusion::GuidanceBatch::kPrompt;
  const Rows rows = distinct_rows(prompt_ids);
  at::Tensor place = at::tensor(rows.place, at::kLong);  // in the table
  if (guided) place = diffusion::branch_rows(inputs.branches, place + 1, at::zeros_like(place));
  place = data::to_device(place, x.device());
  inputs.keys = diffusion::context_keys(
      unet,
      table_of(guidance.conditions.hidden, guidance.uncondition.hidden, rows.distinct, guided));
  for (auto& text : inputs.keys) {
    text.key = text.key.index_select(0, place);
    text.value = text.value.index_select(0, place);
  }
  if (guidance.conditions.pooled.defined()) {
    inputs.added.text_embeds =
        table_of(guidance.conditions.pooled, guidance.uncondition.pooled, rows.distinct, guided)
            .index_select(0, place);
  }
  if (guidance.time_ids.defined())
    inputs.added.time_ids = guidance.time_ids.expand({place.size(0), diffusion::kTimeIds});
  if (unet.config.time_cond_proj_dim > 0) {
    const at::Tensor w = at::full({place.size(0)}, guidance.scale - 1, x.options());
    inputs.added.timestep_cond = diffusion::guidance_embedding(w, unet.config.time_cond_proj_dim);
  }
  add_edit(guidance, unet.config, prompt_ids, inputs);
  const at::Tensor t = at::full({place.size(0)}, timestep, x.options().dtype(at::kFloat));
  return diffusion::guided_forward(unet, x, t, inputs, options);
}

}  // namespace

Denoiser guided_denoiser(const diffusion::UNet& unet, const Guidance& guidance) {
  return [unet, guidance](const at::Tensor& x, int64_t timestep,
                          const std::vector<int64_t>& prompt_ids) {
    return guided_output(unet, guidance, x, timestep, prompt_ids);
  };
}

}  // namespace finetune
