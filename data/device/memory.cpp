#include "data/device/memory.hpp"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <new>

#include "data/base/error.hpp"

namespace data {
namespace {

struct Ledger : c10::MemoryReportingInfoBase {
  int64_t now = 0, peak = 0;
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device device) override {
    if (device.is_cpu()) peak = std::max(peak, now += size);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

// Allocator of meta tensors: allocates nothing and counts the bytes.
struct MetaLedger : c10::Allocator {
  std::atomic<int64_t> now{0}, peak{0};

  struct MetaBlock {
    MetaLedger* ledger;
    int64_t bytes;
  };
  static void release(void* block) {
    const std::unique_ptr<MetaBlock> owned(static_cast<MetaBlock*>(block));
    owned->ledger->now -= owned->bytes;
  }
  c10::DataPtr allocate(size_t bytes) override {
    auto block = std::make_unique<MetaBlock>(MetaBlock{this, static_cast<int64_t>(bytes)});
    const int64_t held = now += block->bytes;
    for (int64_t most = peak; held > most && !peak.compare_exchange_weak(most, held);) {
    }
    return {nullptr, block.release(), &release, c10::Device(c10::DeviceType::Meta)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void*, const void*, size_t) const override {}
};

// The value of a line "key: 123 kB" of a file under /proc; 0 where there is none.
double proc_bytes(const std::string& file, const std::string& key) {
  std::ifstream status(file);
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::stod(line.substr(key.size())) * 1024;
  }
  return 0;
}

const std::map<std::string, double> kUnits = {{"", 1},
                                              {"b", 1},
                                              {"k", 1e3},
                                              {"kb", 1e3},
                                              {"kib", 1024.0},
                                              {"m", 1e6},
                                              {"mb", 1e6},
                                              {"mib", 1048576.0},
                                              {"g", 1e9},
                                              {"gb", 1e9},
                                              {"gib", 1073741824.0},
                                              {"t", 1e12},
                                              {"tb", 1e12},
                                              {"tib", 1099511627776.0}};

}  // namespace

int64_t peak_tensor_bytes(const std::function<void()>& work) {
  const auto ledger = std::make_shared<Ledger>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, ledger);
  work();
  return ledger->peak;
}

int64_t peak_meta_bytes(const std::function<void()>& work) {
  static MetaLedger ledger;  // static: outlives every tensor that it served
  const int64_t before = ledger.now;
  ledger.peak = before;
  c10::Allocator* const usual = c10::GetAllocator(c10::DeviceType::Meta);
  c10::SetAllocator(c10::DeviceType::Meta, &ledger);
  try {
    work();
  } catch (...) {
    c10::SetAllocator(c10::DeviceType::Meta, usual);
    throw;
  }
  c10::SetAllocator(c10::DeviceType::Meta, usual);
  return ledger.peak - before;
}

double resident_memory(int64_t process) {
  const std::string folder = process == 0 ? "self" : std::to_string(process);
  return proc_bytes("/proc/" + folder + "/status", "VmRSS:");
}

double peak_memory() { return proc_bytes("/proc/self/status", "VmHWM:"); }

double available_memory() {
  const double machine = proc_bytes("/proc/meminfo", "MemAvailable:");
  double limit = 0, used = 0;
  std::ifstream most("/sys/fs/cgroup/memory.max"), current("/sys/fs/cgroup/memory.current");
  if (!(most >> limit) || !(current >> used)) return machine;
  return std::min(machine, std::max(0.0, limit - used));
}

bool reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);         // large blocks come from the heap too
  mallopt(M_TRIM_THRESHOLD, -1);  // whose end is never given back
#endif
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  if (dynamic_cast<const std::bad_alloc*>(&error)) return true;
  // libtorch's CPU allocator throws a plain c10::Error.
  const auto* failed = dynamic_cast<const c10::Error*>(&error);
  return failed && failed->msg().find("DefaultCPUAllocator") != std::string::npos;
}

std::string memory_fault(const std::exception& error) {
  const auto* failed = dynamic_cast<const c10::Error*>(&error);
  const std::string text = failed ? failed->what_without_backtrace() : error.what();
  // Before these words libtorch names its source file, after them the GPU's memory statistics.
  const size_t cpu = text.find("DefaultCPUAllocator"), start = cpu == std::string::npos ? 0 : cpu;
  const size_t amount = text.find("ried to allocate", start), from = std::min(amount, text.size());
  return text.substr(start, std::min(text.find(". ", from), text.find('\n', start)) - start);
}

double parse_bytes(const std::string& text, const std::string& where) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit;
  for (const char* c = end; c != text.data() + text.size(); ++c) {
    if (*c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
  }
  const auto found = kUnits.find(unit);
  if (error != std::errc() || found == kUnits.end() || !(number > 0) || !std::isfinite(number)) {
    throw BadInput(where + ": expected an amount of memory such as 12GB or 800MB, found '" + text +
                   "'");
  }
  return number * found->second;
}

std::string bytes_text(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes >= 1e9 ? "%.2f GB" : "%.1f MB",
                bytes / (bytes >= 1e9 ? 1e9 : 1e6));
  return text;
}

}  // namespace data
