#pragma once

// Where the time of a piece of work goes: libtorch's operations, and what lies between them.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace data {

struct OpTime {
  std::string name;  // "aten::native_group_norm"
  int64_t calls = 0;
  double seconds = 0;  // its own, without those of the operations that it calls
};
struct OpTimes {
  double wall = 0, cpu = 0;  // seconds; of all threads
  double products = 0;  // seconds inside convolutions, matrix products, attention, gradients too
  double between = 0;   // seconds of the wall in no operation at all
  double flop = 0;      // of the products (count_flops)
  int64_t calls = 0;    // of operations, those inside others too
  int64_t allocations = 0;     // of tensors' memory
  double allocated = 0;        // bytes, in all
  std::vector<OpTime> others;  // but products, the longest first
};
// Of the thread that runs `work`; operations of threads that it starts count as between. Costs some
// microseconds an operation. One at a time.
OpTimes op_times(const std::function<void()>& work);

// For people. ceiling: operations a second of a plain matrix product, 0: not known.
std::string op_times_text(const OpTimes& times, double ceiling);

}  // namespace data
