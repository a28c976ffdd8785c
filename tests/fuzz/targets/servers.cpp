// What a server answers: HTTP, its dates, addresses.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>

#include "data/system/http.hpp"
#include "data/system/http_date.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

// A server that answers each connection with the same bytes and closes it.
class Server {
 public:
  Server() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listening_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listening_, 8);
    ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { serve(); });
  }
  ~Server() {
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
  }
  int port() const { return port_; }
  void set_answer(std::string_view bytes) {
    const std::lock_guard lock(guard_);
    answer_ = bytes;
  }

 private:
  void serve() {
    for (int one = 0; (one = ::accept(listening_, nullptr, nullptr)) >= 0; ::close(one)) {
      char request[4096];
      if (::recv(one, request, sizeof request, 0) <= 0) continue;
      const std::lock_guard lock(guard_);
      if (::send(one, answer_.data(), answer_.size(), MSG_NOSIGNAL) < 0) continue;
      ::shutdown(one, SHUT_WR);
    }
  }
  int listening_, port_ = 0;
  std::mutex guard_;
  std::string answer_;
  std::jthread thread_;
};

void http_answer(std::string_view input) {
  static Server server;
  server.set_answer(input);
  const data::Url url{.scheme = "http", .host = "127.0.0.1", .port = server.port(), .path = "/"};
  const auto reply = data::http_get(url, {.seconds = 5, .max_bytes = 1 << 16});
  require(reply.status != 0 || !reply.error.empty(), "no answer has a reason");
  require(reply.body.size() <= 1 << 16, "a body is as long as was allowed");
  const double wait = data::wait_before_retry(reply, 1, 60);
  require(wait >= 0 && wait <= 60, "a wait is in its bounds");
}

void url(std::string_view input) {
  const std::string text(input);
  const auto date = data::parse_http_date(text);
  require(!date || *date >= 0, "a date is not before 1970");
  const double seconds = data::retry_after(
      {.status = 503, .body = "", .headers = {{"retry-after", text}}, .error = ""});
  require(std::isfinite(seconds), "a wait is finite");
  const data::Url parsed = data::parse_url(text, "input");
  require(parsed.port >= 1 && parsed.port <= 65535 && !parsed.host.empty() && !parsed.path.empty(),
          "an address has its parts");
  data::is_loopback(parsed);
}

}  // namespace

Targets server_targets() {
  return {
      {.name = "http_answer",
       .run = http_answer,
       .seeds = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 3\r\n\r\n",
                 "HTTP/1.0 301 Moved\r\nLocation: http://x/\r\n\r\n"},
       .words = {"Content-Length: ", "Transfer-Encoding: chunked\r\n", "Content-Encoding: gzip\r\n",
                 "Content-Encoding: br\r\n", "Retry-After: ", "HTTP/1.1 ", "\r\n\r\n",
                 "ffffffff\r\n", "\r\n ", "Date: "},
       .longest = 2048},
      {.name = "url",
       .run = url,
       .seeds = {"http://localhost:8000/v1?x=1", "https://[::1]:443/a",
                 "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                 "Sun Nov  6 08:49:37 1994", "120"},
       .words = {"http://", "https://", "[::1]", ":65535", "@", "Feb", "GMT"},
       .longest = 256},
  };
}

}  // namespace fuzz
