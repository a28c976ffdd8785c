#include "rewards/pairs/train_taste.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "rewards/combine/prompt_groups.hpp"
#include "rewards/evaluation/wilson.hpp"

namespace rewards {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();
constexpr double kToleranceOfChoice = 1e-5;  // of the fits that choose the ridges
// The feature of the level that likes are measured from. It is large so that the ridge, which is
// there for the taste, leaves the level alone.
constexpr double kLevel = 100;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The mean square of each column's distance from its prompt's mean, over the prompts with at least
// two rows; without one, from the mean of all.  x: [I, F]; prompts: I -> [F]
at::Tensor variances_within(const at::Tensor& x, const std::vector<int64_t>& prompts) {
  std::vector<at::Tensor> distances;
  for (const auto& members : rows_of_groups(prompts)) {
    if (members.size() < 2) continue;
    const at::Tensor rows = x.index_select(0, at::tensor(members, at::kLong));
    distances.push_back(rows - rows.mean(0));
  }
  if (distances.empty()) distances.push_back(x - x.mean(0));
  return at::cat(distances).square().mean(0);
}

at::Tensor rows_where(const std::vector<ChoiceImages>& images,
                      const std::function<bool(const ChoiceImages&)>& condition) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < images.size(); ++i) {
    if (condition(images[i])) rows.push_back(static_cast<int64_t>(i));
  }
  return at::tensor(rows, at::kLong);
}

// A division of the answers for one fold.
struct Division {
  Comparisons trained, measured;
};

std::vector<Division> divisions(const Comparisons& data,
                                const std::vector<ChoiceImages>& images,
                                const Folds& folds,
                                int64_t left_out) {
  std::vector<Division> all;
  for (int64_t fold = 0; fold < folds.count; ++fold) {
    if (fold == left_out) continue;
    const auto trained = rows_where(images, [&](const ChoiceImages& one) {
      return is_outside(folds, one, fold) && (left_out < 0 || is_outside(folds, one, left_out));
    });
    const auto measured =
        rows_where(images, [&](const ChoiceImages& one) { return is_held_out(folds, one, fold); });
    if (trained.numel() > 0 && measured.numel() > 0)
      all.push_back({rows_of(data, trained), rows_of(data, measured)});
  }
  return all;
}

// nu is fitted to the trained answers; where those have no tie, a tie that is measured would have
// the probability 0. Half a tie is added.
double log_nu_for_measuring(const DavidsonFit& fit, const Comparisons& trained) {
  if (std::isfinite(fit.log_nu)) return fit.log_nu;
  const double may_tie = std::max(1.0, trained.may_tie.sum().item<double>());
  return std::log(1 / may_tie);  // nu = 2 share / (1 - share) at z = 0
}

double measured_loss(const DavidsonFit& fit, const Division& division) {
  const auto losses = answer_losses(margins(fit, division.measured),
                                    log_nu_for_measuring(fit, division.trained), division.measured);
  return division.measured.weights.dot(losses).item<double>();
}

// The first of `ridges` with the least loss summed over the divisions. Each fit starts from the one
// before it.
Ridges best_of(const std::vector<Ridges>& ridges, const std::vector<Division>& all) {
  std::vector<double> losses(ridges.size(), 0);
  for (const auto& division : all) {
    DavidsonFit fit = zero_fit(division.trained);
    for (size_t i = 0; i < ridges.size(); ++i) {
      fit = fit_davidson(division.trained, ridges[i], fit, kToleranceOfChoice);
      losses[i] += measured_loss(fit, division);
    }
  }
  return ridges[static_cast<size_t>(std::min_element(losses.begin(), losses.end()) -
                                    losses.begin())];
}

Taste taste_of(const DavidsonFit& fit, const TasteData& data, const TasteFeatures& features) {
  const int64_t width = data.embeddings.size(1), count = data.scores.size(1);
  at::Tensor rows = fit.shared.unsqueeze(0);  // [1 + P, D + K + 1]
  Taste taste;
  if (data.people.size() > 1) {
    rows = at::cat({rows, fit.shared + fit.own});
    taste.people = data.people;
  }
  taste.weight = rows.narrow(1, 0, width) / features.embedding_scale;
  taste.score_weight = rows.narrow(1, width, count) / features.score_scale;
  taste.bias =
      -taste.weight.mv(features.embedding_mean) - taste.score_weight.mv(features.score_mean);
  taste.rewards = data.rewards;
  taste.tie = std::isfinite(fit.log_nu) ? std::exp(fit.log_nu) : 0;
  const auto sorted =
      std::get<0>(taste_scores(taste, 0, data.embeddings, data.scores).sort());  // [I]
  const auto at_share = [&](double share) {
    return sorted[std::lround(share * static_cast<double>(sorted.size(0) - 1))].item<double>();
  };
  taste.low = at_share(0.01);
  taste.high = at_share(0.99);
  if (taste.high - taste.low < 1e-6) taste.high = taste.low + 1e-6;
  return taste;
}

}  // namespace

