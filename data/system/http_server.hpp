#pragma once

// Being an HTTP server: for the stand-in of a judge, and for tests.

#include <functional>
#include <memory>
#include <string>

#include "data/system/http.hpp"

namespace data {

struct HttpRequest {
  std::string method, path, body;
  HttpHeaders headers;
};
using HttpHandler = std::function<HttpReply(const HttpRequest& request)>;

struct HttpServerLimits {
  int64_t workers = 32;         // connections at once; a few more wait in the system's queue
  double read_seconds = 10;     // for one read or write; slower clients are dropped
  double request_seconds = 60;  // for the whole of a request
  int64_t body_bytes = int64_t{32} << 20;
};

// Answers every GET and POST with `handler` (from several threads at once) until it is destroyed.
// The handler's Content-Type is its header "content-type", else application/json. One that listens
// on this machine alone takes only requests whose Host is this machine, so that a web page cannot
// reach it under a name of its own.
class HttpServer {
 public:
  // port 0: any free one. Throws BadInput when the port cannot be taken.
  HttpServer(const std::string& host,
             int port,
             HttpHandler handler,
             const HttpServerLimits& limits = {});
  ~HttpServer();
  int port() const;
  void wait();  // until another thread or a signal handler calls stop()
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace data
