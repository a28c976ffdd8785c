#include "data/system/exchange_stream.hpp"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace data {
namespace {

constexpr size_t kPiece = 16384;            // bytes of one read or write of the system's
constexpr uint64_t kLongestLine = 8192;     // as cpp-httplib has it for headers
constexpr uint64_t kLongestHead = 1 << 18;  // first line and headers, interim answers included

// Whether the call may succeed later.
bool is_passing(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

ExchangeStream::ExchangeStream(int socket, SSL* tls, const Limits& limits)
    : socket_(socket), tls_(tls), limits_(limits) {}

bool ExchangeStream::wait_for(short event, Clock::time_point until) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{.fd = socket_, .events = event, .revents = 0};
    const int count = poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, 1000)));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) return false;
  }
}

// Bytes that came: 0 at the end, -1 for an error or a limit.
ssize_t ExchangeStream::fill() {
  buffer_.resize(kPiece);
  at_ = 0;
  ssize_t count = -1;
  if (tls_) {
    count = SSL_read(tls_, buffer_.data(), kPiece);
  } else {
    const auto until = std::min(limits_.read_by, Clock::now() + limits_.idle);
    while (count < 0 && wait_for(POLLIN, until)) {
      count = recv(socket_, buffer_.data(), kPiece, MSG_DONTWAIT);
      if (count < 0 && !is_passing(errno)) break;
    }
  }
  buffer_.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  received_ += buffer_.size();
  too_large_ = too_large_ || received_ > limits_.max_bytes;
  return too_large_ ? -1 : count;
}

// cpp-httplib reads lines byte by byte, and a body in larger pieces.
bool ExchangeStream::fits(char byte) {
  line_ = byte == '\n' ? 0 : line_ + 1;
  head_ += in_head_;
  too_large_ = too_large_ || line_ > kLongestLine || head_ > kLongestHead;
  return !too_large_;
}

ssize_t ExchangeStream::read(char* bytes, size_t count) {
  if (at_ == buffer_.size()) {
    if (const ssize_t came = fill(); came <= 0) return came;
  }
  if (count != 1) in_head_ = false;
  count = std::min(count, buffer_.size() - at_);
  std::memcpy(bytes, buffer_.data() + at_, count);
  at_ += count;
  if (count == 1 && !fits(*bytes)) return -1;
  return static_cast<ssize_t>(count);
}

ssize_t ExchangeStream::write(const char* bytes, size_t count) {
  const auto until = Clock::now() + limits_.idle;
  for (size_t done = 0; done < count;) {
    const size_t piece = std::min(count - done, kPiece);
    if (!wait_for(POLLOUT, until)) return -1;
    const ssize_t sent = tls_ ? SSL_write(tls_, bytes + done, static_cast<int>(piece))
                              : send(socket_, bytes + done, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) done += static_cast<size_t>(sent);
    if (sent <= 0 && (tls_ || !is_passing(errno))) return -1;
  }
  return static_cast<ssize_t>(count);
}

}  // namespace data
