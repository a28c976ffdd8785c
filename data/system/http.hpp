#pragma once

// Asking an HTTP server, for rewards and judges that run outside this process. Redirects are not
// followed: images go only where the user sends them.

#include <cstdint>
#include <map>
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
  double connect_seconds = 5;  // for the connection to one address
  double seconds = 120;        // for the whole exchange, from the connection to the answer's end
  HttpHeaders headers{};       // sent beside Content-Type
  int64_t max_bytes = int64_t{16} << 20;  // of an answer's body
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

// The server refuses what was asked; asking again will not help: a redirect, and 4xx but
// 408 and 429.
bool is_refusal(int status);
// Seconds that the server asks to be left alone (Retry-After in seconds, or a date); -1: it does
// not say.
double retry_after(const HttpReply& reply);
// Seconds to wait before it is asked again: `otherwise`, or longer where it asks for that, then at
// least one second; at most `most`.
double wait_before_retry(const HttpReply& reply, double otherwise, double most);

}  // namespace data
