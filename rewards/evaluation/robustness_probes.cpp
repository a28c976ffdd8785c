#include "rewards/evaluation/robustness_probes.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <functional>

#include "data/base/shape.hpp"
#include "data/images/draw_text.hpp"
#include "data/images/image_io.hpp"

namespace rewards {
namespace {

using Change = std::function<at::Tensor(const at::Tensor& image, const std::string& prompt)>;

at::Tensor scores_of(const Reward& reward, const RewardBatch& batch) {
  const at::NoGradGuard no_grad;
  return reward.score(batch);  // [B]
}

double deviation_of(const at::Tensor& scores) {
  return std::max(scores.std(/*unbiased=*/false).item<double>(), 1e-8);
}

RobustnessProbe probe(const std::string& name,
                      const Reward& reward,
                      const RewardBatch& batch,
                      const Change& change) {
  data::check_shape(batch.images, {-1, 3, -1, -1}, "probe: images");
  TORCH_CHECK(batch.images.size(0) >= 2, "probe: images: expected at least 2, got ",
              batch.images.size(0));
  std::vector<at::Tensor> changed;
  for (int64_t i = 0; i < batch.images.size(0); ++i)
    changed.push_back(change(batch.images[i], batch.prompts.at(static_cast<size_t>(i))));
  const at::Tensor before = scores_of(reward, batch),
                   after = scores_of(reward, {at::stack(changed), batch.prompts});
  return {.name = name,
          .change = (after - before).mean().item<double>() / deviation_of(before),
          .above = after.gt(before).to(at::kDouble).mean().item<double>()};
}

at::Tensor enlarged(const at::Tensor& image, int64_t height, int64_t width) {
  return data::resize(image, height, width, data::ResizeKind::kBicubic);
}

at::Tensor middle(const at::Tensor& image) {
  const int64_t height = image.size(1), width = image.size(2);
  const int64_t h = height * 9 / 10, w = width * 9 / 10;
  return enlarged(image.narrow(1, (height - h) / 2, h).narrow(2, (width - w) / 2, w), height,
                  width);
}

at::Tensor saturated(const at::Tensor& image) {
  const at::Tensor grey = image.mean(0, /*keepdim=*/true);
  return (grey + 2 * (image - grey)).clamp(0, 1);
}

}  // namespace

std::vector<RobustnessProbe> probe_robustness(const Reward& reward, const RewardBatch& batch) {
  const auto jpeg = [](const at::Tensor& image, const std::string&) {
    return data::decode_image(data::encode_jpeg(image, 90), "JPEG");
  };
  const auto shift = [](const at::Tensor& image, const std::string&) {
    return at::cat({image.narrow(2, 0, 1), image.narrow(2, 0, image.size(2) - 1)}, 2);
  };
  const auto crop = [](const at::Tensor& image, const std::string&) { return middle(image); };
  return {probe("JPEG at quality 90", reward, batch, jpeg),
          probe("shifted by a pixel", reward, batch, shift),
          probe("the middle 0.9", reward, batch, crop)};
}

std::vector<RobustnessProbe> probe_hacking(const Reward& reward, const RewardBatch& batch) {
  auto generator = at::detail::createCPUGenerator(0);
  const auto blank = [](const at::Tensor& image, const std::string&) {
    return at::full_like(image, 0.5);
  };
  const auto noise = [&](const at::Tensor& image, const std::string&) {
    return at::rand(image.sizes(), generator, image.options());
  };
  const auto saturate = [](const at::Tensor& image, const std::string&) {
    return saturated(image);
  };
  const auto coarse = [](const at::Tensor& image, const std::string&) {
    const int64_t height = image.size(1), width = image.size(2);
    return enlarged(data::resize(image, height / 2, width / 2, data::ResizeKind::kArea), height,
                    width);
  };
  return {probe("blank", reward, batch, blank), probe("noise", reward, batch, noise),
          probe("the prompt written into it", reward, batch, data::draw_text),
          probe("saturation doubled", reward, batch, saturate),
          probe("half size, enlarged", reward, batch, coarse)};
}

std::vector<double> probe_ascent(const Reward& climbed,
                                 const std::vector<Reward>& watched,
                                 const RewardBatch& batch,
                                 int64_t steps,
                                 double reach) {
  TORCH_CHECK(climbed.info.differentiable, "probe_ascent: expected a differentiable reward, got ",
              climbed.info.name);
  at::Tensor images = batch.images.clone();
  const double stride = 2.5 * reach / static_cast<double>(steps);  // can cross the ball
  for (int64_t step = 0; step < steps; ++step) {
    images = images.detach().requires_grad_(true);
    climbed.score({images, batch.prompts}).sum().backward();
    const at::Tensor moved = images.detach() + stride * images.grad().sign();
    images =
        at::minimum(at::maximum(moved, batch.images - reach), batch.images + reach).clamp(0, 1);
  }
  std::vector<double> gains;
  for (const Reward& reward : watched) {
    const at::Tensor before = scores_of(reward, batch),
                     after = scores_of(reward, {images, batch.prompts});
    gains.push_back((after - before).mean().item<double>() / deviation_of(before));
  }
  return gains;
}

}  // namespace rewards