TasteFeatures taste_features(const at::Tensor& embeddings,
                             const at::Tensor& scores,
                             const std::vector<int64_t>& prompts) {
  TasteFeatures features{.values = {}, .embedding_mean = embeddings.mean(0)};
  const at::Tensor centred = embeddings - features.embedding_mean;
  const double scale = std::sqrt(variances_within(embeddings, prompts).sum().item<double>());
  features.embedding_scale = scale > 0 ? scale : 1;
  features.score_mean = scores.mean(0);
  const at::Tensor deviations = scores - features.score_mean;
  const at::Tensor sd = variances_within(scores, prompts).sqrt();
  const at::Tensor varies = sd.gt(1e-9 * (features.score_mean.abs() + 1e-9));
  features.score_scale = sd.masked_fill(varies.logical_not(), kUnbounded);
  features.values = at::cat({centred / features.embedding_scale, deviations / features.score_scale,
                             at::zeros({embeddings.size(0), 1}, embeddings.options())},
                            1);
  return features;
}

TasteData with_opposites(TasteData data) {
  const size_t count = data.answers.size();
  for (size_t i = 0; i < count; ++i) {
    TasteAnswer& answer = data.answers[i];
    if (answer.p == 1 || answer.b < 0 || answer.outcome == kTied) continue;
    TasteAnswer opposite = answer;
    opposite.outcome = answer.outcome == kWonA ? kWonB : kWonA;
    opposite.weight *= 1 - answer.p;
    answer.weight *= answer.p;
    answer.p = opposite.p = 1;
    data.answers.push_back(opposite);
  }
  return data;
}

Comparisons comparisons_of(const TasteData& data, const TasteFeatures& features) {
  std::vector<int64_t> a, b, outcomes, people;
  std::vector<double> single, weights, margins;
  for (const auto& answer : data.answers) {
    const bool one = answer.b < 0;
    a.push_back(answer.a);
    b.push_back(one ? answer.a : answer.b);
    single.push_back(one ? 1 : 0);
    outcomes.push_back(answer.outcome);
    people.push_back(answer.person);
    weights.push_back(answer.weight);
    margins.push_back(answer.margin);
  }
  const auto numbers = [](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong);
  };
  const at::Tensor alone = at::tensor(single, at::kDouble);
  Comparisons result{.differences = {},
                     .outcomes = numbers(outcomes),
                     .may_tie = alone.eq(0),
                     .people = numbers(people),
                     .weights = at::tensor(weights, at::kDouble),
                     .people_count = static_cast<int64_t>(data.people.size())};
  result.differences = features.values.index_select(0, numbers(a)) -
                       (1 - alone).unsqueeze(1) * features.values.index_select(0, numbers(b));
  result.differences.select(1, -1).copy_(kLevel * alone);
  if (std::any_of(margins.begin(), margins.end(), [](double margin) { return margin > 0; }))
    result.margins = at::tensor(margins, at::kDouble);
  return result;
}

std::vector<ChoiceImages> images_of(const TasteData& data) {
  std::vector<ChoiceImages> images;
  for (const auto& answer : data.answers) {
    const auto a = static_cast<size_t>(answer.a),
               b = static_cast<size_t>(answer.b < 0 ? answer.a : answer.b);
    images.push_back({data.images[a], data.images[b], data.prompts[a]});
  }
  return images;
}

Ridges choose_ridges(const Comparisons& data,
                     const std::vector<ChoiceImages>& images,
                     const Folds& folds,
                     int64_t left_out) {
  const auto all = divisions(data, images, folds, left_out);
  if (all.empty()) return {};
  std::vector<double> grid;
  for (int half = 8; half >= -4; --half) grid.push_back(std::pow(10, half / 2.0));
  std::vector<Ridges> candidates;
  for (const double shared : grid) candidates.push_back({.shared = shared});
  const Ridges best = best_of(candidates, all);
  if (data.people_count < 2) return best;
  candidates = {best};
  for (const double own : grid) candidates.push_back({.shared = best.shared, .own = own});
  return best_of(candidates, all);
}

