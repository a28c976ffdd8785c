#pragma once

// Simulates the execution of a CUDA kernel on the CPU, for tests: a grid of blocks, blocks of
// threads with barriers, warps that exchange values, shared memory. Every thread is a fiber. Blocks
// run one after another; the threads of a block run in turn from barrier to barrier, in an order
// that a test chooses, because the result of a kernel must not depend on it.
// launch() returns faults: threads that wait at different barriers or end before one; an access to
// shared memory out of bounds, before it was written in this block, or in a race with another
// thread (a write and another access without __syncthreads between them).

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#define __global__
#define __device__
#define LAUREL_SHARED(type, name, size) static kernels::shim::Shared<type, size> name
#define __syncthreads() \
  kernels::shim::wait_for(kernels::shim::ThreadState::kAtBlockBarrier, __LINE__)

using __half = c10::Half;
using __nv_bfloat16 = c10::BFloat16;
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;  // of the running thread

namespace kernels::shim {

constexpr size_t kStackBytes = 65536;
constexpr size_t kLanes = 32;

enum class ThreadState { kReady, kAtBlockBarrier, kAtWarpBarrier, kDone };
using Value = std::array<char, 32>;  // a lane's value for its warp

struct Thread {
  ucontext_t context{};
  ThreadState state = ThreadState::kReady;
  int line = 0;  // of the barrier that it waits at
  Value given{}, received{};
};

struct SimulatedBlock {
  uint64_t order = 0;  // 0: threads and blocks run by number; else the seed of a random order
  std::string fault;   // the first one of this launch
  std::function<void()> kernel;
  std::vector<Thread> threads;  // of the running block
  std::vector<char> stacks;
  ucontext_t scheduler{};
  size_t turn = 0;    // index of the running thread
  int64_t block = 0;  // number of the block, over all launches
  int64_t phase = 0;  // number of the interval between block barriers
};
inline SimulatedBlock& machine() {
  static SimulatedBlock one;
  return one;
}

inline void wait_for(ThreadState state, int line) {
  Thread& own = machine().threads[machine().turn];
  own.state = state;
  own.line = line;
  swapcontext(&own.context, &machine().scheduler);
}

// Ends the thread and the launch.
inline void fail(const char* what) {
  machine().fault = what;
  machine().fault += " (thread " + std::to_string(threadIdx.x) + " of block " +
                     std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ")";
  wait_for(ThreadState::kDone, 0);
}

// An array in shared memory that records its accesses.
template <class T, size_t kSize>
class Shared {
 public:
  struct Cell {
    T value;
    int64_t block = -1;                         // the block that wrote it
    int64_t write_phase = -1, read_phase = -1;  // of the last write and read
    size_t writer = 0, reader = 0;
    bool touched_by_others(bool reading) const {
      const SimulatedBlock& m = machine();
      return (write_phase == m.phase && writer != m.turn) ||
             (!reading && read_phase == m.phase && reader != m.turn);
    }
    Cell& operator=(const T& given) {
      if (touched_by_others(false)) fail("race in shared memory: a write after another's access");
      value = given;
      block = machine().block;
      write_phase = machine().phase;
      writer = machine().turn;
      return *this;
    }
    operator T() {
      if (touched_by_others(true)) fail("race in shared memory: a read after another's write");
      if (block != machine().block) fail("shared memory is read before it is written");
      if (read_phase == machine().phase && reader != machine().turn)
        reader = kMany;
      else
        reader = machine().turn;
      read_phase = machine().phase;
      return value;
    }
  };
  Cell& operator[](size_t i) {
    if (i >= kSize) fail("an access out of the bounds of an array in shared memory");
    return cells_[i];
  }

 private:
  static constexpr size_t kMany = ~size_t{0};  // several readers
  std::array<Cell, kSize> cells_;
};

inline void start_threads(unsigned count) {
  SimulatedBlock& m = machine();
  m.threads.resize(count);
  m.stacks.resize(count * kStackBytes);
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = m.threads[i];
    thread.state = ThreadState::kReady;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = m.stacks.data() + i * kStackBytes;
    thread.context.uc_stack.ss_size = kStackBytes;
    thread.context.uc_link = &m.scheduler;
    makecontext(
        &thread.context,
        [] {
          machine().kernel();
          machine().threads[machine().turn].state = ThreadState::kDone;
        },
        0);
  }
}

