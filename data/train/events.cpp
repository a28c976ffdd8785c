#include "data/train/events.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/numbers.hpp"

namespace data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? 0x82f63b78u : 0u);
    table[i] = value;
  }
  return table;
}

uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Protobuf's wire format: a key is (field number << 3) | wire type.
enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string key(uint32_t field, Wire wire) { return varint((field << 3) | wire); }
std::string bytes_field(uint32_t field, std::string_view bytes) {
  return key(field, kBytes) + varint(bytes.size()) + std::string(bytes);
}
std::string whole_field(uint32_t field, int64_t value) {
  return key(field, kVarint) + varint(static_cast<uint64_t>(value));
}
std::string double_field(uint32_t field, double value) {
  return key(field, kFixed64) + little_endian(value);
}

// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
std::string event_head(double time, int64_t step) {
  return double_field(1, time) + (step == 0 ? "" : whole_field(2, step));  // 0 is the default
}

// Summary { repeated Value value = 1; }
std::string summary_event(const EventTime& when, const std::vector<std::string>& values) {
  std::string summary;
  for (const auto& value : values) summary += bytes_field(1, value);
  return event_head(when.time, when.step) + bytes_field(5, summary);
}

// SummaryMetadata { PluginData plugin_data = 1; }, PluginData { plugin_name = 1; content = 2; }
std::string plugin(const std::string& name, const std::string& content) {
  return bytes_field(1, bytes_field(1, name) + (content.empty() ? "" : bytes_field(2, content)));
}

// Value { tag = 1; metadata = 9; } of the HParams plugin; its content is an HParamsPluginData.
std::string hparams_event(double time, const std::string& part, const std::string& content) {
  return summary_event({.time = time}, {bytes_field(1, "_hparams_/" + part) +
                                        bytes_field(9, plugin("hparams", content))});
}

enum DataType : int64_t { kText = 1, kTruth = 2, kNumber = 3 };  // HParamInfo's

// A parameter as google.protobuf.Value { number_value = 2; string_value = 3; bool_value = 4; }.
struct Parameter {
  DataType type;
  std::string value;
};
Parameter parameter_of(const std::string& toml) {
  if (toml == "true" || toml == "false") return {kTruth, whole_field(4, toml == "true")};
  if (const auto number = number_of<double>(toml)) return {kNumber, double_field(2, *number)};
  const bool quoted = toml.size() >= 2 && (toml[0] == '"' || toml[0] == '\'');
  return {kText, bytes_field(3, quoted ? toml.substr(1, toml.size() - 2) : toml)};
}

// Experiment { time_created_secs = 3; hparam_infos = 4; metric_infos = 5; name = 6; }, of
// HParamInfo { name = 1; type = 4; } and MetricInfo { MetricName name = 1 { tag = 2; } }
std::string experiment(double time, const EventRun& run) {
  std::string message = double_field(3, time);
  for (const auto& [name, value] : run.parameters)
    message += bytes_field(4, bytes_field(1, name) + whole_field(4, parameter_of(value).type));
  for (const auto& tag : run.metrics)
    message += bytes_field(5, bytes_field(1, bytes_field(2, tag)));
  return message + bytes_field(6, run.name);
}

// SessionStartInfo { map<string, Value> hparams = 1; string group_name = 4; double
// start_time_secs = 5; }
std::string session_start(double time, const EventRun& run) {
  std::string message;
  for (const auto& [name, value] : run.parameters)
    message += bytes_field(1, bytes_field(1, name) + bytes_field(2, parameter_of(value).value));
  return message + bytes_field(4, run.name) + double_field(5, time);
}

constexpr int64_t kSuccess = 1;  // Status

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  uint32_t crc = 0xffffffffu;
  for (const char byte : bytes)
    crc = kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

std::string event_record(std::string_view event) {
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  return length + little_endian(masked_crc(length)) + std::string(event) +
         little_endian(masked_crc(event));
}

std::string scalar_event(const Metrics& metrics) {
  std::vector<std::string> values;  // Value { string tag = 1; float simple_value = 2; }
  for (const auto& [name, value] : metrics.values)
    values.push_back(bytes_field(1, name) + key(2, kFixed32) +
                     little_endian(static_cast<float>(value)));
  return summary_event({metrics.time, metrics.step}, values);
}

std::string image_event(const EventTime& when, const std::vector<EventImage>& images) {
  constexpr int64_t kRgb = 3;
  std::vector<std::string> values;
  // Value { tag = 1; Image image = 4 { height = 1; width = 2; colorspace = 3; encoded = 4; } }
  for (const auto& image : images)
    values.push_back(bytes_field(1, image.tag) +
                     bytes_field(4, whole_field(1, image.height) + whole_field(2, image.width) +
                                        whole_field(3, kRgb) + bytes_field(4, image.png)));
  return summary_event(when, values);
}

std::string text_event(const EventTime& when, const std::string& tag, const std::string& markdown) {
  constexpr int64_t kString = 7;  // DataType.DT_STRING
  // TensorProto { dtype = 1; TensorShapeProto tensor_shape = 2 { Dim dim = 2 { size = 1; } }
  // string_val = 8; }
  const std::string tensor = whole_field(1, kString) +
                             bytes_field(2, bytes_field(2, whole_field(1, 1))) +
                             bytes_field(8, markdown);
  return summary_event(
      when, {bytes_field(1, tag) + bytes_field(8, tensor) + bytes_field(9, plugin("text", ""))});
}

std::vector<std::string> hparams_events(double time, const EventRun& run) {
  // HParamsPluginData { experiment = 2; session_start_info = 3; session_end_info = 4; }
  return {hparams_event(time, "experiment", bytes_field(2, experiment(time, run))),
          hparams_event(time, "session_start_info", bytes_field(3, session_start(time, run)))};
}

std::string hparams_end_event(double time) {
  // SessionEndInfo { Status status = 1; double end_time_secs = 2; }
  return hparams_event(time, "session_end_info",
                       bytes_field(4, whole_field(1, kSuccess) + double_field(2, time)));
}

std::vector<std::pair<std::string, std::string>> parameters_of(const std::string& config_text) {
  std::vector<std::pair<std::string, std::string>> parameters;
  std::istringstream lines(config_text);
  for (std::string line; std::getline(lines, line);) {
    const size_t place = line.find(" = ");
    if (place != std::string::npos)
      parameters.emplace_back(line.substr(0, place), line.substr(place + 3));
  }
  return parameters;
}

fs::path start_events(const fs::path& folder, double time) {
  const auto millis = static_cast<int64_t>(time * 1e3);
  const fs::path path = folder / ("events.out.tfevents." + std::to_string(millis / 1000) + "." +
                                  std::to_string(millis % 1000) + ".laurel");
  append_event(path, event_head(time, 0) + bytes_field(3, "brain.Event:2"));
  return path;
}

void append_event(const fs::path& events, std::string_view event) {
  append_bytes(events, event_record(event));
}

void append_events(const fs::path& events, const Metrics& metrics) {
  append_event(events, scalar_event(metrics));
}

}  // namespace data