Taste fit_taste(const TasteData& given, const Ridges& ridges) {
  const TasteData data = with_opposites(given);
  const TasteFeatures features = taste_features(data.embeddings, data.scores, data.prompts);
  const Comparisons comparisons = comparisons_of(data, features);
  return taste_of(fit_davidson(comparisons, ridges, zero_fit(comparisons)), data, features);
}

TasteData resampled(TasteData data, at::Generator& generator) {
  const auto count = static_cast<int64_t>(data.answers.size());
  const auto drawn =
      at::bincount(at::randint(count, {count}, generator, at::kLong), {}, count).contiguous();
  std::vector<TasteAnswer> answers;
  for (int64_t i = 0; i < count; ++i) {
    TasteAnswer answer = data.answers[static_cast<size_t>(i)];
    answer.weight *= static_cast<double>(drawn[i].item<int64_t>());
    if (answer.weight > 0) answers.push_back(answer);
  }
  data.answers = std::move(answers);
  return data;
}

TrainedTaste train_taste(const TasteData& given,
                         int64_t folds,
                         const std::function<void()>& report) {
  const TasteData data = with_opposites(given);
  const TasteFeatures features = taste_features(data.embeddings, data.scores, data.prompts);
  const Comparisons comparisons = comparisons_of(data, features);
  const auto images = images_of(data);
  const int64_t count = *std::max_element(data.images.begin(), data.images.end()) + 1;
  TrainedTaste trained{.taste = {}, .ridges = {}, .folds = divide_into_folds(count, images, folds)};
  trained.held_out = at::full({static_cast<int64_t>(images.size())}, kNaN, at::kDouble);
  for (int64_t fold = 0; fold < trained.folds.count; ++fold) {
    const auto outside = rows_where(
        images, [&](const ChoiceImages& one) { return is_outside(trained.folds, one, fold); });
    const auto measured = rows_where(
        images, [&](const ChoiceImages& one) { return is_held_out(trained.folds, one, fold); });
    if (outside.numel() > 0 && measured.numel() > 0) {
      const Comparisons seen = rows_of(comparisons, outside);
      const Ridges ridges = choose_ridges(comparisons, images, trained.folds, fold);
      const DavidsonFit fit = fit_davidson(seen, ridges, zero_fit(seen));
      trained.held_out.index_put_({measured}, margins(fit, rows_of(comparisons, measured)));
    }
    if (report) report();
  }
  trained.held_out = trained.held_out.narrow(0, 0, static_cast<int64_t>(given.answers.size()));
  trained.ridges = choose_ridges(comparisons, images, trained.folds, -1);
  trained.taste =
      taste_of(fit_davidson(comparisons, trained.ridges, zero_fit(comparisons)), data, features);
  if (report) report();
  return trained;
}

PairAgreement agreement_with(const at::Tensor& difference,
                             const std::vector<TasteAnswer>& answers,
                             int64_t person) {
  const at::Tensor values = difference.to(at::kCPU, at::kDouble).contiguous();
  const double* value = values.const_data_ptr<double>();
  double right = 0;
  PairAgreement result;
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto& answer = answers[i];
    if (answer.b < 0 || answer.outcome == kTied || std::isnan(value[i])) continue;
    if (person >= 0 && answer.person != person) continue;
    const bool a = answer.outcome == kWonA;
    right += value[i] == 0 ? 0.5 : (value[i] > 0) == a ? 1 : 0;
    ++result.pairs;
  }
  result.share = wilson(right, static_cast<double>(result.pairs));
  return result;
}

PairAgreement own_consistency(const std::vector<TasteAnswer>& answers, int64_t person) {
  std::map<std::tuple<int64_t, int64_t, int64_t>, int64_t> before;  // person, items -> who won
  double same = 0;
  PairAgreement result;
  for (const auto& answer : answers) {
    if (answer.b < 0 || (person >= 0 && answer.person != person)) continue;
    const int64_t won = answer.outcome == kTied   ? -1
                        : answer.outcome == kWonA ? answer.a
                                                  : answer.b;
    const auto [place, fresh] = before.try_emplace(
        {answer.person, std::min(answer.a, answer.b), std::max(answer.a, answer.b)}, won);
    if (fresh) continue;
    same += place->second == won ? 1 : place->second < 0 || won < 0 ? 0.5 : 0;
    ++result.pairs;
    place->second = won;
  }
  result.share = wilson(same, static_cast<double>(result.pairs));
  return result;
}

}  // namespace rewards