// 0 .. count - 1 in the order chosen by the test.
inline std::vector<size_t> turns(size_t count, int64_t salt) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  if (machine().order == 0) return order;
  std::mt19937_64 random(machine().order + static_cast<uint64_t>(salt));
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

// Whether threads [begin, end) all wait at the same barrier of this kind.
inline bool met(size_t begin, size_t end, ThreadState state) {
  const auto& threads = machine().threads;
  return std::all_of(threads.begin() + static_cast<std::ptrdiff_t>(begin),
                     threads.begin() + static_cast<std::ptrdiff_t>(end), [&](const Thread& t) {
                       return t.state == state && t.line == threads[begin].line;
                     });
}

inline void exchange(size_t begin) {
  auto& threads = machine().threads;
  for (size_t i = begin; i < begin + kLanes; ++i) threads[i].state = ThreadState::kReady;
  for (size_t i = begin; i < begin + kLanes; ++i) threads[i].received = threads[i].given;
}

// Opens the barriers at which all threads have arrived.
inline void open_barriers() {
  SimulatedBlock& m = machine();
  bool opened = false;
  for (size_t begin = 0; begin < m.threads.size(); begin += kLanes) {
    if (!met(begin, begin + kLanes, ThreadState::kAtWarpBarrier)) continue;
    exchange(begin);
    opened = true;
  }
  if (met(0, m.threads.size(), ThreadState::kAtBlockBarrier)) {
    for (Thread& thread : m.threads) thread.state = ThreadState::kReady;
    ++m.phase;
    opened = true;
  }
  if (!opened) m.fault = "threads of a block wait at different barriers, or ended before one";
}

inline void run_block(unsigned threads) {
  SimulatedBlock& m = machine();
  ++m.block;
  ++m.phase;
  start_threads(threads);
  const auto done = [](const Thread& thread) { return thread.state == ThreadState::kDone; };
  for (int64_t round = 0; m.fault.empty(); ++round) {
    for (const size_t i : turns(threads, round)) {
      if (m.threads[i].state != ThreadState::kReady) continue;
      m.turn = i;
      threadIdx.x = static_cast<unsigned>(i);
      swapcontext(&m.scheduler, &m.threads[i].context);
      if (!m.fault.empty()) return;
    }
    if (std::all_of(m.threads.begin(), m.threads.end(), done)) return;
    open_barriers();
  }
}

inline bool launchable(dim3 grid, unsigned threads) {
  return grid.x > 0 && grid.y > 0 && grid.y <= 65535 && grid.z == 1 && threads > 0 &&
         threads <= 1024 && threads % kLanes == 0;
}

}  // namespace kernels::shim

namespace kernels {

// The value of lane `lane` (modulo 32).
template <class V>
V from_lane(const V& own, unsigned lane, int line = __builtin_LINE()) {
  static_assert(sizeof(V) <= sizeof(shim::Value));
  auto& m = shim::machine();
  std::memcpy(m.threads[m.turn].given.data(), &own, sizeof(V));
  shim::wait_for(shim::ThreadState::kAtWarpBarrier, line);
  const size_t source = m.turn / shim::kLanes * shim::kLanes + lane % shim::kLanes;
  V other;
  std::memcpy(&other, m.threads[source].received.data(), sizeof(V));
  return other;
}

template <class... P, class... A>
const char* launch(
    void (*kernel)(P...), dim3 grid, unsigned threads, void*, const A&... arguments) {
  auto& m = shim::machine();
  m.fault = shim::launchable(grid, threads) ? "" : "invalid grid or block";
  m.kernel = [&] { kernel(arguments...); };
  gridDim = grid;
  blockDim = {threads};
  for (const size_t i :
       m.fault.empty() ? shim::turns(size_t{grid.x} * grid.y, -1) : std::vector<size_t>()) {
    blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x)};
    shim::run_block(threads);
    if (!m.fault.empty()) break;
  }
  return m.fault.empty() ? nullptr : m.fault.c_str();
}

inline const char* unusable(void (*)()) { return nullptr; }

inline float fast_exp(float x) { return std::exp(x); }
inline float fast_ratio(float a, float b) { return a / b; }

}  // namespace kernels
