#include "rewards/scorers/train_aesthetic.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/base/shape.hpp"
#include "data/train/lr_schedule.hpp"
#include "data/train/optimizers.hpp"

namespace rewards {
namespace {

struct RatedEmbeddings {
  at::Tensor embeddings;  // [N, D]
  at::Tensor ratings;     // [N]
};

RatedEmbeddings rows_of(const RatedEmbeddings& examples, const at::Tensor& rows) {
  return {examples.embeddings.index_select(0, rows), examples.ratings.index_select(0, rows)};
}

double error_of(const AestheticHead& head, const RatedEmbeddings& examples) {
  const at::NoGradGuard no_grad;
  return (aesthetic_forward(head, examples.embeddings) - examples.ratings)
      .square()
      .mean()
      .item<double>();
}

AestheticHead copy_of(AestheticHead head) {
  for_each_tensor(head, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  return head;
}

// A head and its optimiser.
struct HeadFit {
  AestheticHead head;
  train::Params params;
  train::AdamWState adamw;
};

// One pass over the examples. -> the mean squared error
double train_epoch(HeadFit& fit,
                   const RatedEmbeddings& examples,
                   const AestheticTraining& options,
                   double rate,
                   at::Generator& generator) {
  const auto order = at::randperm(examples.ratings.size(0), generator, at::kLong);
  double sum = 0;
  for (int64_t start = 0; start < order.size(0); start += options.batch_size) {
    const RatedEmbeddings batch =
        rows_of(examples, order.slice(0, start, start + options.batch_size));
    train::zero_grad(fit.params);
    const auto loss =
        (aesthetic_forward_training(fit.head, batch.embeddings, generator) - batch.ratings)
            .square()
            .mean();
    loss.backward();
    train::adamw_step(fit.params, fit.adamw, {.weight_decay = options.weight_decay}, rate);
    sum += loss.item<double>() * static_cast<double>(batch.ratings.size(0));
  }
  return sum / static_cast<double>(order.size(0));
}

}  // namespace

at::Tensor with_swapped_ratings(const at::Tensor& ratings, double share, at::Generator& generator) {
  TORCH_CHECK(share >= 0 && share <= 1, "with_swapped_ratings: share must be in [0, 1]");
  const int64_t count = ratings.size(0),
                pairs = std::llround(share * static_cast<double>(count) / 2);
  const auto order = at::randperm(count, generator, at::kLong);
  const auto one = order.slice(0, 0, std::min(pairs, count / 2)),
             other = order.slice(0, one.size(0), 2 * one.size(0));
  at::Tensor swapped = ratings.clone();
  swapped.index_copy_(0, one, ratings.index_select(0, other));
  swapped.index_copy_(0, other, ratings.index_select(0, one));
  return swapped;
}

TrainedAesthetic train_aesthetic(const at::Tensor& embeddings,
                                 const at::Tensor& ratings,
                                 const AestheticTraining& options,
                                 at::Generator& generator,
                                 const EpochReport& report) {
  data::check_shape(embeddings, {ratings.size(0), -1}, "train_aesthetic: embeddings");
  const int64_t count = ratings.size(0);
  TORCH_CHECK(count >= 20, "train_aesthetic: expected at least 20 ratings, got ", count);
  const auto order = at::randperm(count, generator, at::kLong);
  const auto held =
      std::max<int64_t>(1, std::llround(options.validation_share * static_cast<double>(count)));
  const RatedEmbeddings all{embeddings, ratings};
  const RatedEmbeddings validation = rows_of(all, order.slice(0, 0, held));
  RatedEmbeddings training = rows_of(all, order.slice(0, held));
  if (options.bootstrap)
    training = rows_of(training, at::randint(count - held, {count - held}, generator, at::kLong));

  HeadFit fit{.head = make_aesthetic(options.form, embeddings.size(1), generator),
              .params = {},
              .adamw = {}};
  fit.head.layers.back().bias = training.ratings.mean().view({1});  // start from the mean rating
  fit.params = train::parameters_of(fit.head, "");
  fit.adamw = train::make_adamw(fit.params);
  TrainedAesthetic best{.head = copy_of(fit.head),
                        .validation_error = std::numeric_limits<double>::infinity()};
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    const double factor =
        train::lr_factor(train::lr_schedule("cosine"), epoch - 1, 0, options.epochs);
    const double error =
        train_epoch(fit, training, options, factor * options.learning_rate, generator);
    const double held_error = error_of(fit.head, validation);
    if (held_error < best.validation_error) best = {copy_of(fit.head), epoch, held_error};
    report(epoch, error, held_error);
  }
  return best;
}

}  // namespace rewards
