#pragma once

// Metrics of a run: metrics.jsonl, one object per line, and a TensorBoard event file.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace data {

struct Metrics {
  int64_t step = 0;
  int64_t epoch = 0;
  double time = 0;  // seconds since 1970
  bool evaluation = false;
  std::vector<std::pair<std::string, double>>
      values;  // in the order of writing; NaN and infinity become null in JSON
};

double now();  // seconds since 1970

// {"step":12,"epoch":3,"time":...,"loss":...}; an evaluation's line also has "evaluation":true.
std::string metrics_line(const Metrics& metrics);
void append_metrics(const std::filesystem::path& jsonl, const Metrics& metrics);

// Deletes the lines after `step` and an incomplete last line: a resumed run writes them again. No
// effect without a file.
void truncate_metrics(const std::filesystem::path& jsonl, int64_t step);

// The length of the file, which a state notes; 0: there is none. A run that goes on from the state
// cuts the lines that came after it, and writes them again.
uintmax_t metrics_bytes(const std::filesystem::path& jsonl);
void cut_metrics(const std::filesystem::path& jsonl, uintmax_t bytes);

// Creates <folder>/events.out.tfevents.<time>.laurel with its version record. Returns its path.
std::filesystem::path start_events(const std::filesystem::path& folder, double time);
// Appends one scalar per value, tagged by its name.
void append_events(const std::filesystem::path& events, const Metrics& metrics);

// The format of the event file: TensorFlow's record framing (length, masked CRC-32C of the length,
// bytes, masked CRC-32C of the bytes) around one `Event` protobuf.
uint32_t crc32c(std::string_view bytes);  // Castagnoli
std::string event_record(std::string_view event);
std::string scalar_event(const Metrics& metrics);

}  // namespace data
