#include "rewards/world/simulated_ratings.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

double uniform(double low, double high, at::Generator& generator) {
  return low + (high - low) * at::rand({}, generator).item<double>();
}

// image: [1, 3, H, W]
at::Tensor blurred(const at::Tensor& image, double sigma) {
  const auto offsets = at::arange(-4, 5, at::kFloat);
  auto kernel = (-(offsets / sigma).square() / 2).exp();
  kernel = (kernel / kernel.sum()).view({1, 1, 1, 9}).repeat({3, 1, 1, 1});
  const auto padded = at::replication_pad2d(image, {4, 4, 4, 4});
  const auto pass = [](const at::Tensor& x, const at::Tensor& w) {
    return at::conv2d(x, w, {}, 1, at::IntArrayRef({0, 0}), 1, 3);
  };
  return pass(pass(padded, kernel), kernel.transpose(2, 3));
}

at::Tensor noisy(const at::Tensor& image, double deviation, at::Generator& generator) {
  return image + deviation * at::randn(image.sizes(), generator);
}

// Downsampled to 25-60 % of the side and back, like the loss of a strong autoencoder.
at::Tensor coarse(const at::Tensor& image, at::Generator& generator) {
  const auto height = image.size(2), width = image.size(3);
  const double factor = uniform(0.25, 0.6, generator);
  const auto side = [&](int64_t size) {
    return std::max<int64_t>(1, static_cast<int64_t>(factor * static_cast<double>(size)));
  };
  const auto small = at::_upsample_bicubic2d_aa(image, {side(height), side(width)}, false);
  return noisy(at::upsample_bicubic2d(small, {height, width}, false), 0.01, generator);
}

at::Tensor tinted(const at::Tensor& image, at::Generator& generator) {
  const auto gain = 0.8 + 0.4 * at::rand({1, 3, 1, 1}, generator);
  return image.clamp(0, 1).pow(uniform(0.75, 1.3, generator)) * gain;
}

}  // namespace

at::Tensor draw_biases(const RaterOptions& options, at::Generator& generator) {
  return options.bias_deviation * at::randn({options.raters}, generator);
}

at::Tensor simulate_ratings(const at::Tensor& preference,
                            const at::Tensor& biases,
                            const RaterOptions& options,
                            at::Generator& generator) {
  data::check_shape(preference, {-1}, "simulate_ratings: preference");
  TORCH_CHECK(options.ratings >= 1 && options.ratings <= biases.size(0),
              "simulate_ratings: ", options.ratings, " ratings an image need as many raters, got ",
              biases.size(0));
  const auto order = at::rand({preference.size(0), biases.size(0)}, generator).argsort(int64_t{1});
  const auto bias = biases.index_select(0, order.slice(1, 0, options.ratings).flatten())
                        .view({-1, options.ratings});
  const auto noise = options.noise_deviation * at::randn(bias.sizes(), generator);
  return (preference.to(at::kFloat).unsqueeze(1) + bias + noise).round().clamp(1, 10).mean(1);
}

at::Tensor degrade(const at::Tensor& images, at::Generator& generator) {
  data::check_shape(images, {-1, 3, -1, -1}, "degrade: images");
  std::vector<at::Tensor> results;
  for (int64_t i = 0; i < images.size(0); ++i) {
    const auto image = images.slice(0, i, i + 1);
    const double choice = uniform(0, 10, generator);
    if (choice < 4)
      results.push_back(image);
    else if (choice < 5.2)
      results.push_back(blurred(image, uniform(0.5, 2.5, generator)));
    else if (choice < 6.4)
      results.push_back(noisy(image, uniform(0.01, 0.08, generator), generator));
    else if (choice < 7.6)
      results.push_back(coarse(image, generator));
    else if (choice < 9)
      results.push_back(tinted(image, generator));
    else {
      const int64_t next = (i + 1) % images.size(0);
      const auto other = images.slice(0, next, next + 1);
      results.push_back(at::lerp(image, other, uniform(0.05, 0.5, generator)));
    }
  }
  return at::cat(results).clamp(0, 1);
}

}  // namespace rewards
