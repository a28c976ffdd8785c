#include "finetune/denoiser.hpp"

#include <ATen/ATen.h>

#include <map>

#include "diffusion/schedule.hpp"

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

at::Tensor guided_output(const diffusion::UNet& unet,
                         const Guidance& guidance,
                         const at::Tensor& x,
                         int64_t timestep,
                         const std::vector<int64_t>& prompt_ids) {
  const bool guided = guidance.scale != 1.0;
  const Rows rows = distinct_rows(prompt_ids);
  at::Tensor texts =
      guidance.conditions.index_select(0, at::tensor(rows.distinct, at::kLong).to(x.device()));
  at::Tensor place = at::tensor(rows.place, at::kLong);
  if (guided) {
    texts = at::cat({guidance.uncondition, texts});
    place = at::cat({at::zeros_like(place), place + 1});
  }
  place = place.to(x.device());
  diffusion::ContextKeys keys = diffusion::context_keys(unet, texts);
  for (auto& text : keys) {
    text.key = text.key.index_select(0, place);
    text.value = text.value.index_select(0, place);
  }
  const at::Tensor latents = guided ? at::cat({x, x}) : x;
  const at::Tensor t = at::full({latents.size(0)}, timestep, x.options().dtype(at::kLong));
  // The network may run in reduced precision; guidance and everything after it is fp32.
  const at::Tensor output = diffusion::unet_forward(unet, latents, t, keys).to(at::kFloat);
  return guided ? diffusion::guide(output, guidance.scale) : output;
}

}  // namespace

Denoiser guided_denoiser(const diffusion::UNet& unet, const Guidance& guidance) {
  return [unet, guidance](const at::Tensor& x, int64_t timestep,
                          const std::vector<int64_t>& prompt_ids) {
    return guided_output(unet, guidance, x, timestep, prompt_ids);
  };
}

}  // namespace finetune
