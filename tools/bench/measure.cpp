#include "tools/bench/measure.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/device/device.hpp"
#include "data/profile/flops.hpp"
#include "data/profile/matmul_ceiling.hpp"

namespace bench {
namespace {

constexpr double kGiga = 1e9, kMilli = 1e-3;

// The text after "<key>:" in a file such as /proc/cpuinfo, trimmed; empty when the key is missing.
std::string field(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    return line.substr(std::min(line.find_first_not_of(" \t", colon + 1), line.size()));
  }
  return "";
}

std::string time_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 1 ? "%.1f ms" : "%.2f s",
                seconds < 1 ? seconds / kMilli : seconds);
  return text;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Measurement measure(const BenchStage& stage, const MeasureOptions& options) {
  const at::Device device = options.device;
  Measurement result{.name = stage.name,
                     .batch = stage.batch,
                     .peak_mb = std::nullopt,
                     .weights_mb = stage.weights_mb};
  std::vector<double> times;
  const auto timed = [&] { times.push_back(data::wall_seconds(device, stage.run)); };
  const auto counted = [&](const std::function<void()>& run) {
    result.flops = static_cast<double>(data::count_flops(run));
  };
  if (!options.cold) counted(stage.run);
  const bool counts_memory = data::reset_peak_memory(device);
  const auto before = data::process_usage();
  if (options.cold) counted(timed);
  while (static_cast<int64_t>(times.size()) < options.repeats) timed();
  const auto used = data::usage_since(before);
  const auto runs = static_cast<double>(options.repeats);
  result.usage = {used.user / runs, used.system / runs, used.page_faults / runs};
  if (counts_memory) result.peak_mb = data::peak_memory(device) / (1024 * 1024);
  result.median = median(times);
  result.least = *std::min_element(times.begin(), times.end());
  result.most = *std::max_element(times.begin(), times.end());
  return result;
}

MachineInfo this_machine(const std::string& gpu, const std::string& precision) {
  MachineInfo machine{.device = gpu.empty() ? field("/proc/cpuinfo", "model name") : gpu,
                      .precision = precision,
                      .threads = at::get_num_threads()};
  if (machine.device.empty()) machine.device = "CPU";
  getloadavg(&machine.load, 1);
  return machine;
}

std::string table(const MachineInfo& machine, const std::vector<Measurement>& results) {
  char line[200];
  std::snprintf(line, sizeof line, "%s, %d threads, load %.1f; %s matrix product %.1f GFLOP/s\n\n",
                machine.device.c_str(), static_cast<int>(machine.threads), machine.load,
                machine.precision.c_str(), machine.ceiling / kGiga);
  std::string text = line;
  std::snprintf(line, sizeof line, "%-26s %5s %10s %10s %10s %9s %9s %8s %9s %9s\n", "stage",
                "batch", "median", "min", "max", "GFLOP", "GFLOP/s", "of mm", "peak MB", "weights");
  text += line;
  for (const auto& result : results) {
    const double rate = result.flops / result.median;
    std::snprintf(
        line, sizeof line, "%-26s %5d %10s %10s %10s %9.2f %9.1f %6.0f %% %9.0f %9s\n",
        result.name.c_str(), static_cast<int>(result.batch), time_text(result.median).c_str(),
        time_text(result.least).c_str(), time_text(result.most).c_str(), result.flops / kGiga,
        rate / kGiga, 100 * rate / machine.ceiling, result.peak_mb.value_or(0),
        result.weights_mb > 0 ? std::to_string(std::lround(result.weights_mb)).c_str() : "");
    text += line;
  }
  return text;
}

std::string json(const MachineInfo& machine, const std::vector<Measurement>& results) {
  nlohmann::ordered_json root{{"device", machine.device},
                              {"precision", machine.precision},
                              {"threads", machine.threads},
                              {"load", machine.load},
                              {"matmul_gflops", machine.ceiling / kGiga},
                              {"stages", nlohmann::ordered_json::array()}};
  for (const auto& result : results) {
    const double rate = result.flops / result.median;
    const auto peak =
        result.peak_mb ? nlohmann::ordered_json(*result.peak_mb) : nlohmann::ordered_json(nullptr);
    root["stages"].push_back({{"name", result.name},
                              {"batch", result.batch},
                              {"median_s", result.median},
                              {"min_s", result.least},
                              {"max_s", result.most},
                              {"cpu_s", result.usage.user + result.usage.system},
                              {"system_s", result.usage.system},
                              {"page_faults", result.usage.page_faults},
                              {"gflop", result.flops / kGiga},
                              {"gflop_per_s", rate / kGiga},
                              {"share_of_matmul", rate / machine.ceiling},
                              {"peak_mb", peak},
                              {"weights_mb", result.weights_mb}});
  }
  return data::to_text(root, 1) + "\n";
}

}  // namespace bench
