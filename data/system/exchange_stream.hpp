#pragma once

#include <chrono>
#include <string>

#include "data/system/httplib.hpp"

namespace data {

// A connection as cpp-httplib reads and writes it, with the limits that cpp-httplib lacks. It takes
// first lines and headers without end, and gives a first line of any length to std::regex, which
// recurses and ends the program.
class ExchangeStream : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    Clock::time_point read_by;  // all that is read
    Clock::duration idle;       // one wait for bytes; one write
    uint64_t max_bytes;         // of all that is read
  };

  // `tls` is null where the connection has none. Owns neither.
  ExchangeStream(int socket, SSL* tls, const Limits& limits);
  // A line, the head or the whole was longer than is taken.
  bool too_large() const { return too_large_; }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* bytes, size_t count) override;         // -1: an error, or a limit
  ssize_t write(const char* bytes, size_t count) override;  // all of them, or -1
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  int socket() const override { return socket_; }

 private:
  bool wait_for(short event, Clock::time_point until) const;
  ssize_t fill();
  bool fits(char byte);

  const int socket_;
  SSL* const tls_;
  const Limits limits_;
  std::string buffer_;
  size_t at_ = 0;  // the first byte of the buffer that is not handed out
  uint64_t received_ = 0, head_ = 0, line_ = 0;  // bytes
  bool in_head_ = true, too_large_ = false;
};

}  // namespace data
