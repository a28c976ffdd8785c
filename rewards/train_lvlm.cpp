#include "rewards/train_lvlm.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "data/shape.hpp"
#include "data/train/optim.hpp"

namespace rewards {
namespace {

constexpr double kEps = 1e-8;

// Mean of `values` ([M, N, K]) over what is known, each row weighted for each member.
at::Tensor weighted_mean(const at::Tensor& values,
                         const at::Tensor& known,
                         const at::Tensor& weight) {
  const at::Tensor w = weight.unsqueeze(2) * known;  // [M, N, K]
  return (values * w).sum() / w.sum().clamp_min(kEps);
}

// Each prompt counts the same however many judgements it has, and for each member as often as it
// is drawn (Poisson with mean 1, the bootstrap of large samples).
struct PromptWeights {
  at::Tensor points, pairs;  // [M, N], [M, Q]
};
PromptWeights prompt_weights(const LvlmData& data, int64_t members, at::Generator& generator) {
  const at::Tensor drawn =
      at::poisson(at::ones({members, data.texts.size(0)}, at::kFloat), generator);
  const auto of_rows = [&](const at::Tensor& text) {
    const at::Tensor counts =
        at::bincount(text, {}, data.texts.size(0)).to(at::kFloat).clamp_min(1);
    const at::Tensor share = counts.reciprocal() * counts.mean();
    return (drawn * share).index_select(1, text);
  };
  return {of_rows(data.points.text), of_rows(data.pairs.text)};
}

// For each point row another row of the same prompt, or itself.
at::Tensor partners(const at::Tensor& text, at::Generator& generator) {
  const at::Tensor order = at::randperm(text.size(0), generator, at::kLong);
  const at::Tensor sorted =
      order.index_select(0, at::argsort(text.index_select(0, order), /*stable=*/true, 0, false));
  at::Tensor partner = at::empty_like(sorted);
  const at::Tensor next = sorted.roll(1);
  const at::Tensor same = text.index_select(0, next).eq(text.index_select(0, sorted));
  partner.index_put_({sorted}, at::where(same, next, sorted));
  return partner;
}

// Probability that the first of two is better.
at::Tensor preference(const at::Tensor& mean_a,
                      const at::Tensor& mean_b,
                      const at::Tensor& variance) {
  return 0.5 * (1 + ((mean_a - mean_b) / (2 * variance).sqrt()).erf());
}

struct Fitting {
  LvlmStudent student;
  const LvlmData& data;
  const LvlmTraining& options;
  at::Generator generator;
  PromptWeights weights;
  at::Tensor features;  // of each point row, [N, F]
  at::Tensor pair_a, pair_b;
};

at::Tensor fidelity_of(const Fitting& fit,
                       const LvlmMoments& own,
                       const at::Tensor& rows,
                       const at::Tensor& partner,
                       at::Generator* dropout) {
  const at::Tensor logits =
      lvlm_logits(fit.student, fit.features.index_select(0, partner), dropout);
  const LvlmMoments other = lvlm_moments(logits, fit.student.temperature);
  const LvlmMoments label = bin_moments(fit.data.points.bins.index_select(0, rows)),
                    against = bin_moments(fit.data.points.bins.index_select(0, partner));
  const at::Tensor wanted = preference(label.mean, against.mean, label.variance + against.variance);
  const at::Tensor given = preference(own.mean, other.mean, own.variance + other.variance);
  const at::Tensor known = fit.data.points.known.index_select(0, rows) *
                           fit.data.points.known.index_select(0, partner) *
                           rows.ne(partner).to(at::kFloat).unsqueeze(1);
  return weighted_mean(fidelity_loss(wanted, given), known,
                       fit.weights.points.index_select(1, rows));
}

at::Tensor points_term(Fitting& fit, const at::Tensor& rows, const at::Tensor& partner) {
  const at::Tensor logits =
      lvlm_logits(fit.student, fit.features.index_select(0, rows), &fit.generator);
  const double smoothing = fit.options.label_smoothing;
  const at::Tensor bins = (1 - smoothing) * fit.data.points.bins.index_select(0, rows) +
                          smoothing / static_cast<double>(kBins);
  const LvlmMoments moments = lvlm_moments(logits, fit.student.temperature);
  const at::Tensor point = point_loss(logits, bins, fit.data.points.known.index_select(0, rows),
                                      fit.weights.points.index_select(1, rows));
  return point +
         0.5 * fidelity_of(fit, moments, rows, partner.index_select(0, rows), &fit.generator);
}

at::Tensor pairs_term(Fitting& fit, const at::Tensor& rows) {
  const auto moments_of = [&](const at::Tensor& features) {
    return lvlm_moments(lvlm_logits(fit.student, features.index_select(0, rows), &fit.generator),
                        fit.student.temperature);
  };
  const LvlmMoments a = moments_of(fit.pair_a), b = moments_of(fit.pair_b);
  const double smoothing = fit.options.label_smoothing;
  const at::Tensor preferred =
      (1 - smoothing) * fit.data.pairs.preference.index_select(0, rows) + smoothing / 2;
  const at::Tensor pair = pair_loss(a.mean, b.mean, fit.student.gain, preferred,
                                    fit.data.pairs.known.index_select(0, rows),
                                    fit.weights.pairs.index_select(1, rows));
  // pairs alone leave an axis' level open
  return pair + 1e-4 * (a.mean - 0.5).square().mean();
}

Fitting start(const LvlmConfig& config, const LvlmData& data, const LvlmTraining& options) {
  Fitting fit{.student = {},
              .data = data,
              .options = options,
              .generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed)),
              .weights = {},
              .features = {},
              .pair_a = {},
              .pair_b = {}};
  fit.student = make_lvlm(config, fit.generator);
  fit.weights = prompt_weights(data, config.members, fit.generator);
  const auto features = [&](const at::Tensor& image, const at::Tensor& text) {
    return lvlm_features(config, data.images.index_select(0, image),
                         data.texts.index_select(0, text));
  };
  fit.features = features(data.points.image, data.points.text);
  fit.pair_a = features(data.pairs.a, data.pairs.text);
  fit.pair_b = features(data.pairs.b, data.pairs.text);
  return fit;
}

