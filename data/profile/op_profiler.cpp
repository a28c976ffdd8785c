#include "data/profile/op_profiler.hpp"

#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>

#include "data/profile/flops.hpp"

namespace data {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kShown = 12;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A running operation.
struct Frame : at::ObserverContext {
  Frame* caller = nullptr;
  bool product = false;  // itself or a caller
  double inner = 0;      // seconds of the operations that it called
  Clock::time_point start = Clock::now();
};

struct OpTally {
  std::map<std::string, OpTime> own;
  double products = 0, inside = 0;  // seconds: of products, of all operations
};

thread_local OpTally* t_tally = nullptr;  // of the profiled thread
thread_local Frame* t_running = nullptr;

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& call) {
  if (!t_tally) return nullptr;
  auto frame = std::make_unique<Frame>();
  frame->caller = t_running;
  frame->product = (t_running && t_running->product) || is_product(call.name());
  t_running = frame.get();
  return frame;
}

void on_end(const at::RecordFunction& call, at::ObserverContext* context) {
  if (!context || !t_tally) return;
  const auto* frame = static_cast<Frame*>(context);
  const double seconds = since(frame->start);
  t_running = frame->caller;
  OpTime& own = t_tally->own[call.name()];
  own.name = call.name();
  ++own.calls;
  if (!frame->product) own.seconds += seconds - frame->inner;
  if (!frame->caller) t_tally->inside += seconds;
  if (frame->caller) frame->caller->inner += seconds;
  if (frame->product && !(frame->caller && frame->caller->product)) t_tally->products += seconds;
}

struct Allocations : c10::MemoryReportingInfoBase {
  int64_t count = 0;
  double bytes = 0;
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    if (size <= 0) return;
    ++count;
    bytes += static_cast<double>(size);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

// RAII: operations of this thread are added to the tally.
struct ProfilerScope {
  explicit ProfilerScope(OpTally& tally)
      : handle(at::addGlobalCallback(
            at::RecordFunctionCallback(on_start, on_end).scopes({at::RecordScope::FUNCTION}))) {
    t_tally = &tally;
    t_running = nullptr;
  }
  ~ProfilerScope() {
    t_tally = nullptr;
    at::removeCallback(handle);
  }
  ProfilerScope(const ProfilerScope&) = delete;
  ProfilerScope& operator=(const ProfilerScope&) = delete;
  at::CallbackHandle handle;
};

}  // namespace

OpTimes op_times(const std::function<void()>& work) {
  OpTally tally;
  OpTimes times;
  const auto allocations = std::make_shared<Allocations>();
  const auto start = Clock::now();
  const ProcessUsage before = process_usage();
  times.flop = static_cast<double>(count_flops([&] {
    const ProfilerScope scope(tally);
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, allocations);
    work();
  }));
  times.wall = since(start);
  times.usage = usage_since(before);
  times.products = tally.products;
  times.between = times.wall - tally.inside;
  times.allocations = allocations->count;
  times.allocated = allocations->bytes;
  for (const auto& [name, own] : tally.own) {
    times.calls += own.calls;
    if (own.seconds > 0) times.others.push_back(own);
  }
  std::sort(times.others.begin(), times.others.end(),
            [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return times;
}

std::string op_times_text(const OpTimes& times, double ceiling) {
  char line[200];
  const auto share = [&](double seconds) { return 100 * seconds / times.wall; };
  const double rate = times.products > 0 ? times.flop / times.products : 0;
  std::snprintf(line, sizeof line,
                "%.2f s, %.2f of CPU and %.2f of it in the system; %lld operations, %lld "
                "allocations of %.2f GB in all, %.0f page faults\n",
                times.wall, times.usage.user + times.usage.system, times.usage.system,
                static_cast<long long>(times.calls), static_cast<long long>(times.allocations),
                times.allocated / 1e9, times.usage.page_faults);
  std::string text = line;
  std::snprintf(line, sizeof line,
                "%6.1f %%  convolutions, matrix products, attention: %.1f GFLOP/s",
                share(times.products), rate / 1e9);
  text += line;
  if (ceiling > 0) {
    std::snprintf(line, sizeof line, ", %.0f %% of a plain matrix product", 100 * rate / ceiling);
    text += line;
  }
  text += "\n";
  for (size_t i = 0; i < std::min(kShown, times.others.size()); ++i) {
    const OpTime& other = times.others[i];
    std::snprintf(line, sizeof line, "%6.1f %%  %s, %lld calls\n", share(other.seconds),
                  other.name.c_str(), static_cast<long long>(other.calls));
    text += line;
  }
  std::snprintf(line, sizeof line, "%6.1f %%  between operations\n", share(times.between));
  return text + line;
}

}  // namespace data
