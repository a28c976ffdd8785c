#include "data/system/exchange_watch.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace data {
namespace {

constexpr std::chrono::milliseconds kTick{20};

}  // namespace

ExchangeWatch::ExchangeWatch(Clock::time_point deadline)
    : deadline_(deadline), thread_([this](const std::stop_token& stop) { run(stop); }) {}

ExchangeWatch::~ExchangeWatch() {
  finish();
  if (socket_ >= 0) close(socket_);
}

void ExchangeWatch::watch(int socket) {
  const std::lock_guard lock(mutex_);
  if (socket_ >= 0) close(socket_);
  socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
}

bool ExchangeWatch::finish() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  return Clock::now() >= deadline_;
}

void ExchangeWatch::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!tick_.wait_for(lock, stop, kTick, [&] { return stop.stop_requested(); })) {
    // At every tick: httplib may have gone on to the next address of the host.
    if (Clock::now() >= deadline_ && socket_ >= 0) shutdown(socket_, SHUT_RDWR);
  }
}

}  // namespace data
