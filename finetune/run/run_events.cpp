#include "finetune/run/run_events.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/images/image_io.hpp"
#include "data/train/events.hpp"

namespace finetune {
namespace {

constexpr size_t kEventImages = 8;  // of an evaluation: a run's file stays small

std::string tag_of(size_t image) { return "samples/" + std::to_string(image); }

// A text in a cell of a Markdown table.
std::string cell(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::string safe;
  for (const char c : text) safe += c == '|' ? std::string("\\|") : std::string(1, c);
  return safe;
}

std::string prompts_table(const EvalSet& set) {
  std::string table = "| image | split | seed | prompt |\n|---|---|---|---|\n";
  for (size_t i = 0; i < set.items.size(); ++i) {
    const EvalItem& item = set.items[i];
    table += "| " + (i < kEventImages ? tag_of(i) : std::to_string(i)) + " | " + item.split +
             " | " + std::to_string(item.seed) + " | " + cell(item.prompt) + " |\n";
  }
  return table;
}

// Indented by four spaces: Markdown's code.
std::string as_code(const std::string& text) {
  std::string code = "    ";
  for (const char c : text) code += c == '\n' ? std::string("\n    ") : std::string(1, c);
  return code;
}

}  // namespace

void begin_events(const TrainingRun& run, const MetricValues& evaluated) {
  const data::EventTime when{data::now(), run.optimizer.step};
  data::EventRun session{.name = std::filesystem::absolute(run.options.folder).filename().string(),
                         .parameters = data::parameters_of(run.task.config_text),
                         .metrics = {}};
  for (const auto& [name, value] : evaluated) session.metrics.push_back(name);
  for (const auto& event : data::hparams_events(when.time, session))
    data::append_event(run.events, event);
  data::append_event(run.events,
                     data::text_event(when, "configuration", as_code(run.task.config_text)));
  if (!run.eval_set.items.empty())
    data::append_event(run.events, data::text_event(when, "prompts", prompts_table(run.eval_set)));
}

void add_event_images(const TrainingRun& run, const Evaluation& evaluation) {
  std::vector<data::EventImage> images;
  for (size_t i = 0; i < std::min(kEventImages, run.eval_set.items.size()); ++i) {
    const at::Tensor image = evaluation.images[static_cast<int64_t>(i)];  // [3, H, W] in [0, 1]
    images.push_back({.tag = tag_of(i),
                      .png = data::encode_png(image),
                      .height = image.size(1),
                      .width = image.size(2)});
  }
  data::append_event(run.events, data::image_event({data::now(), run.optimizer.step}, images));
}

void end_events(const TrainingRun& run) {
  data::append_event(run.events, data::hparams_end_event(data::now()));
}

}  // namespace finetune
