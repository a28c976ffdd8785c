#include "rewards/judge_student/train.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdio>

#include "data/train/epoch_order.hpp"
#include "data/train/lr_schedule.hpp"
#include "rewards/clip/pretrain.hpp"
#include "rewards/judge_student/loss.hpp"

namespace rewards {
namespace {

// Every prompt has the same weight, however many judgements it has, times a draw for each member
// (Poisson with mean 1: the bootstrap for large samples).
struct PromptWeights {
  at::Tensor points, pairs;  // [M, N], [M, Q]
};
PromptWeights prompt_weights(const StudentData& data, int64_t members, int64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
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

// For each row another row of the same prompt, or the row itself. `order`: a random permutation of
// the rows.
at::Tensor partners(const at::Tensor& text, const at::Tensor& order) {
  const at::Tensor sorted =
      order.index_select(0, at::argsort(text.index_select(0, order), /*stable=*/true, 0, false));
  at::Tensor partner = at::empty_like(sorted);
  const at::Tensor next = sorted.roll(1);
  const at::Tensor same = text.index_select(0, next).eq(text.index_select(0, sorted));
  partner.index_put_({sorted}, at::where(same, next, sorted));
  return partner;
}

struct StudentEpoch {
  int64_t number = -1;
  at::Tensor points, pairs;  // rows in the order of this epoch
  at::Tensor partner;        // of each row of points
};

struct StudentFit {
  train::Loop loop;
  const StudentData& data;
  double label_smoothing;
  JudgeStudent student;
  std::function<at::Tensor(const at::Tensor&rows)> images, texts;  // rows -> embeddings, [B, P]
  PromptWeights weights;
  int64_t batches;  // of an epoch
  StudentEpoch epoch{};
};

// The rows of this update.
struct UpdateRows {
  at::Tensor points, partner, pairs;
};
UpdateRows rows_of_update(StudentFit& fit) {
  const int64_t number = fit.loop.step / fit.batches, step = fit.loop.step % fit.batches;
  if (fit.epoch.number != number) {
    const int64_t seed = fit.loop.options.seed;
    const auto& text = fit.data.points.text;
    const at::Tensor order = train::epoch_order(seed + 1, number, text.size(0));
    fit.epoch = {.number = number,
                 .points = train::epoch_order(seed, number, text.size(0)),
                 .pairs = train::epoch_order(seed, number, fit.data.pairs.text.size(0)),
                 .partner = partners(text, order)};
  }
  const auto part = [&](const at::Tensor& order) {
    const int64_t count = order.size(0);
    return order.slice(0, count * step / fit.batches, count * (step + 1) / fit.batches);
  };
  const at::Tensor points = part(fit.epoch.points);
  return {points, fit.epoch.partner.index_select(0, points), part(fit.epoch.pairs)};
}

// Features of rows, each distinct image and prompt embedded once. -> [sum of B, 4 P + 1]
at::Tensor features_of(const StudentFit& fit, const at::Tensor& image, const at::Tensor& text) {
  const auto each_once = [](const auto& embed, const at::Tensor& rows) {
    const auto unique = at::_unique(rows, /*sorted=*/true, /*return_inverse=*/true);
    return embed(std::get<0>(unique)).index_select(0, std::get<1>(unique));
  };
  return student_features(fit.student.config, each_once(fit.images, image),
                          each_once(fit.texts, text));
}

ScoreMoments moments_of(const StudentFit& fit, const at::Tensor& logits) {
  return student_moments(logits, fit.student.temperature);
}

// Fidelity loss between the student's and the judge's preferences among images of a prompt.
at::Tensor fidelity_of(const StudentFit& fit,
                       const UpdateRows& rows,
                       const ScoreMoments& own,
                       const ScoreMoments& other) {
  const auto& points = fit.data.points;
  const ScoreMoments label = bin_moments(points.bins.index_select(0, rows.points)),
                     against = bin_moments(points.bins.index_select(0, rows.partner));
  const at::Tensor wanted =
      better_probability(label.mean - against.mean, label.variance + against.variance);
  const at::Tensor given = better_probability(own.mean - other.mean, own.variance + other.variance);
  const at::Tensor known = points.known.index_select(0, rows.points) *
                           points.known.index_select(0, rows.partner) *
                           rows.points.ne(rows.partner).to(at::kFloat).unsqueeze(1);
  return weighted_mean(fidelity_loss(wanted, given), known,
                       fit.weights.points.index_select(1, rows.points));
}

at::Tensor points_term(StudentFit& fit, const UpdateRows& rows) {
  const auto& points = fit.data.points;
  const at::Tensor both = at::cat({rows.points, rows.partner});
  const at::Tensor features =
      features_of(fit, points.image.index_select(0, both), points.text.index_select(0, both));
  const auto logits = student_logits(fit.student, features, &fit.loop.state.generator).chunk(2, 1);
  const at::Tensor bins = (1 - fit.label_smoothing) * points.bins.index_select(0, rows.points) +
                          fit.label_smoothing / static_cast<double>(kBins);
  const at::Tensor point = point_loss(logits[0], bins, points.known.index_select(0, rows.points),
                                      fit.weights.points.index_select(1, rows.points));
  return point +
         0.5 * fidelity_of(fit, rows, moments_of(fit, logits[0]), moments_of(fit, logits[1]));
}

at::Tensor pairs_term(StudentFit& fit, const at::Tensor& rows) {
  const auto& pairs = fit.data.pairs;
  const at::Tensor text = pairs.text.index_select(0, rows);
  const at::Tensor features =
      features_of(fit, at::cat({pairs.a.index_select(0, rows), pairs.b.index_select(0, rows)}),
                  at::cat({text, text}));
  const auto mean =
      moments_of(fit, student_logits(fit.student, features, &fit.loop.state.generator))
          .mean.chunk(2, 1);
  const at::Tensor preferred =
      (1 - fit.label_smoothing) * pairs.preference.index_select(0, rows) + fit.label_smoothing / 2;
  const at::Tensor pair =
      pair_loss(mean[0], mean[1], fit.student.gain, preferred, pairs.known.index_select(0, rows),
                fit.weights.pairs.index_select(1, rows));
  // pairs alone do not determine the level of an axis
  return pair + 1e-4 * (mean[0] - 0.5).square().mean();
}

double update(StudentFit& fit) {
  train::Loop& loop = fit.loop;
  const UpdateRows rows = rows_of_update(fit);
  train::zero_grad(loop.state.params);
  at::Tensor loss = at::zeros({});
  if (rows.points.size(0) > 0) loss = loss + points_term(fit, rows);
  if (rows.pairs.size(0) > 0) loss = loss + pairs_term(fit, rows.pairs);
  loss.backward();
  const double rate = train::warm_rate(loop) * train::cosine_decay(train::progress(loop));
  const double images = static_cast<double>(2 * (rows.points.size(0) + rows.pairs.size(0)));
  train::finish_update(loop, images, [&] {
    train::adamw_step(loop.state.params, loop.state.adamw,
                      {.weight_decay = loop.options.weight_decay}, rate);
    fit.student.gain.detach().clamp_min_(1);
  });
  return loss.item<double>();
}

void fit_judgements(StudentFit& fit, const Print& print) {
  double loss = 0;
  const auto report = [&] {
    const double rate = train::images_per_second(fit.loop);
    train::record(fit.loop, false, {{"loss", loss}, {"images_per_second", rate}});
    char text[80];
    std::snprintf(text, sizeof text, "  loss %.4f  %.0f images/s", loss, rate);
    print(train::progress_text(fit.loop) + text);
  };
  train::run(fit.loop,
             {.update = [&] { loss = update(fit); }, .validate = [] {}, .report = report});
}

StudentFit start(JudgeStudent student, const StudentData& data, StudentTraining options) {
  const int64_t points = data.points.text.size(0), pairs = data.pairs.text.size(0),
                batch = options.loop.train_batch_size;
  TORCH_CHECK(points + pairs > 0, "train_student: expected judgements, got none");
  const int64_t batches = std::max((points + batch - 1) / batch, (2 * pairs + batch - 1) / batch);
  options.loop.max_train_steps = options.epochs * batches;
  const int64_t members = student.config.members;
  StudentFit fit{.loop = train::new_loop(options.loop),
                 .data = data,
                 .label_smoothing = options.label_smoothing,
                 .student = std::move(student),
                 .images = {},
                 .texts = {},
                 .weights = prompt_weights(data, members, options.loop.seed),
                 .batches = batches};
  fit.loop.settings = {{"data", data.digest},
                       {"blind_to", fit.student.config.blind_to},
                       {"label_smoothing", std::to_string(options.label_smoothing)},
                       {"epochs", std::to_string(options.epochs)}};
  return fit;
}

// All tensors except the temperatures, which are calibrated afterwards.
train::Params trained_parameters(JudgeStudent& student) {
  auto params = train::parameters_of(student, "student.");
  std::erase_if(params,
                [](const train::Param& param) { return param.name == "student.calib.temp"; });
  return params;
}

void begin(train::Loop& loop, train::Params params) {
  loop.state.params = std::move(params);
  loop.state.adamw = train::make_adamw(loop.state.params);
  loop.state.ema = train::make_ema(loop.state.params, loop.options.ema_decay);
  if (!loop.options.resume_from_checkpoint.empty()) train::resume(loop);
}

}  // namespace

JudgeStudent train_student(const StudentConfig& config,
                           const StudentData& data,
                           const StudentTraining& options,
                           const Print& print) {
  at::Generator generator =
      at::detail::createCPUGenerator(static_cast<uint64_t>(options.loop.seed));
  StudentFit fit = start(make_student(config, generator), data, options);
  fit.images = [&](const at::Tensor& rows) { return data.images.index_select(0, rows); };
  fit.texts = [&](const at::Tensor& rows) { return data.texts.index_select(0, rows); };
  begin(fit.loop, trained_parameters(fit.student));
  fit_judgements(fit, print);
  return train::averaged(fit.loop, fit.student);
}

TunedStudent tune_student(const JudgeStudent& from,
                          const StudentTower& tower,
                          const StudentData& data,
                          const StudentTraining& options,
                          const Print& print) {
  StudentFit fit = start(from, data, options);
  Clip tuned = tower.clip;
  const at::Tensor ids = trimmed_ids(tower.tokenizer, tower.prompts);  // [T, L]
  fit.images = [&](const at::Tensor& rows) { return image_features(tuned, tower.images(rows)); };
  fit.texts = [&](const at::Tensor& rows) {
    return text_features(tuned, ids.index_select(0, rows));
  };
  train::Params params = trained_parameters(fit.student);
  for (auto& param : trained_layers(tuned, tower.layers)) params.push_back(param);
  begin(fit.loop, std::move(params));
  fit_judgements(fit, print);
  return {train::averaged(fit.loop, fit.student), train::averaged(fit.loop, tuned)};
}

}  // namespace rewards
