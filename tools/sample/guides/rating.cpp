#include "tools/sample/guides/rating.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/images/image_io.hpp"
#include "rewards/combine/combine.hpp"

namespace tools {
namespace {

std::vector<double> totals_of(const std::vector<rewards::WeightedReward>& rewards,
                              const at::Tensor& images,
                              const std::vector<std::string>& captions) {
  const at::Tensor total =
      total_scores(rewards, images, captions).total.to(at::kDouble).contiguous();
  return {total.data_ptr<double>(), total.data_ptr<double>() + total.numel()};
}

}  // namespace

TotalScores total_scores(const std::vector<rewards::WeightedReward>& rewards,
                         const at::Tensor& images,
                         const std::vector<std::string>& prompts) {
  const at::NoGradGuard no_grad;
  const at::Tensor raw = rewards::score_all(rewards, {.images = images, .prompts = prompts}).cpu();
  return {raw, rewards::combine(raw, {}, rewards::combine_options(rewards)).total};
}

std::vector<std::string> captions_of(const std::vector<diffusion::ImageRequest>& requests) {
  std::vector<std::string> captions;
  for (const auto& request : requests)
    captions.push_back(request.caption.empty() ? request.prompt.text : request.caption);
  return captions;
}

std::vector<double> rate_images(const std::vector<rewards::WeightedReward>& rewards,
                                const at::Tensor& images,
                                const std::vector<std::string>& captions) {
  return totals_of(rewards, data::from_uint8(data::to_uint8(images)), captions);
}

std::vector<double> rate_latents(const std::vector<rewards::WeightedReward>& rewards,
                                 const diffusion::Pipeline& pipeline,
                                 const at::Tensor& x0,
                                 const std::vector<std::string>& captions) {
  const at::NoGradGuard no_grad;
  const at::Tensor images = diffusion::latents_to_images(pipeline.vae, x0.to(at::kFloat));
  return totals_of(rewards, images.to(at::kFloat), captions);
}

}  // namespace tools
