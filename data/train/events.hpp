#pragma once

// What TensorBoard's event file holds beside the scalars (data/train/metrics.hpp): images, texts
// and hyperparameters of a run.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/train/metrics.hpp"

namespace data {

// Appends the record of an event.
void append_event(const std::filesystem::path& events, std::string_view event);

// When something was: seconds since 1970, and the step of the run.
struct EventTime {
  double time = 0;
  int64_t step = 0;
};

// Events (protobuf messages `Event` of TensorFlow's event.proto and summary.proto).
// An image under `tag`: a whole PNG of height x width pixels.
struct EventImage {
  std::string tag, png;
  int64_t height = 0, width = 0;
};
std::string image_event(const EventTime& when, const std::vector<EventImage>& images);
// Texts are shown as Markdown.
std::string text_event(const EventTime& when, const std::string& tag, const std::string& markdown);

// The HParams page: what a run was started with, and the tags of the scalars to compare runs by.
// Values are TOML's: a number, true or false, else a text, in quotes or not.
struct EventRun {
  std::string name;
  std::vector<std::pair<std::string, std::string>> parameters;
  std::vector<std::string> metrics;
};
// The events of a run's start: the experiment, and the session.
std::vector<std::string> hparams_events(double time, const EventRun& run);
// Of its end.
std::string hparams_end_event(double time);

// `key = value` lines as parameters, in their order.
std::vector<std::pair<std::string, std::string>> parameters_of(const std::string& config_text);

}  // namespace data
