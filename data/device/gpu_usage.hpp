#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace data {

struct GpuUsage {
  double utilization = 0;  // share of the last sampling period in which a kernel ran, 0 to 1
  double memory = 0;       // in use on the card by all processes, bytes
};

// What the driver's monitor, NVML, says of CUDA's GPU `ordinal`; nothing where there is no driver,
// no monitor or no such GPU. Takes milliseconds at most. The names are those of the two libraries.
std::optional<GpuUsage> gpu_usage(int64_t ordinal,
                                  const std::string& driver = "libcuda.so.1",
                                  const std::string& monitor = "libnvidia-ml.so.1");

}  // namespace data
