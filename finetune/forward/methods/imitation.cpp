#include "finetune/forward/methods/imitation.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/shape.hpp"
#include "data/base/splitmix.hpp"

namespace finetune {
namespace {

ForwardMethod imitation_method(const ImitationConfig& config) {
  const bool keeps_near = config.distance_coefficient > 0;
  ForwardMethod method;
  method.compares_with_start = keeps_near;
  method.figures = {"loss", "denoising_error"};
  if (keeps_near) method.figures.emplace_back("distance");
  method.scalars = [keeps_near](const NetworkOutputs& outputs) {
    Scalars scalars{squared_error(outputs.now, outputs.target)};
    if (keeps_near) scalars.push_back(squared_error(outputs.now, outputs.compared));
    return scalars;
  };
  method.objective = [config](const ForwardInput& input) {
    return imitation_gradient(input, config);
  };
  return method;
}

}  // namespace

ForwardLabels best_images(const RatedImages& images, int64_t keep) {
  TORCH_CHECK(keep > 0, "best_images: keep must be > 0, got ", keep);
  const at::Tensor rewards = images.rewards.to(at::kCPU, at::kDouble).contiguous();
  const auto* reward = rewards.data_ptr<double>();
  ForwardLabels labels;
  for (auto& members : differing_groups(images)) {
    if (static_cast<int64_t>(members.size()) <= keep) continue;
    std::sort(members.begin(), members.end(), [&](int64_t a, int64_t b) {
      if (reward[a] != reward[b]) return reward[a] > reward[b];
      return data::splitmix64(images.seeds[static_cast<size_t>(a)]) <
             data::splitmix64(images.seeds[static_cast<size_t>(b)]);
    });
    labels.rows.insert(labels.rows.end(), members.begin(), members.begin() + keep);
  }
  std::sort(labels.rows.begin(), labels.rows.end());
  labels.values = at::ones({static_cast<int64_t>(labels.rows.size())}, at::kDouble);
  return labels;
}

ForwardLabels weighted_images(const RatedImages& images, double temperature) {
  TORCH_CHECK(temperature > 0, "weighted_images: temperature must be > 0, got ", temperature);
  return labels_by_group(images, [&](const at::Tensor& group) {
    return (group / (temperature * images.scale)).softmax(0) * static_cast<double>(group.size(0));
  });
}

ForwardGradient imitation_gradient(const ForwardInput& input, const ImitationConfig& config) {
  const at::Tensor& error = input.now[0];
  data::check_shape(input.labels.values, {error.size(0)}, "imitation_gradient: labels.values");
  const double size = static_cast<double>(input.dimensions);
  const at::Tensor weight = input.labels.values.unsqueeze(1).expand_as(error) / size;
  ForwardGradient result{{weight}, {}};
  at::Tensor loss = (weight * error).sum();
  std::vector<at::Tensor> figures{error.sum() / size};
  if (config.distance_coefficient > 0) {
    const at::Tensor& distance = input.now[1];
    result.weights.push_back(at::full_like(distance, config.distance_coefficient / size));
    loss = loss + (result.weights[1] * distance).sum();
    figures.push_back(distance.sum() / size);
  }
  figures.insert(figures.begin(), loss);
  result.figures = at::stack(figures);
  return result;
}

ForwardMethod raft_method(const RaftConfig& config) {
  ForwardMethod method = imitation_method(config);
  method.name = "raft";
  method.summary = "imitates the best images of each prompt";
  method.remembers = config.memory;
  method.labels = [keep = config.keep](const RatedImages& images) {
    return best_images(images, keep);
  };
  return method;
}

ForwardMethod rwr_method(const RwrConfig& config) {
  ForwardMethod method = imitation_method(config);
  method.name = "rwr";
  method.summary = "imitates all images, weighed by the exponential of their reward";
  method.labels = [temperature = config.temperature](const RatedImages& images) {
    return weighted_images(images, temperature);
  };
  return method;
}

}  // namespace finetune
