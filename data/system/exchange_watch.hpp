#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace data {

// Shuts down the socket of an exchange that lasts too long: cpp-httplib's time-outs are of one
// address, one step of TLS or one read each.
class ExchangeWatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ExchangeWatch(Clock::time_point deadline);
  ~ExchangeWatch();
  ExchangeWatch(const ExchangeWatch&) = delete;
  ExchangeWatch& operator=(const ExchangeWatch&) = delete;

  // The socket that the exchange uses from now on.
  void watch(int socket);
  // Ends the watch. True: the deadline has passed.
  bool finish();

 private:
  void run(const std::stop_token& stop);

  const Clock::time_point deadline_;
  std::mutex mutex_;
  std::condition_variable_any tick_;
  int socket_ = -1;  // a duplicate: it stays this socket when the exchange closes its own
  std::jthread thread_;
};

}  // namespace data
