#include "data/system/exchange_watch.hpp"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace data {
namespace {

constexpr std::chrono::milliseconds kTick{20};

uint64_t bytes_received(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (socket < 0 || getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

}  // namespace

ExchangeWatch::ExchangeWatch(Clock::time_point deadline, uint64_t max_bytes)
    : deadline_(deadline),
      max_bytes_(max_bytes),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

ExchangeWatch::~ExchangeWatch() {
  finish();
  if (socket_ >= 0) close(socket_);
}

void ExchangeWatch::watch(int socket) {
  const std::lock_guard lock(mutex_);
  if (socket_ >= 0) close(socket_);
  socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
}

ExchangeWatch::Fault ExchangeWatch::finish() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  if (fault_ == Fault::kNone && Clock::now() >= deadline_) fault_ = Fault::kLate;
  return fault_;
}

void ExchangeWatch::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!tick_.wait_for(lock, stop, kTick, [&] { return stop.stop_requested(); })) {
    if (fault_ == Fault::kNone && Clock::now() >= deadline_) fault_ = Fault::kLate;
    if (fault_ == Fault::kNone && bytes_received(socket_) > max_bytes_) fault_ = Fault::kTooLarge;
    // At every tick: httplib may have gone on to the next address of the host.
    if (fault_ != Fault::kNone && socket_ >= 0) shutdown(socket_, SHUT_RDWR);
  }
}

}  // namespace data
