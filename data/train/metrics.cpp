#include "data/train/metrics.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"

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
// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
std::string event_head(double time, int64_t step) {
  return key(1, kFixed64) + little_endian(time) + key(2, kVarint) +
         varint(static_cast<uint64_t>(step));
}

nlohmann::ordered_json metrics_json(const Metrics& metrics) {
  nlohmann::ordered_json line{{"step", metrics.step},
                              {"epoch", metrics.epoch},
                              {"time", std::round(metrics.time * 1e3) / 1e3}};
  if (metrics.evaluation) line["evaluation"] = true;
  for (const auto& [name, value] : metrics.values) line[name] = value;
  return line;
}

// "step 12, epoch 3: loss 0.25, ..."
std::string metrics_text(const Metrics& metrics) {
  std::string text = "step " + std::to_string(metrics.step) + ", epoch " +
                     std::to_string(metrics.epoch) + (metrics.evaluation ? ", evaluation:" : ":");
  for (const auto& [name, value] : metrics.values)
    text += (text.ends_with(':') ? " " : ", ") + name + formatted(" %.6g", value);
  return text;
}

}  // namespace

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string metrics_line(const Metrics& metrics) { return to_text(metrics_json(metrics)); }

void append_metrics(const fs::path& jsonl, const Metrics& metrics) {
  const auto line = metrics_json(metrics);
  append_line(jsonl, to_text(line));
  log_figures(LogLevel::kDebug, metrics_text(metrics), line);
}

void truncate_metrics(const fs::path& jsonl, int64_t step) {
  if (!fs::exists(jsonl)) return;
  std::istringstream lines(read_file(jsonl));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto object = parse_json(line);
    const auto at = object.is_object() ? object.value("step", nlohmann::json(0)) : nlohmann::json();
    if (at.is_number() && at <= step) kept += line + "\n";
  }
  write_file(jsonl, kept);
}

uintmax_t metrics_bytes(const fs::path& jsonl) {
  std::error_code none;
  const uintmax_t bytes = fs::file_size(jsonl, none);
  return none ? 0 : bytes;
}

void cut_metrics(const fs::path& jsonl, uintmax_t bytes) {
  if (metrics_bytes(jsonl) > bytes) fs::resize_file(jsonl, bytes);
}

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
  std::string summary;  // Summary { repeated Value value = 1; }
  for (const auto& [name, value] : metrics.values) {
    // Value { string tag = 1; float simple_value = 2; }
    const std::string entry =
        bytes_field(1, name) + key(2, kFixed32) + little_endian(static_cast<float>(value));
    summary += bytes_field(1, entry);
  }
  return event_head(metrics.time, metrics.step) + bytes_field(5, summary);
}

fs::path start_events(const fs::path& folder, double time) {
  const auto millis = static_cast<int64_t>(time * 1e3);
  const fs::path path = folder / ("events.out.tfevents." + std::to_string(millis / 1000) + "." +
                                  std::to_string(millis % 1000) + ".laurel");
  append_bytes(path, event_record(event_head(time, 0) + bytes_field(3, "brain.Event:2")));
  return path;
}

void append_events(const fs::path& events, const Metrics& metrics) {
  append_bytes(events, event_record(scalar_event(metrics)));
}

}  // namespace data
