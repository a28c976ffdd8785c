#pragma once

// Profiles a piece of work: the time of each libtorch operation, and the time between operations.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/profile/process_usage.hpp"

namespace data {

struct OpTime {
  std::string name;  // "aten::native_group_norm"
  int64_t calls = 0;
  double seconds = 0;  // excluding the operations that it calls
};
struct OpTimes {
  double wall = 0;      // seconds
  ProcessUsage usage;   // of all threads
  double products = 0;  // seconds in convolutions, matrix products, attention and their gradients
  double between = 0;   // wall seconds outside any operation
  double flop = 0;      // of the products (count_flops)
  int64_t calls = 0;    // of operations, nested ones included
  int64_t allocations = 0;     // of tensor memory
  double allocated = 0;        // bytes in all
  std::vector<OpTime> others;  // operations other than products, the longest first
};
// Profiles the thread that runs `work`; time that it waits for other threads counts as `between`.
// Costs some microseconds per operation. One call at a time.
OpTimes op_times(const std::function<void()>& work);

// A readable table. ceiling: operations a second of a plain matrix product; 0: unknown.
std::string op_times_text(const OpTimes& times, double ceiling);

}  // namespace data