// The value of a grid that makes `loss` least. The grid is geometric.
double best_of_grid(double low, double high, const std::function<double(double)>& loss) {
  constexpr int kSteps = 48;
  double best = 1, least = std::numeric_limits<double>::infinity();
  for (int step = 0; step <= kSteps; ++step) {
    const double value = low * std::pow(high / low, static_cast<double>(step) / kSteps);
    const double found = loss(value);
    if (found < least) {
      least = found;
      best = value;
    }
  }
  return best;
}

at::Tensor column(const at::Tensor& x, int64_t k) { return x.slice(-1, k, k + 1); }

void calibrate_axis(LvlmStudent& student,
                    const LvlmData& data,
                    const at::Tensor& logits,
                    int64_t k) {
  if (data.points.known.size(0) == 0 || column(data.points.known, k).sum().item<double>() == 0)
    return;
  const at::Tensor known = column(data.points.known, k).squeeze(1),
                   bins = data.points.bins.select(1, k);
  student.temperature[k].fill_(best_of_grid(0.25, 4, [&](double value) {
    const at::Tensor q = (logits.select(2, k) / value).softmax(-1).mean(0);  // [N, 5]
    const at::Tensor loss = -(bins * (q + kEps).log()).sum(-1);
    return ((loss * known).sum() / known.sum()).item<double>();
  }));
}

}  // namespace

LvlmData rows_of_prompts(const LvlmData& data, const at::Tensor& keep) {
  LvlmData kept = data;
  const auto rows_of = [&](const at::Tensor& text) {
    return keep.index_select(0, text).nonzero().squeeze(1);
  };
  const at::Tensor points = rows_of(data.points.text), pairs = rows_of(data.pairs.text);
  for (at::Tensor* tensor :
       {&kept.points.image, &kept.points.text, &kept.points.bins, &kept.points.known})
    *tensor = tensor->index_select(0, points);
  for (at::Tensor* tensor :
       {&kept.pairs.a, &kept.pairs.b, &kept.pairs.text, &kept.pairs.preference, &kept.pairs.known})
    *tensor = tensor->index_select(0, pairs);
  return kept;
}

at::Tensor point_loss(const at::Tensor& logits,
                      const at::Tensor& bins,
                      const at::Tensor& known,
                      const at::Tensor& weight) {
  data::check_shape(logits, {weight.size(0), weight.size(1), -1, static_cast<int64_t>(kBins)},
                    "point_loss: logits");
  data::check_shape(bins, {logits.size(1), logits.size(2), static_cast<int64_t>(kBins)},
                    "point_loss: bins");
  const at::Tensor log_q = logits.log_softmax(-1);
  const at::Tensor entropy = -(bins * (bins + kEps).log()).sum(-1);
  const at::Tensor divergence = -(bins * log_q).sum(-1) - entropy;
  const at::Tensor v = bin_centres(bins);
  const at::Tensor error = (log_q.exp() * v).sum(-1) - (bins * v).sum(-1);
  const at::Tensor size = error.abs();
  const at::Tensor huber = at::where(size < 0.25, error.square() / 2, 0.25 * (size - 0.125));
  return weighted_mean(divergence + 0.1 * huber, known, weight);
}

