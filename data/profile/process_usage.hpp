#pragma once

namespace data {

// What the kernel counts of this process, all threads together.
struct ProcessUsage {
  double user = 0, system = 0;  // processor seconds
  double page_faults = 0;       // pages mapped at their first use, read from a disk or not
};
ProcessUsage process_usage();  // since the process started
ProcessUsage usage_since(const ProcessUsage& before);

}  // namespace data
