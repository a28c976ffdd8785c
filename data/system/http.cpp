#include "data/system/http.hpp"

// As Debian compiles its library. Here, not in CMake: the precompiled header must not see them.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#define CPPHTTPLIB_BROTLI_SUPPORT
#include <httplib.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <thread>

#include "data/base/error.hpp"
#include "data/system/no_sigpipe.hpp"

namespace data {
namespace {

using Clock = std::chrono::steady_clock;

// A number that is all of `text`; `otherwise` when it is none.
double number_or(const std::string& text, double otherwise) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? value : otherwise;
}

std::string seconds_text(double seconds) {
  std::string text = std::to_string(seconds);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

HttpHeaders lower_case(const httplib::Headers& headers) {
  HttpHeaders result;
  for (const auto& [name, value] : headers) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    result.emplace(lower, value);
  }
  return result;
}

std::string reason(httplib::Error error, bool late, const HttpOptions& options) {
  const std::string limit = "no answer within " + seconds_text(options.seconds);
  if (late) return limit;
  switch (error) {
    case httplib::Error::Connection:
      return "connection refused";
    case httplib::Error::ConnectionTimeout:
      return "no connection within " + seconds_text(options.connect_seconds);
    case httplib::Error::Read:
      return "the connection broke before the answer was whole";
    case httplib::Error::Write:
      return "the connection broke while the request was sent";
    case httplib::Error::SSLServerVerification:
      return "the server's certificate is not trusted";
    case httplib::Error::Canceled:
      return "the answer is larger than is taken";
    default:
      return httplib::to_string(error);
  }
}

httplib::Request request_of(const Url& url, const std::string& method, const HttpOptions& options) {
  httplib::Request request;
  request.method = method;
  request.path = url.path;
  for (const auto& [name, value] : options.headers) request.set_header(name, value);
  return request;
}

HttpReply ask(const Url& url, httplib::Request request, const HttpOptions& options) {
  const NoSigpipe no_signal;
  const bool v6 = url.host.find(':') != std::string::npos;
  httplib::Client client(url.scheme + "://" + (v6 ? "[" + url.host + "]" : url.host) + ":" +
                         std::to_string(url.port));
  const auto microseconds = [](double s) {
    return std::chrono::microseconds(std::llround(s * 1e6));
  };
  client.set_connection_timeout(microseconds(options.connect_seconds));
  client.set_read_timeout(microseconds(options.seconds));
  client.set_write_timeout(microseconds(options.seconds));
  const auto deadline = Clock::now() + microseconds(options.connect_seconds + options.seconds);
  HttpReply reply;
  // The time-outs above are of one read each: a server that trickles is stopped here.
  request.content_receiver = [&](const char* bytes, size_t count, uint64_t, uint64_t) {
    reply.body.append(bytes, count);
    return Clock::now() < deadline && static_cast<int64_t>(reply.body.size()) <= options.max_bytes;
  };
  const auto started = Clock::now();
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  if (client.send(request, response, error)) {
    reply.status = response.status;
    reply.headers = lower_case(response.headers);
    return reply;
  }
  const std::chrono::duration<double> spent = Clock::now() - started;
  const bool late = error != httplib::Error::ConnectionTimeout && spent.count() >= options.seconds;
  return {.status = 0, .body = "", .headers = {}, .error = reason(error, late, options)};
}

}  // namespace

Url parse_url(const std::string& text, const std::string& where) {
  const auto refuse = [&](const std::string& why) {
    throw BadInput(where + ": expected http://HOST[:PORT][/PATH] or https://..., found '" + text +
                   "'" + why);
  };
  const size_t mark = text.find("://");
  Url url;
  if (mark != std::string::npos) url.scheme = text.substr(0, mark);
  if (url.scheme != "http" && url.scheme != "https") refuse("");
  const size_t start = mark + 3, slash = std::min(text.find_first_of("/?", start), text.size());
  std::string place = text.substr(start, slash - start);
  if (place.find('@') != std::string::npos)
    refuse(": give a password or key by an environment variable, not in the address");
  const size_t bracket = place.rfind(']'), colon = place.rfind(':');
  const bool has_port =
      colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  url.port = url.scheme == "http" ? 80 : 443;
  if (has_port) {
    const double port = number_or(place.substr(colon + 1), -1);
    if (port < 1 || port > 65535 || port != std::floor(port))
      refuse(": the port is a whole number from 1 to 65535");
    url.port = static_cast<int>(port);
    place.erase(colon);
  }
  url.host = bracket == std::string::npos ? place : place.substr(1, bracket - 1);
  if (url.host.empty()) refuse("");
  url.path = text.substr(slash);
  if (url.path.empty() || url.path[0] != '/') url.path = "/" + url.path;
  return url;
}

bool is_loopback(const Url& url) {
  return url.host == "localhost" || url.host == "::1" ||
         (url.host.starts_with("127.") &&
          url.host.find_first_not_of("0123456789.") == std::string::npos);
}

HttpReply http_get(const Url& url, const HttpOptions& options) {
  return ask(url, request_of(url, "GET", options), options);
}

HttpReply http_post(const Url& url,
                    const std::string& body,
                    const HttpOptions& options,
                    const std::string& content_type) {
  httplib::Request request = request_of(url, "POST", options);
  request.set_header("Content-Type", content_type);
  request.body = body;
  return ask(url, std::move(request), options);
}

bool is_refusal(int status) {
  return status >= 400 && status < 500 && status != 408 && status != 429;
}

double retry_after(const HttpReply& reply) {
  const auto found = reply.headers.find("retry-after");
  const double seconds = found == reply.headers.end() ? -1 : number_or(found->second, -1);
  return std::isfinite(seconds) && seconds >= 0 ? seconds : -1;
}

struct HttpServer::Impl {
  httplib::Server server;
  std::thread thread;
  int port = 0;
};

HttpServer::HttpServer(const std::string& host, int port, HttpHandler handler)
    : impl_(std::make_unique<Impl>()) {
  const auto answer = [handler](const httplib::Request& request, httplib::Response& response) {
    const HttpReply reply =
        handler({request.method, request.target, request.body, lower_case(request.headers)});
    response.status = reply.status;
    std::string type = "application/json";
    for (const auto& [name, value] : reply.headers) {
      if (name == "content-type")
        type = value;
      else
        response.set_header(name, value);
    }
    response.set_content(reply.body, type);
  };
  impl_->server.Get(".*", answer).Post(".*", answer);
  // Its own default would share a port that another server listens on.
  impl_->server.set_socket_options([](int socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  impl_->port = port == 0 ? impl_->server.bind_to_any_port(host)
                          : (impl_->server.bind_to_port(host, port) ? port : -1);
  if (impl_->port < 0) {
    throw BadInput("port " + std::to_string(port) + " of " + host +
                   " cannot be taken; another program may use it, give another port");
  }
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  while (!impl_->server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

HttpServer::~HttpServer() {
  stop();
  wait();
}

int HttpServer::port() const { return impl_->port; }

void HttpServer::wait() {
  if (impl_->thread.joinable()) impl_->thread.join();
}

void HttpServer::stop() { impl_->server.stop(); }

}  // namespace data
