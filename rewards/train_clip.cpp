#include "rewards/train_clip.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/shape.hpp"
#include "data/train/muon.hpp"
#include "data/train/optim.hpp"
#include "data/train/state.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::ordered_json;

const double kMaxLogitScale = std::log(100.0);  // Radford et al. 2021, section 2.5
constexpr double kBeta2 = 0.98;                 // the same, table 19

struct Run {
  const TrainClipOptions& options;
  const data::Tokenizer& tokenizer;
  Clip clip;
  train::TrainState state;
  int64_t step = 0;
  double earlier_minutes = 0;  // of the sittings before this one
  Clock::time_point start = Clock::now();
};

double minutes(const Run& run) {
  return run.earlier_minutes + std::chrono::duration<double>(Clock::now() - run.start).count() / 60;
}

double progress(const Run& run) {
  if (run.options.max_train_minutes > 0) return minutes(run) / run.options.max_train_minutes;
  return static_cast<double>(run.step) / static_cast<double>(run.options.max_train_steps);
}

// Warm-up by steps, then a cosine over the whole.
double learning_rate(const TrainClipOptions& options, int64_t step, double done) {
  const double warm = std::min(
      1.0, static_cast<double>(step + 1) / static_cast<double>(options.lr_warmup_steps + 1));
  return options.learning_rate * warm * 0.5 * (1.0 + std::cos(M_PI * std::min(1.0, done)));
}

// Token ids without the columns that are padding for every text: what follows the end token changes
// nothing.
at::Tensor trimmed_ids(const data::Tokenizer& tokenizer, const std::vector<std::string>& captions) {
  const at::Tensor ids = data::encode(tokenizer, captions).ids;
  const int64_t longest = ids.eq(tokenizer.eos).to(at::kInt).argmax(-1).max().item<int64_t>() + 1;
  return ids.slice(1, 0, longest);
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

struct StepFigures {
  double loss = 0, accuracy = 0, grad_norm = 0, lr = 0;
};

StepFigures train_step(Run& run, const ClipSource& source) {
  const TrainClipOptions& options = run.options;
  StepFigures figures{.lr = learning_rate(options, run.step, progress(run))};
  const CaptionedImages batch = source.draw(options.train_batch_size, run.state.generator);
  train::zero_grad(run.state.params);
  const at::Tensor image = image_features(run.clip, batch.images);
  const at::Tensor text = text_features(run.clip, trimmed_ids(run.tokenizer, batch.captions));
  const at::Tensor loss = clip_loss(image, text, run.clip.logit_scale, batch.also_true);
  loss.backward();
  figures.loss = loss.item<double>();
  const at::Tensor best =
      image.detach().matmul(text.detach().t()).masked_fill(batch.also_true, -2).argmax(1);
  figures.accuracy = best.eq(at::arange(best.size(0))).to(at::kFloat).mean().item<double>();
  figures.grad_norm = train::clip_grad_norm(run.state.params, options.max_grad_norm);
  if (std::isfinite(
          figures.grad_norm)) {  // one bad batch must not end the work: its step is skipped
    if (options.optimizer == "muon") {
      muon_update(run.state.params, run.state.adamw, options.weight_decay, figures.lr);
    } else {
      train::adamw_step(run.state.params, run.state.adamw,
                        {.beta2 = kBeta2, .weight_decay = options.weight_decay}, figures.lr);
    }
    run.clip.logit_scale.detach().clamp_(0.0, kMaxLogitScale);
    train::update_ema(run.state.ema, run.state.params);
  }
  ++run.step;
  return figures;
}

fs::path state_path(const TrainClipOptions& options) {
  return options.output_dir / "state.safetensors";
}
fs::path metrics_path(const TrainClipOptions& options) {
  return options.output_dir / "metrics.jsonl";
}

// The settings that decide how a run goes on; another value makes it another run.
std::map<std::string, std::string> notes_of(const TrainClipOptions& options) {
  return {{"seed", std::to_string(options.seed)},
          {"train_batch_size", std::to_string(options.train_batch_size)},
          {"max_train_steps", std::to_string(options.max_train_steps)},
          {"optimizer", options.optimizer},
          {"learning_rate", std::to_string(options.learning_rate)},
          {"weight_decay", std::to_string(options.weight_decay)},
          {"ema_decay", std::to_string(options.ema_decay)}};
}

void save(Run& run) {
  run.state.notes = notes_of(run.options);
  run.state.notes["step"] = std::to_string(run.step);
  run.state.notes["minutes"] = std::to_string(minutes(run));
  train::save_state(state_path(run.options), run.state);
}

void check_same_settings(const fs::path& path, const Run& run) {
  for (const auto& [key, value] : notes_of(run.options)) {
    const auto found = run.state.notes.find(key);
    if (found == run.state.notes.end() || found->second == value) continue;
    throw data::BadInput(path.string() + ": " + key + ": expected " + found->second +
                         ", as the run began, found " + value +
                         "; resume with the same settings or start in a new folder");
  }
}

// Drops the metrics after the state that a run goes on from: they will be written again.
void trim_metrics(const TrainClipOptions& options, int64_t step) {
  if (!fs::exists(metrics_path(options))) return;
  std::istringstream lines(data::read_file(metrics_path(options)));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_discarded() && json.value("step", int64_t{0}) <= step) kept += line + "\n";
  }
  data::write_file(metrics_path(options), kept);
}