at::Tensor pair_loss(const at::Tensor& mean_a,
                     const at::Tensor& mean_b,
                     const at::Tensor& gain,
                     const at::Tensor& preference,
                     const at::Tensor& known,
                     const at::Tensor& weight) {
  data::check_shape(mean_a, {weight.size(0), weight.size(1), gain.size(0)}, "pair_loss: mean_a");
  data::check_shape(mean_b, {weight.size(0), weight.size(1), gain.size(0)}, "pair_loss: mean_b");
  const at::Tensor z = gain * (mean_a - mean_b);
  return weighted_mean(preference * at::softplus(-z) + (1 - preference) * at::softplus(z), known,
                       weight);
}

at::Tensor fidelity_loss(const at::Tensor& p, const at::Tensor& other) {
  return 1 - (p * other + kEps).sqrt() - ((1 - p) * (1 - other) + kEps).sqrt();
}

LvlmStudent train_lvlm(const LvlmConfig& config,
                       const LvlmData& data,
                       const LvlmTraining& options,
                       const LvlmReport& report) {
  Fitting fit = start(config, data, options);
  const int64_t points = data.points.text.size(0), pairs = data.pairs.text.size(0);
  TORCH_CHECK(points + pairs > 0, "train_lvlm: expected judgements, got none");
  auto params = train::parameters_of(fit.student, "");
  std::erase_if(params, [](const train::Param& param) { return param.name == "calib.temp"; });
  auto adamw = train::make_adamw(params);
  const int64_t batch = options.batch_size,
                batches = std::max((points + batch - 1) / batch, (2 * pairs + batch - 1) / batch);
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const at::Tensor point_order = at::randperm(points, fit.generator, at::kLong),
                     pair_order = at::randperm(pairs, fit.generator, at::kLong),
                     partner = partners(data.points.text, fit.generator);
    double sum = 0;
    for (int64_t step = 0; step < batches; ++step) {
      const auto part = [&](const at::Tensor& order) {
        return order.slice(0, order.size(0) * step / batches, order.size(0) * (step + 1) / batches);
      };
      const at::Tensor point_rows = part(point_order), pair_rows = part(pair_order);
      train::zero_grad(params);
      at::Tensor loss = at::zeros({});
      if (point_rows.size(0) > 0) loss = loss + points_term(fit, point_rows, partner);
      if (pair_rows.size(0) > 0) loss = loss + pairs_term(fit, pair_rows);
      loss.backward();
      const double rate = options.learning_rate * train::lr_factor(train::LrSchedule::kCosine,
                                                                   epoch * batches + step, 0,
                                                                   options.epochs * batches);
      train::adamw_step(params, adamw, {.weight_decay = options.weight_decay}, rate);
      fit.student.gain.detach().clamp_min_(1);
      sum += loss.item<double>();
    }
    report(epoch + 1, sum / static_cast<double>(batches));
  }
  for_each_tensor(fit.student, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  return fit.student;
}

void calibrate(LvlmStudent& student, const LvlmData& data) {
  const at::NoGradGuard no_grad;
  const auto logits = [&](const at::Tensor& image, const at::Tensor& text) {
    return lvlm_logits(student,
                       lvlm_features(student.config, data.images.index_select(0, image),
                                     data.texts.index_select(0, text)),
                       nullptr);
  };
  const at::Tensor points = logits(data.points.image, data.points.text);
  for (int64_t k = 0; k < student.temperature.size(0); ++k)
    calibrate_axis(student, data, points, k);
  if (data.pairs.text.size(0) == 0) return;
  const auto mean = [&](const at::Tensor& image) {
    return lvlm_moments(logits(image, data.pairs.text), student.temperature).mean;
  };
  const at::Tensor a = mean(data.pairs.a), b = mean(data.pairs.b);
  const at::Tensor weight = at::ones({a.size(0), a.size(1)});
  for (int64_t k = 0; k < student.gain.size(0); ++k) {
    const at::Tensor known = column(data.pairs.known, k);
    if (known.sum().item<double>() == 0) continue;
    student.gain[k].fill_(best_of_grid(1, 200, [&](double value) {
      return pair_loss(column(a, k), column(b, k), at::full({1}, value, a.options()),
                       column(data.pairs.preference, k), known, weight)
          .item<double>();
    }));
  }
}

}  // namespace rewards
