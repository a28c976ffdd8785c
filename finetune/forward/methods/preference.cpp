#include "finetune/forward/methods/preference.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/shape.hpp"

namespace finetune {
namespace {

constexpr double kSimpoMargin = 0.5;

// q of each row: of the mean over the draws, or of each draw. -> [R, 1] or [R, S]
at::Tensor logits_of(const ForwardInput& input, const PreferenceConfig& config) {
  const at::Tensor& error = input.now[0];
  const at::Tensor apart = config.reference ? error - input.compared : error;
  const at::Tensor logits = -0.5 * config.beta * apart;
  return config.logit_of_mean ? logits.mean(1, /*keepdim=*/true) : logits;
}

// d loss / d error from d loss / d q. slope: as logits_of -> [R, S]
at::Tensor error_weights(const at::Tensor& slope,
                         const ForwardInput& input,
                         const PreferenceConfig& config) {
  const at::Tensor& error = input.now[0];
  const double each = config.logit_of_mean ? static_cast<double>(error.size(1)) : 1;
  return (slope * (-0.5 * config.beta / each)).expand_as(error).contiguous();
}

// Mean errors, per dimension, of rows that weigh `preferred` and `other`: [R]; without the starting
// model's where there are none.
std::vector<at::Tensor> error_figures(const ForwardInput& input,
                                      const at::Tensor& preferred,
                                      const at::Tensor& other) {
  const double size = static_cast<double>(input.dimensions);
  const auto mean = [&](const at::Tensor& error, const at::Tensor& weight) {
    return (error.mean(1) * weight).sum() / (weight.sum().clamp_min(1e-300) * size);
  };
  std::vector<at::Tensor> figures{mean(input.now[0], preferred), mean(input.now[0], other)};
  if (input.compared.defined())
    figures.insert(figures.end(), {mean(input.compared, preferred), mean(input.compared, other)});
  return figures;
}

// What all methods here share.
ForwardMethod preference_method(const PreferenceConfig& config) {
  ForwardMethod method;
  method.compares_with_start = config.reference;
  method.couples_rows = true;
  method.learns_from_choices = true;
  method.figures = {"loss", kErrorPreferred, "error_other"};
  if (config.reference)
    method.figures.insert(method.figures.end(), {kErrorPreferredStart, "error_other_start"});
  method.scalars = [](const NetworkOutputs& outputs) {
    return Scalars{squared_error(outputs.now, outputs.target)};
  };
  return method;
}

ForwardMethod pair_method(const PreferenceConfig& config,
                          const PairLoss& loss,
                          double least_margin) {
  ForwardMethod method = preference_method(config);
  method.learns_from_pairs = true;
  method.figures.emplace_back("pair_accuracy");
  method.labels = [temperature = config.temperature](const RatedImages& images) {
    return ranked_pairs(images, temperature);
  };
  method.objective = [config, loss, least_margin](const ForwardInput& input) {
    return pair_gradient(input, config, loss, least_margin);
  };
  return method;
}

void check_input(const ForwardInput& input, const PreferenceConfig& config) {
  const at::Tensor& error = input.now.at(0);
  TORCH_CHECK(config.beta > 0, "preference: beta must be > 0, got ", config.beta);
  if (config.reference)
    data::check_shape(input.compared, {error.size(0), error.size(1)}, "preference: compared");
}

}  // namespace

PairTerms logistic_terms(const at::Tensor& z, const at::Tensor& p, const at::Tensor& margin) {
  return {-(p * at::log_sigmoid(z - margin) + (1 - p) * at::log_sigmoid(-z - margin)),
          (1 - p) * at::sigmoid(z + margin) - p * at::sigmoid(margin - z)};
}

PairTerms squared_terms(const at::Tensor& z, const at::Tensor& p, const at::Tensor& margin) {
  return {p * (z - margin).square() + (1 - p) * (z + margin).square(),
          2 * (z - (2 * p - 1) * margin)};
}

ForwardGradient pair_gradient(const ForwardInput& input,
                              const PreferenceConfig& config,
                              const PairLoss& loss,
                              double least_margin) {
  check_input(input, config);
  const auto& pairs = input.labels.pairs;
  const int64_t rows = input.now[0].size(0);
  std::vector<int64_t> first, second;
  std::vector<double> chance, weight, lead;
  for (const auto& pair : pairs) {
    TORCH_CHECK(std::min(pair.a, pair.b) >= 0 && std::max(pair.a, pair.b) < rows,
                "pair_gradient: pair ", pair.a, ", ", pair.b, " of ", rows, " rows");
    first.push_back(pair.a);
    second.push_back(pair.b);
    chance.push_back(pair.p);
    weight.push_back(pair.weight);
    lead.push_back(least_margin + pair.margin);
  }
  const at::Tensor a = at::tensor(first, at::kLong), b = at::tensor(second, at::kLong);
  const at::Tensor p = at::tensor(chance, at::kDouble), each = at::tensor(weight, at::kDouble);
  const at::Tensor q = logits_of(input, config), z = q.index_select(0, a) - q.index_select(0, b);
  const at::Tensor share =
      each.unsqueeze(1) / (each.sum().clamp_min(1e-300) * static_cast<double>(q.size(1)));
  const PairTerms terms = loss(z, p.unsqueeze(1), at::tensor(lead, at::kDouble).unsqueeze(1));
  const at::Tensor slope = share * terms.slope;
  const at::Tensor of_rows = at::zeros_like(q).index_add(0, a, slope).index_add(0, b, -slope);
  const at::Tensor none = at::zeros({rows}, at::kDouble);
  const at::Tensor a_wins = p.gt(0.5).to(at::kDouble) * each,
                   b_wins = p.lt(0.5).to(at::kDouble) * each, decided = a_wins + b_wins;
  std::vector<at::Tensor> figures =
      error_figures(input, none.index_add(0, a, a_wins).index_add(0, b, b_wins),
                    none.index_add(0, a, b_wins).index_add(0, b, a_wins));
  const at::Tensor right = ((z.mean(1) * (p - 0.5)).gt(0) * decided).sum();
  figures.insert(figures.begin(), (share * terms.loss).sum());
  figures.push_back(right / decided.sum().clamp_min(1e-300));
  return {{error_weights(of_rows, input, config)}, at::stack(figures)};
}

ForwardGradient kto_gradient(const ForwardInput& input, const KtoConfig& config) {
  check_input(input, config);
  const int64_t rows = input.now[0].size(0);
  data::check_shape(input.labels.values, {rows}, "kto_gradient: labels.values");
  const at::Tensor& given = input.labels.weights;
  const at::Tensor each = given.defined() ? given : at::ones({rows}, at::kDouble);
  const at::Tensor q = logits_of(input, config), p = input.labels.values.unsqueeze(1);
  const at::Tensor zero = q.mean().clamp_min(0);
  const at::Tensor share = each.unsqueeze(1) / (each.sum() * static_cast<double>(q.size(1)));
  const at::Tensor good = config.desirable_weight * p, bad = config.undesirable_weight * (1 - p);
  const at::Tensor above = at::sigmoid(q - zero);  // 1 - above = sig(z0 - q)
  const at::Tensor loss = good * (1 - above) + bad * above;
  const at::Tensor slope = share * (bad - good) * above * (1 - above);
  std::vector<at::Tensor> figures =
      error_figures(input, input.labels.values.gt(0.5).to(at::kDouble) * each,
                    input.labels.values.lt(0.5).to(at::kDouble) * each);
  figures.insert(figures.begin(), (share * loss).sum());
  return {{error_weights(slope, input, config)}, at::stack(figures)};
}

ForwardLabels ranked_pairs(const RatedImages& images, double temperature) {
  TORCH_CHECK(temperature > 0, "ranked_pairs: temperature must be > 0, got ", temperature);
  const at::Tensor rewards = images.rewards.to(at::kCPU, at::kDouble).contiguous();
  const auto* reward = rewards.data_ptr<double>();
  ForwardLabels labels;
  for (const auto& members : differing_groups(images)) {
    const auto start = static_cast<int64_t>(labels.rows.size());
    labels.rows.insert(labels.rows.end(), members.begin(), members.end());
    for (size_t i = 0; i < members.size(); ++i) {
      for (size_t j = i + 1; j < members.size(); ++j) {
        const double apart = reward[members[i]] - reward[members[j]];
        labels.pairs.push_back({.a = start + static_cast<int64_t>(i),
                                .b = start + static_cast<int64_t>(j),
                                .p = 1 / (1 + std::exp(-apart / (temperature * images.scale)))});
      }
    }
  }
  return labels;
}

ForwardLabels desirable_images(const RatedImages& images, double temperature) {
  TORCH_CHECK(temperature > 0, "desirable_images: temperature must be > 0, got ", temperature);
  return labels_by_group(images, [&](const at::Tensor& group) {
    return ((group - group.mean()) / (temperature * images.scale)).sigmoid();
  });
}

ForwardMethod dpo_method(const DpoConfig& config) {
  ForwardMethod method = pair_method(config, logistic_terms, config.margin);
  method.name = "dpo";
  method.summary = "direct preference optimisation: a logistic loss on denoising errors";
  return method;
}

ForwardMethod ipo_method(const IpoConfig& config) {
  ForwardMethod method = pair_method(config, squared_terms, 1 / (2 * config.tau));
  method.name = "ipo";
  method.summary = "identity preference optimisation: a squared loss on denoising errors";
  return method;
}

ForwardMethod kto_method(const KtoConfig& config) {
  ForwardMethod method = preference_method(config);
  method.name = "kto";
  method.summary = "from images that are liked or not, one by one";
  method.labels = [temperature = config.temperature](const RatedImages& images) {
    return desirable_images(images, temperature);
  };
  method.objective = [config](const ForwardInput& input) { return kto_gradient(input, config); };
  return method;
}

DpoConfig simpo_config() {
  DpoConfig config;
  config.reference = false;
  config.margin = kSimpoMargin;
  return config;
}

ForwardMethod simpo_method(const DpoConfig& config) {
  ForwardMethod method = dpo_method(config);
  method.name = "simpo";
  method.summary = "as dpo without the starting model, with a margin";
  return method;
}

}  // namespace finetune