void resume(Run& run) {
  const TrainClipOptions& options = run.options;
  const bool latest = options.resume_from_checkpoint == "latest";
  const fs::path path = latest ? state_path(options) : fs::path(options.resume_from_checkpoint);
  if (latest && !fs::exists(path)) return;  // nothing yet: the first sitting
  train::load_state(path, run.state);
  check_same_settings(path, run);
  run.step = std::stoll(run.state.notes.at("step"));
  run.earlier_minutes = std::stod(run.state.notes.at("minutes"));
  trim_metrics(options, run.step);
}

Run start(const TrainClipOptions& options, const data::Tokenizer& tokenizer) {
  if (options.resume_from_checkpoint.empty() && fs::exists(state_path(options))) {
    throw data::BadInput(
        options.output_dir.string() +
        ": output_dir: expected a folder without a training state, found " +
        "one; continue it with --resume_from_checkpoint latest or name another folder");
  }
  Run run{.options = options, .tokenizer = tokenizer, .clip = {}, .state = {}};
  run.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed));
  run.clip = make_clip(options.model, run.state.generator);
  run.state.params = train::parameters_of(run.clip, "");
  run.state.adamw = train::make_adamw(run.state.params);
  run.state.ema = train::make_ema(run.state.params, options.ema_decay);
  if (!options.resume_from_checkpoint.empty()) resume(run);
  return run;
}

// The moving average's weights as a CLIP of its own.
Clip averaged(Run& run) {
  train::swap_ema(run.state.ema, run.state.params);
  Clip clip = run.clip;
  for_each_tensor(clip, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  train::swap_ema(run.state.ema, run.state.params);
  return clip;
}

std::string percent(double fraction) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * fraction);
  return text;
}

// Examines the average, writes it out and records what it can do.
std::vector<Retrieval> validate(Run& run, const std::vector<ExamSet>& exams, std::string& report) {
  const Clip clip = averaged(run);
  std::vector<Retrieval> results;
  ordered_json line{{"step", run.step}, {"evaluation", true}, {"minutes", minutes(run)}};
  for (const ExamSet& exam : exams) {
    const Retrieval result = retrieval_top1(clip, run.tokenizer, exam.groups);
    line[exam.name + "/image_to_text"] = result.image_to_text;
    line[exam.name + "/text_to_image"] = result.text_to_image;
    report += "  " + exam.name + " " + percent(result.image_to_text) + " / " +
              percent(result.text_to_image);
    results.push_back(result);
  }
  data::append_line(metrics_path(run.options), line.dump());
  save_clip(run.options.output_dir / "clip", clip, at::kHalf);
  nn::save_clip_text(run.options.output_dir / "text_encoder", clip.text, at::kHalf);
  return results;
}

void log(const Run& run, const StepFigures& now, double pairs_per_second) {
  const ordered_json line{{"step", run.step},
                          {"minutes", minutes(run)},
                          {"loss", now.loss},
                          {"accuracy", now.accuracy},
                          {"grad_norm", now.grad_norm},
                          {"learning_rate", now.lr},
                          {"logit_scale", run.clip.logit_scale.exp().item<double>()},
                          {"pairs_per_second", pairs_per_second}};
  data::append_line(metrics_path(run.options), line.dump());
}

std::string progress_line(const Run& run, const StepFigures& now, double pairs_per_second) {
  char text[200];
  std::snprintf(
      text, sizeof text,
      "step %5ld  %5.1f min  %3.0f %%  loss %.4f  top-1 of batch %5.1f %%  lr %.1e  %.0f pairs/s",
      static_cast<long>(run.step), minutes(run), 100 * std::min(1.0, progress(run)), now.loss,
      100 * now.accuracy, now.lr, pairs_per_second);
  return text;
}

}  // namespace

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
                         const std::vector<CaptionedImages>& groups) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(!groups.empty(), "retrieval_top1: expected at least one group");
  Retrieval sum;
  for (const CaptionedImages& group : groups) {
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
                           const std::vector<ExamSet>& exams,
                           const std::function<void(const std::string&)>& print) {
  Run run = start(options, tokenizer);
  std::string report;
  int64_t since_step = run.step;
  auto since = Clock::now();
  while (progress(run) < 1.0) {
    const StepFigures now = train_step(run, source);
    if (run.step % options.validation_steps == 0) validate(run, exams, report);
    if (run.step % options.checkpointing_steps == 0) save(run);
    if (run.step % options.logging_steps != 0) continue;
    const double seconds = std::chrono::duration<double>(Clock::now() - since).count();
    const double rate =
        static_cast<double>((run.step - since_step) * options.train_batch_size) / seconds;
    log(run, now, rate);
    print(progress_line(run, now, rate) + report);
    report.clear();
    since_step = run.step;
    since = Clock::now();
  }
  save(run);
  TrainClipResult result{
      .clip = averaged(run), .steps = run.step, .minutes = minutes(run), .exams = {}};
  result.exams = validate(run, exams, report);
  return result;
}

}  // namespace rewards
