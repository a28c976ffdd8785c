#include "finetune/forward/methods/nft.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "finetune/policy/methods/ddpo_loss.hpp"

namespace finetune {
namespace {

constexpr double kLeastError = 1e-5;  // of x0: the published code's floor of the divisor
constexpr double kDecayRate = 0.001, kDecayMost = 0.5;  // of the average, as published

// d (normalised error) / d error. error, x0_scale: [R, S] fp64
at::Tensor error_slope(const at::Tensor& error, const ForwardInput& input, bool normalise) {
  const double size = static_cast<double>(input.dimensions);
  if (!normalise) return at::full_like(error, 1 / size);
  const at::Tensor deviation =
      (input.x0_scale * (error / size).sqrt()).clamp_min(kLeastError);  // of x0, detached
  return input.x0_scale.square() / (size * deviation);
}

}  // namespace

ForwardLabels optimality(const RatedImages& images, double advantage_clip) {
  TORCH_CHECK(advantage_clip > 0, "optimality: advantage_clip must be > 0, got ", advantage_clip);
  ForwardLabels labels;
  for (const auto& members : differing_groups(images))
    labels.rows.insert(labels.rows.end(), members.begin(), members.end());
  const at::Tensor advantages =
      prompt_advantages(images.rewards, images.prompt_ids, advantage_clip);
  labels.values =
      (advantages / (2 * advantage_clip) + 0.5).index_select(0, at::tensor(labels.rows, at::kLong));
  return labels;
}

ForwardGradient nft_gradient(const ForwardInput& input, const NftConfig& config) {
  const at::Tensor &positive = input.now[0], &negative = input.now[1];
  data::check_shape(input.labels.values, {positive.size(0)}, "nft_gradient: labels.values");
  const at::Tensor r = input.labels.values.unsqueeze(1);
  ForwardGradient result;
  result.weights = {r / config.strength * error_slope(positive, input, config.normalise),
                    (1 - r) / config.strength * error_slope(negative, input, config.normalise)};
  const at::Tensor loss = (result.weights[0] * positive + result.weights[1] * negative).sum();
  const double size = static_cast<double>(input.dimensions);
  result.figures = at::stack({loss, positive.sum() / size, negative.sum() / size});
  return result;
}

ForwardMethod nft_method(const NftConfig& config) {
  ForwardMethod method;
  method.name = "nft";
  method.summary = "towards the better images and away from the worse, by one output";
  method.compares_with_average = true;
  method.average_decay_rate = kDecayRate;
  method.average_decay_most = kDecayMost;
  method.figures = {"loss", "error_positive", "error_negative"};
  method.scalars = [b = config.strength](const NetworkOutputs& outputs) {
    const at::Tensor step = b * (outputs.now - outputs.compared);
    return Scalars{squared_error(outputs.compared + step, outputs.target),
                   squared_error(outputs.compared - step, outputs.target)};
  };
  method.labels = [clip = config.advantage_clip](const RatedImages& images) {
    return optimality(images, clip);
  };
  method.objective = [config](const ForwardInput& input) { return nft_gradient(input, config); };
  return method;
}

}  // namespace finetune
