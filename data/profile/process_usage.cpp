#include "data/profile/process_usage.hpp"

#include <sys/resource.h>

namespace data {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

ProcessUsage process_usage() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return {.user = seconds(used.ru_utime),
          .system = seconds(used.ru_stime),
          .page_faults = static_cast<double>(used.ru_minflt + used.ru_majflt)};
}

ProcessUsage usage_since(const ProcessUsage& before) {
  const ProcessUsage now = process_usage();
  return {.user = now.user - before.user,
          .system = now.system - before.system,
          .page_faults = now.page_faults - before.page_faults};
}

}  // namespace data
