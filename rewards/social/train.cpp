#include "rewards/social/train.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "data/base/shape.hpp"
#include "data/train/epoch_order.hpp"
#include "data/train/lr_schedule.hpp"
#include "rewards/clip/pretrain.hpp"
#include "rewards/clip/training_steps.hpp"

namespace rewards {
namespace {

constexpr int64_t kPiece = 128;  // images embedded at once

struct SocialTraining {
  const TrainSocialOptions& options;
  const data::Tokenizer& tokenizer;
  const TripletSet& set;
  train::Loop loop;
  Clip clip;
};

SocialTraining start(const TrainSocialOptions& options,
                     const Clip& clip,
                     const data::Tokenizer& tokenizer,
                     const TripletSet& set) {
  SocialTraining run{options, tokenizer, set, train::new_loop(options.loop), clip};
  train::Loop& loop = run.loop;
  loop.state.params = trained_layers(run.clip, options.layers);
  TORCH_CHECK(!loop.state.params.empty(), "train_social: expected a tower with trained layers");
  loop.state.adamw = train::make_adamw(loop.state.params);
  loop.state.ema = train::make_ema(loop.state.params, options.loop.ema_decay);
  loop.settings = {{"data", set.digest},
                   {"margin", std::to_string(options.margin)},
                   {"lr_scheduler", options.lr_scheduler},
                   {"max_train_steps", std::to_string(options.loop.max_train_steps)}};
  if (!options.loop.resume_from_checkpoint.empty()) train::resume(loop);
  return run;
}

std::vector<std::string> prompts_of(const TripletSet& set, const std::vector<Triplet>& triplets) {
  std::vector<std::string> prompts;
  for (const Triplet& triplet : triplets)
    prompts.push_back(set.prompts.at(static_cast<size_t>(triplet.prompt)));
  return prompts;
}

// -> [2 B] rows: the preferred images, then the others
at::Tensor images_of(const std::vector<Triplet>& triplets) {
  std::vector<int64_t> rows;
  for (const Triplet& triplet : triplets) rows.push_back(triplet.preferred);
  for (const Triplet& triplet : triplets) rows.push_back(triplet.other);
  return at::tensor(rows, at::kLong);
}

// The triplets of an update. Every epoch shuffles all of them anew.
std::vector<Triplet> batch_of(const SocialTraining& run) {
  const auto count = static_cast<int64_t>(run.set.training.size());
  const int64_t size = std::min(run.options.loop.train_batch_size, count);
  const int64_t batches = count / size, epoch = run.loop.step / batches;
  const at::Tensor order = train::epoch_order(run.options.loop.seed, epoch, count);
  std::vector<Triplet> batch;
  const int64_t first = (run.loop.step % batches) * size;
  for (int64_t i = first; i < first + size; ++i)
    batch.push_back(run.set.training[static_cast<size_t>(order[i].item<int64_t>())]);
  return batch;
}

double learning_rate(const SocialTraining& run) {
  const double done = train::progress(run.loop), rate = train::warm_rate(run.loop);
  return rate * train::lr_schedule(run.options.lr_scheduler).factor(done);
}

StepMetrics update(SocialTraining& run) {
  train::Loop& loop = run.loop;
  StepMetrics metrics{.learning_rate = learning_rate(run)};
  const auto batch = batch_of(run);
  train::zero_grad(loop.state.params);
  const at::Tensor features = image_features(run.clip, run.set.images(images_of(batch)));
  const at::Tensor text =
      text_features(run.clip, trimmed_ids(run.tokenizer, prompts_of(run.set, batch)));
  const auto halves = features.chunk(2);
  const at::Tensor loss = triplet_loss(text, halves[0], halves[1], run.options.margin);
  loss.backward();
  metrics.loss = loss.item<double>();
  metrics.accuracy =
      (text * (halves[0] - halves[1])).sum(1).gt(0).to(at::kDouble).mean().item<double>();
  metrics.grad_norm = train::finish_update(loop, 2.0 * static_cast<double>(batch.size()), [&] {
    train::adamw_step(loop.state.params, loop.state.adamw,
                      {.weight_decay = run.options.loop.weight_decay}, metrics.learning_rate);
  });
  return metrics;
}

std::string report(const SocialTraining& run, const StepMetrics& now) {
  const double rate = train::images_per_second(run.loop);
  train::record(run.loop, false,
                {{"loss", now.loss},
                 {"accuracy", now.accuracy},
                 {"grad_norm", now.grad_norm},
                 {"learning_rate", now.learning_rate},
                 {"images_per_second", rate}});
  char text[160];
  std::snprintf(text, sizeof text, "  loss %.4f  pairs right %5.1f %%  lr %.1e  %.0f images/s",
                now.loss, 100 * now.accuracy, now.learning_rate, rate);
  return train::progress_text(run.loop) + text;
}

double validate(SocialTraining& run, std::string& report) {
  const Clip clip = train::averaged(run.loop, run.clip);
  const double accuracy = triplet_accuracy(clip, run.tokenizer, run.set, run.set.validation);
  train::record(run.loop, true, {{"validation/accuracy", accuracy}});
  char text[60];
  std::snprintf(text, sizeof text, "  held-out pairs right %.1f %%", 100 * accuracy);
  report += text;
  return accuracy;
}

// Embeds each distinct image once. -> row of the set -> [P]
std::map<int64_t, at::Tensor> embedded(const Clip& clip,
                                       const TripletSet& set,
                                       const at::Tensor& wanted) {
  const at::Tensor rows = std::get<0>(at::_unique(wanted));
  std::map<int64_t, at::Tensor> features;
  for (int64_t start = 0; start < rows.size(0); start += kPiece) {
    const at::Tensor piece = rows.slice(0, start, start + kPiece);
    const at::Tensor values = image_features(clip, set.images(piece));
    for (int64_t i = 0; i < piece.size(0); ++i) features[piece[i].item<int64_t>()] = values[i];
  }
  return features;
}

}  // namespace

at::Tensor triplet_loss(const at::Tensor& text,
                        const at::Tensor& preferred,
                        const at::Tensor& other,
                        double margin) {
  data::check_shape(text, {-1, -1}, "triplet_loss: text");
  data::check_shape(preferred, {text.size(0), text.size(1)}, "triplet_loss: preferred");
  data::check_shape(other, {text.size(0), text.size(1)}, "triplet_loss: other");
  const at::Tensor near = (text - preferred).square().sum(1), far = (text - other).square().sum(1);
  return (near - far + margin).relu().mean();
}

double triplet_accuracy(const Clip& clip,
                        const data::Tokenizer& tokenizer,
                        const TripletSet& set,
                        const std::vector<Triplet>& triplets) {
  const at::NoGradGuard no_grad;
  if (triplets.empty()) return 0;
  const auto images = embedded(clip, set, images_of(triplets));
  std::map<int64_t, at::Tensor> texts;
  double right = 0;
  for (const Triplet& triplet : triplets) {
    auto& text = texts[triplet.prompt];
    if (!text.defined())
      text = text_features(clip, trimmed_ids(tokenizer, prompts_of(set, {triplet})))[0];
    const double difference =
        text.dot(images.at(triplet.preferred) - images.at(triplet.other)).item<double>();
    right += difference > 0 ? 1 : difference == 0 ? 0.5 : 0;
  }
  return right / static_cast<double>(triplets.size());
}

TrainSocialResult train_social(const TrainSocialOptions& options,
                               const Clip& clip,
                               const data::Tokenizer& tokenizer,
                               const TripletSet& set,
                               const std::function<void(const std::string&)>& print) {
  TORCH_CHECK(!set.training.empty(), "train_social: expected at least one triplet");
  SocialTraining run = start(options, clip, tokenizer, set);
  const double before = triplet_accuracy(clip, tokenizer, set, set.validation);
  const auto validation = [&] {
    std::string text;
    validate(run, text);
    return text;
  };
  run_steps(run.loop,
            {.update = [&] { return update(run); },
             .validate = validation,
             .report = [&](const StepMetrics& metrics) { return report(run, metrics); }},
            print);
  TrainSocialResult result{.clip = train::averaged(run.loop, run.clip), .accuracy_before = before};
  std::string text;
  result.accuracy = validate(run, text);
  result.steps = run.loop.step;
  result.minutes = train::minutes(run.loop);
  return result;
}

}  // namespace rewards
