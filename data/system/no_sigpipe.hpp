#pragma once

#include <csignal>
#include <ctime>

namespace data {

// RAII: this thread gets EPIPE instead of SIGPIPE when the reader of a pipe or socket has closed
// it. Other threads and later writes to standard output behave as usual.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec at_once{0, 0};
    sigtimedwait(&pipe_, nullptr, &at_once);  // drops a pending signal of this thread
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
};

}  // namespace data
