#include "rewards/clip/pretrain.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <cstdio>
#include <limits>

#include "data/base/shape.hpp"
#include "data/train/lr_schedule.hpp"
#include "data/train/muon.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/training_steps.hpp"

namespace rewards {
namespace {

const double kMaxLogitScale = std::log(100.0);  // Radford et al. 2021, section 2.5
constexpr double kBeta2 = 0.98;                 // the same, table 19

struct Pretraining {
  const TrainClipOptions& options;
  const data::Tokenizer& tokenizer;
  train::Loop loop;
  Clip clip;
};

// Warm-up times a cosine over all updates.
double learning_rate(const train::Loop& loop) {
  return train::warm_rate(loop) * train::cosine_decay(train::progress(loop));
}

bool is_tower_matrix(const train::Param& param) {
  return param.value.dim() == 2 && param.name.find(".encoder.layers.") != std::string::npos;
}

// Muon on the matrices inside the towers, AdamW on embeddings, projections, norms and biases.
void muon_update(train::Params& params, train::AdamWState& state, double weight_decay, double lr) {
  train::Params inner, outer;
  train::AdamWState inner_state{.step = state.step.clone(), .exp_avg = {}, .exp_avg_sq = {}};
  train::AdamWState outer_state{.step = state.step, .exp_avg = {}, .exp_avg_sq = {}};
  for (size_t i = 0; i < params.size(); ++i) {
    const bool in = is_tower_matrix(params[i]);
    (in ? inner : outer).push_back(params[i]);
    (in ? inner_state : outer_state).exp_avg.push_back(state.exp_avg[i]);
    (in ? inner_state : outer_state).exp_avg_sq.push_back(state.exp_avg_sq[i]);
  }
  const train::AdamWOptions adamw{.beta2 = kBeta2, .weight_decay = weight_decay};
  train::muon_step(inner, inner_state, {.weight_decay = weight_decay, .adamw = adamw}, lr);
  train::adamw_step(outer, outer_state, adamw, lr);
}

void optimizer_step(Pretraining& run, double lr) {
  train::TrainState& state = run.loop.state;
  const double weight_decay = run.options.loop.weight_decay;
  if (run.options.optimizer == "muon") {
    muon_update(state.params, state.adamw, weight_decay, lr);
  } else {
    train::adamw_step(state.params, state.adamw, {.beta2 = kBeta2, .weight_decay = weight_decay},
                      lr);
  }
  run.clip.logit_scale.detach().clamp_(0.0, kMaxLogitScale);
}

StepMetrics update(Pretraining& run, const ClipSource& source) {
  train::Loop& loop = run.loop;
  StepMetrics metrics{.learning_rate = learning_rate(loop)};
  const int64_t count = run.options.loop.train_batch_size;
  const ContrastiveBatch batch = source.draw(count, loop.state.generator);
  train::zero_grad(loop.state.params);
  const at::Tensor image = image_features(run.clip, batch.images);
  const at::Tensor text = text_features(run.clip, trimmed_ids(run.tokenizer, batch.captions));
  const at::Tensor loss = clip_loss(image, text, run.clip.logit_scale, batch.also_true);
  loss.backward();
  metrics.loss = loss.item<double>();
  const at::Tensor best =
      image.detach().matmul(text.detach().t()).masked_fill(batch.also_true, -2).argmax(1);
  metrics.accuracy = best.eq(at::arange(best.size(0))).to(at::kFloat).mean().item<double>();
  metrics.grad_norm = train::finish_update(loop, static_cast<double>(count),
                                           [&] { optimizer_step(run, metrics.learning_rate); });
  return metrics;
}

Pretraining start(const TrainClipOptions& options, const data::Tokenizer& tokenizer) {
  Pretraining run{options, tokenizer, train::new_loop(options.loop), {}};
  run.clip = make_clip(options.model, run.loop.state.generator);
  run.loop.settings = {{"optimizer", options.optimizer}};
  train::take_weights(run.loop, run.clip);
  return run;
}

std::string percent(double fraction) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * fraction);
  return text;
}

