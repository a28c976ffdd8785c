#pragma once

// Asking an HTTP server, and being one: for rewards and judges that run outside this process. The
// only user of cpp-httplib.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace data {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;
  int port = 0;
  std::string path;  // with its query; at least "/"
};
// Throws BadInput, naming `where`, when it is not http(s)://HOST[:PORT][/PATH].
Url parse_url(const std::string& text, const std::string& where);
// localhost, 127.x.x.x or ::1: what is sent there stays on this machine.
bool is_loopback(const Url& url);

using HttpHeaders = std::map<std::string, std::string>;  // names in lower case

struct HttpOptions {
  double connect_seconds = 5;
  double seconds = 120;   // for the whole answer, after the connection
  HttpHeaders headers{};  // sent beside Content-Type
  int64_t max_bytes = int64_t{64} << 20;
};

// What came back. The caller decides what a status means; nothing here throws for a server's fault.
struct HttpReply {
  int status = 0;  // 0: no answer, see `error`
  std::string body;
  HttpHeaders headers;
  std::string error;  // "connection refused", "no answer within 120 s"; empty when it answered
};

HttpReply http_get(const Url& url, const HttpOptions& options = {});
HttpReply http_post(const Url& url,
                    const std::string& body,
                    const HttpOptions& options = {},
                    const std::string& content_type = "application/json");

// The server refuses what was asked; asking again will not help: 4xx but 408 and 429.
bool is_refusal(int status);
// Seconds that the server asks to be left alone (Retry-After in seconds); -1: it does not say.
double retry_after(const HttpReply& reply);

struct HttpRequest {
  std::string method, path, body;
  HttpHeaders headers;
};
using HttpHandler = std::function<HttpReply(const HttpRequest& request)>;

// Answers every request with `handler` (from several threads at once) until it is destroyed. The
// handler's Content-Type is its header "content-type", else application/json.
class HttpServer {
 public:
  // port 0: any free one. Throws BadInput when the port cannot be taken.
  HttpServer(const std::string& host, int port, HttpHandler handler);
  ~HttpServer();
  int port() const;
  void wait();  // until another thread or a signal handler calls stop()
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace data
