#include "data/train/metrics.hpp"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"

namespace data {
namespace {

namespace fs = std::filesystem;

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

}  // namespace data