// Evaluates the averaged weights, records the metrics and writes the weights out. `report` gets a
// piece of a line.
std::vector<Retrieval> validate(Pretraining& run,
                                const std::vector<EvaluationSet>& sets,
                                std::string& report) {
  const Clip clip = train::averaged(run.loop, run.clip);
  std::vector<Retrieval> results;
  std::vector<std::pair<std::string, double>> metrics;
  for (const EvaluationSet& set : sets) {
    const Retrieval result = retrieval_top1(clip, run.tokenizer, set.groups);
    metrics.push_back({set.name + "/image_to_text", result.image_to_text});
    metrics.push_back({set.name + "/text_to_image", result.text_to_image});
    report += "  " + set.name + " " + percent(result.image_to_text) + " / " +
              percent(result.text_to_image);
    results.push_back(result);
  }
  train::record(run.loop, true, metrics);
  save_clip(run.options.loop.output_dir / "clip", clip, at::kHalf);
  nn::save_clip_text(run.options.loop.output_dir / "text_encoder", clip.text, at::kHalf);
  return results;
}

std::string report(const Pretraining& run, const StepMetrics& now) {
  const double rate = train::images_per_second(run.loop);
  train::record(run.loop, false,
                {{"loss", now.loss},
                 {"accuracy", now.accuracy},
                 {"grad_norm", now.grad_norm},
                 {"learning_rate", now.learning_rate},
                 {"logit_scale", run.clip.logit_scale.exp().item<double>()},
                 {"pairs_per_second", rate}});
  char text[160];
  std::snprintf(text, sizeof text, "  loss %.4f  top-1 of batch %5.1f %%  lr %.1e  %.0f pairs/s",
                now.loss, 100 * now.accuracy, now.learning_rate, rate);
  return train::progress_text(run.loop) + text;
}

}  // namespace

at::Tensor trimmed_ids(const data::Tokenizer& tokenizer, const std::vector<std::string>& captions) {
  const at::Tensor ids = data::encode(tokenizer, captions).ids;
  const int64_t longest = ids.eq(tokenizer.eos).to(at::kInt).argmax(-1).max().item<int64_t>() + 1;
  return ids.slice(1, 0, longest);
}

at::Tensor clip_loss(const at::Tensor& image,
                     const at::Tensor& text,
                     const at::Tensor& logit_scale,
                     const at::Tensor& also_true) {
  data::check_shape(image, {-1, -1}, "clip_loss: image");
  data::check_shape(text, {image.size(0), image.size(1)}, "clip_loss: text");
  at::Tensor logits = logit_scale.exp() * image.matmul(text.t());  // [B images, B texts]
  if (also_true.defined())
    logits = logits.masked_fill(also_true, -std::numeric_limits<double>::infinity());
  return -(logits.log_softmax(1).diagonal().mean() + logits.log_softmax(0).diagonal().mean()) / 2;
}

Retrieval retrieval_top1(const Clip& clip,
                         const data::Tokenizer& tokenizer,
                         const std::vector<ContrastiveBatch>& groups) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(!groups.empty(), "retrieval_top1: expected at least one group");
  Retrieval sum;
  for (const ContrastiveBatch& group : groups) {
    const at::Tensor image = image_features(clip, group.images);
    const at::Tensor scores =
        image.matmul(text_features(clip, trimmed_ids(tokenizer, group.captions)).t());
    const at::Tensor own = at::arange(scores.size(0));
    sum.image_to_text += scores.argmax(1).eq(own).to(at::kDouble).mean().item<double>();
    sum.text_to_image += scores.argmax(0).eq(own).to(at::kDouble).mean().item<double>();
  }
  const auto count = static_cast<double>(groups.size());
  return {sum.image_to_text / count, sum.text_to_image / count};
}

TrainClipResult train_clip(const TrainClipOptions& options,
                           const data::Tokenizer& tokenizer,
                           const ClipSource& source,
                           const std::vector<EvaluationSet>& sets,
                           const std::function<void(const std::string&)>& print) {
  Pretraining run = start(options, tokenizer);
  const auto validation = [&] {
    std::string text;
    validate(run, sets, text);
    return text;
  };
  run_steps(run.loop,
            {.update = [&] { return update(run, source); },
             .validate = validation,
             .report = [&](const StepMetrics& metrics) { return report(run, metrics); }},
            print);
  TrainClipResult result{
      train::averaged(run.loop, run.clip), run.loop.step, train::minutes(run.loop), {}};
  std::string text;
  result.retrieval = validate(run, sets, text);
  return result;
}

}  // namespace rewards
