#pragma once

#include <csignal>
#include <ctime>

namespace data {

// While it lives, this thread gets EPIPE instead of the signal when the reader of a pipe or socket
// is gone. The program's own standard output keeps the usual behaviour.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec at_once{0, 0};
    sigtimedwait(&pipe_, nullptr, &at_once);  // drops one that is waiting for this thread
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
};

}  // namespace data
