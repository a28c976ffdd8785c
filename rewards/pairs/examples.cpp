#include "rewards/pairs/examples.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/pairs/files.hpp"

namespace rewards {
namespace {

// All axes, whitened: y = axes (e - centre).
struct Whitening {
  at::Tensor axes;    // [D, D]
  at::Tensor centre;  // [D]
};

Whitening whitening_of(const at::Tensor& pictures) {
  const int64_t count = pictures.size(0), width = pictures.size(1);
  Whitening w{.axes = {}, .centre = pictures.mean(0)};
  const at::Tensor centred = pictures - w.centre;
  const at::Tensor covariance = centred.t().mm(centred) / static_cast<double>(count);
  const double share = static_cast<double>(width) / static_cast<double>(width + count);
  const double level = std::max(covariance.trace().item<double>() / static_cast<double>(width),
                                std::numeric_limits<double>::min());
  const at::Tensor shrunk =
      (1 - share) * covariance + share * level * at::eye(width, covariance.options());
  const auto [values, vectors] = at::linalg_eigh(shrunk);
  w.axes = vectors.t() / values.unsqueeze(1).sqrt();
  return w;
}

at::Tensor on_axes(const Whitening& w, const at::Tensor& embeddings) {  // [B, D] -> [B, D]
  return (embeddings - w.centre).mm(w.axes.t());
}

struct AxisMoments {
  at::Tensor mean, variance;  // [D]
};

// y: [N, D]. The variance is that of y with `shrinkage` more values of variance 1, that of all
// pictures on a whitened axis.
AxisMoments moments(const at::Tensor& y, double shrinkage) {
  const auto count = static_cast<double>(y.size(0));
  const at::Tensor mean = y.mean(0);
  return {mean, (count * (y - mean).square().mean(0) + shrinkage) / (count + shrinkage)};
}

at::Tensor row_left_out(const at::Tensor& rows, int64_t one) {
  return at::cat({rows.slice(0, 0, one), rows.slice(0, one + 1)});
}

// likes: [Q, D], others: [N, D] on the whitened axes; without a cap.
Examples selected(const Whitening& w,
                  const at::Tensor& likes,
                  const at::Tensor& others,
                  const ExampleOptions& options) {
  const AxisMoments like = moments(likes, options.shrinkage),
                    other = moments(others, options.shrinkage);
  const at::Tensor worth =
      (like.mean - other.mean).abs() - (like.variance.sqrt() + other.variance.sqrt());
  const int64_t count = std::min(options.axes, worth.size(0));
  const at::Tensor kept =
      std::get<1>(worth.sort(/*stable=*/true, 0, /*descending=*/true)).slice(0, 0, count);
  const auto of = [&](const at::Tensor& values) { return values.index_select(0, kept); };
  return {.axes = of(w.axes),
          .centre = w.centre,
          .like_mean = of(like.mean),
          .like_variance = of(like.variance),
          .other_mean = of(other.mean),
          .other_variance = of(other.variance),
          .fingerprint = {},
          .cap = std::numeric_limits<double>::infinity()};
}

double value_at_share(const at::Tensor& values, double share) {  // values: [N], interpolated
  return values.quantile(share).item<double>();
}

void check(const at::Tensor& likes, const at::Tensor& dislikes, const at::Tensor& background) {
  data::check_shape(likes, {-1, -1}, "examples: likes");
  data::check_shape(dislikes, {-1, likes.size(1)}, "examples: dislikes");
  data::check_shape(background, {-1, likes.size(1)}, "examples: background");
  TORCH_CHECK(likes.size(0) >= 3 && (dislikes.size(0) == 0 || dislikes.size(0) >= 3) &&
                  background.size(0) >= 16,
              "examples: expected 3 likes, no or 3 dislikes and 16 background pictures");
}

}  // namespace

at::Tensor example_scores(const Examples& examples, const at::Tensor& embeddings) {
  data::check_shape(embeddings, {-1, examples.centre.size(0)}, "example_scores: embeddings");
  const at::Tensor y = (embeddings - examples.centre).mm(examples.axes.t());  // [B, M]
  const at::Tensor as_other = (y - examples.other_mean).square() / (2 * examples.other_variance);
  const at::Tensor as_like = (y - examples.like_mean).square() / (2 * examples.like_variance);
  return (as_other - as_like).mean(1).clamp_max(examples.cap);
}

Examples fit_examples(const at::Tensor& likes,
                      const at::Tensor& dislikes,
                      const at::Tensor& background,
                      const ExampleOptions& options) {
  check(likes, dislikes, background);
  const Whitening w = whitening_of(at::cat({background, dislikes}));
  const at::Tensor y = on_axes(w, likes);
  const at::Tensor other = dislikes.size(0) > 0 ? dislikes : background;
  const at::Tensor others = on_axes(w, other);
  std::vector<at::Tensor> left_out;
  for (int64_t i = 0; i < likes.size(0); ++i)
    left_out.push_back(
        example_scores(selected(w, row_left_out(y, i), others, options), likes.slice(0, i, i + 1)));
  Examples examples = selected(w, y, others, options);
  examples.cap = value_at_share(at::cat(left_out), 0.95);
  examples.low = value_at_share(example_scores(examples, other), 0.01);
  return examples;
}

Interval left_out_auc(const at::Tensor& likes,
                      const at::Tensor& dislikes,
                      const at::Tensor& background,
                      const ExampleOptions& options) {
  check(likes, dislikes, background);
  const bool against_dislikes = dislikes.size(0) > 0;
  const at::Tensor fitted =
      against_dislikes ? at::cat({background, dislikes}) : background.slice(0, 0, {}, 2);
  const at::Tensor measured = against_dislikes ? dislikes : background.slice(0, 1, {}, 2);
  const Whitening w = whitening_of(fitted);
  const at::Tensor y = on_axes(w, likes);
  std::vector<double> above;  // share of the measured pictures below each like
  for (int64_t i = 0; i < likes.size(0); ++i) {
    const auto wins = [&](const at::Tensor& others, const at::Tensor& against) {
      const Examples fit = selected(w, row_left_out(y, i), on_axes(w, others), options);
      const at::Tensor difference =
          example_scores(fit, likes.slice(0, i, i + 1)) - example_scores(fit, against);
      return ((1 + difference.sign()) / 2).sum().item<double>();
    };
    double sum = 0;
    for (int64_t j = 0; against_dislikes && j < dislikes.size(0); ++j)
      sum += wins(row_left_out(dislikes, j), dislikes.slice(0, j, j + 1));
    if (!against_dislikes) sum = wins(fitted, measured);
    above.push_back(sum / static_cast<double>(measured.size(0)));
  }
  return bootstrap(above.size(), [&](const std::vector<size_t>& drawn) {
    double sum = 0;
    for (const size_t i : drawn) sum += above[i];
    return sum / static_cast<double>(drawn.size());
  });
}

void save_examples(const std::filesystem::path& folder, const Examples& examples) {
  const auto stored = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
  data::write_safetensors(
      folder / kRewardFile,
      {.tensors = {{"axes", stored(examples.axes)},
                   {"centre", stored(examples.centre)},
                   {"like_mean", stored(examples.like_mean)},
                   {"like_variance", stored(examples.like_variance)},
                   {"other_mean", stored(examples.other_mean)},
                   {"other_variance", stored(examples.other_variance)},
                   {"fingerprint", stored(examples.fingerprint)},
                   {"range", at::tensor({examples.low, examples.cap}, at::kFloat)}},
       .metadata = {{"format", "pt"}, {"laurel.kind", kExamplesKind}},
       .source = ""});
}

Examples take_examples(const data::Weights& weights) {
  const auto kind = weights.metadata.find("laurel.kind");
  if (kind == weights.metadata.end() || kind->second != kExamplesKind)
    throw data::BadInput(
        weights.source +
        ": expected a reward by `laurel train-reward examples`, found another file");
  Examples examples;
  examples.axes = data::take(weights, "axes", {-1, -1});
  const int64_t count = examples.axes.size(0), width = examples.axes.size(1);
  examples.centre = data::take(weights, "centre", {width});
  examples.fingerprint = data::take(weights, "fingerprint", {width});
  examples.like_mean = data::take(weights, "like_mean", {count});
  examples.like_variance = data::take(weights, "like_variance", {count});
  examples.other_mean = data::take(weights, "other_mean", {count});
  examples.other_variance = data::take(weights, "other_variance", {count});
  const at::Tensor range = data::take(weights, "range", {2});
  examples.low = range[0].item<double>();
  examples.cap = range[1].item<double>();
  return examples;
}

Examples load_examples(const std::filesystem::path& path) {
  return take_examples(data::read_safetensors(reward_file(path)));
}

}  // namespace rewards
