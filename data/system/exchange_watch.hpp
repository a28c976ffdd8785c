#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace data {

// Shuts down the socket of an exchange that lasts too long or brings too many bytes. cpp-httplib's
// time-outs are of one read each, and it takes headers and "100 Continue" without end.
class ExchangeWatch {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Fault { kNone, kLate, kTooLarge };

  ExchangeWatch(Clock::time_point deadline, uint64_t max_bytes);
  ~ExchangeWatch();
  ExchangeWatch(const ExchangeWatch&) = delete;
  ExchangeWatch& operator=(const ExchangeWatch&) = delete;

  // The socket that the exchange uses from now on.
  void watch(int socket);
  // Ends the watch. Why the exchange was ended; kNone: it was not.
  Fault finish();

 private:
  void run(const std::stop_token& stop);

  const Clock::time_point deadline_;
  const uint64_t max_bytes_;
  std::mutex mutex_;
  std::condition_variable_any tick_;
  int socket_ = -1;  // a duplicate: it stays this socket when the exchange closes its own
  Fault fault_ = Fault::kNone;
  std::jthread thread_;
};

}  // namespace data
