#include "data/device/gpu_usage.hpp"

#include <array>

#include "data/base/shared_library.hpp"

namespace data {

namespace {

constexpr int kPciName = 32;  // "00000000:65:00.0" and its end

// NVML counts all cards, CUDA those that CUDA_VISIBLE_DEVICES names: the place on the bus is common
// to both. Empty where there is none.
std::string place_on_bus(int64_t ordinal, const std::string& driver) {
  int (*initialize)(unsigned) = nullptr;
  int (*device_of)(int*, int) = nullptr;
  int (*place_of)(char*, int, int) = nullptr;
  void* library = dlopen(driver.c_str(), RTLD_NOW);
  if (!library || !find_function(library, "cuInit", initialize) ||
      !find_function(library, "cuDeviceGet", device_of) ||
      !find_function(library, "cuDeviceGetPCIBusId", place_of))
    return "";
  int device = 0;
  std::array<char, kPciName> place{};
  if (initialize(0) != 0 || device_of(&device, static_cast<int>(ordinal)) != 0 ||
      place_of(place.data(), kPciName, device) != 0)
    return "";
  return place.data();
}

}  // namespace

std::optional<GpuUsage> gpu_usage(int64_t ordinal,
                                  const std::string& driver,
                                  const std::string& monitor) {
  struct Shares {
    unsigned compute, memory;  // percent
  };
  struct Memory {
    unsigned long long total, free, used;  // bytes
  };
  int (*initialize)() = nullptr;
  int (*card_at)(const char*, void**) = nullptr;
  int (*shares_of)(void*, Shares*) = nullptr;
  int (*memory_of)(void*, Memory*) = nullptr;
  const std::string place = place_on_bus(ordinal, driver);
  void* library = place.empty() ? nullptr : dlopen(monitor.c_str(), RTLD_NOW);
  if (!library || !find_function(library, "nvmlInit_v2", initialize) ||
      !find_function(library, "nvmlDeviceGetHandleByPciBusId_v2", card_at) ||
      !find_function(library, "nvmlDeviceGetUtilizationRates", shares_of) ||
      !find_function(library, "nvmlDeviceGetMemoryInfo", memory_of))
    return {};
  void* card = nullptr;
  Shares shares{};
  Memory memory{};
  if (initialize() != 0 || card_at(place.c_str(), &card) != 0 || shares_of(card, &shares) != 0 ||
      memory_of(card, &memory) != 0)
    return {};
  return GpuUsage{shares.compute / 100.0, static_cast<double>(memory.used)};
}

}  // namespace data
