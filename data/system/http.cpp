#include "data/system/http.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <functional>
#include <utility>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/system/exchange_stream.hpp"
#include "data/system/exchange_watch.hpp"
#include "data/system/http_date.hpp"
#include "data/system/httplib.hpp"
#include "data/system/no_sigpipe.hpp"
#include "data/unicode/utf8.hpp"

namespace data {
namespace {

using Clock = std::chrono::steady_clock;

std::string seconds_text(double seconds) {
  std::string text = std::to_string(seconds);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

Clock::duration duration_of(double seconds) {
  constexpr double kLongest = 1e8;  // three years: no overflow
  return std::chrono::microseconds(std::llround(std::clamp(seconds, 0.0, kLongest) * 1e6));
}

// A header's value would be two headers, or no header.
std::string header_fault(const HttpHeaders& headers) {
  for (const auto& [name, value] : headers) {
    const std::string text = name + trimmed(value);
    if (printable(text, "\t") != text)
      return "the header " + name + " holds a line break or another control character";
  }
  return "";
}

constexpr const char* kTooLarge = "the answer is larger than is taken";
constexpr const char* kNotHttp =
    "the answer is not HTTP, or the connection broke before it was whole";

HttpReply failed(const std::string& why) {
  return {.status = 0, .body = "", .headers = {}, .error = why};
}

std::string reason(httplib::Error error, const HttpOptions& options) {
  switch (error) {
    case httplib::Error::Connection:
      return "connection refused";
    case httplib::Error::ConnectionTimeout:
      return "no connection within " + seconds_text(options.connect_seconds);
    case httplib::Error::Read:
      return kNotHttp;
    case httplib::Error::Write:
      return "the connection broke while the request was sent";
    case httplib::Error::SSLConnection:
      return "no connection by TLS";
    case httplib::Error::SSLServerVerification:
      return "the server's certificate is not trusted";
    case httplib::Error::Canceled:
      return kTooLarge;
    default:
      return httplib::to_string(error);
  }
}

ExchangeStream::Limits limits_of(const HttpOptions& options) {
  return {.read_by = Clock::now() + duration_of(options.seconds),
          .idle = duration_of(options.seconds),
          // Room for headers, chunks and TLS around the body.
          .max_bytes = 2 * static_cast<uint64_t>(options.max_bytes) + (uint64_t{1} << 20)};
}

// cpp-httplib's client (without TLS or with it) that reads and writes by an ExchangeStream.
template <class Client>
class LimitedClient : public Client {
 public:
  LimitedClient(const Url& url, const HttpOptions& options)
      : Client(url.host, url.port), limits_(limits_of(options)) {
    this->set_connection_timeout(duration_of(options.connect_seconds));
    this->set_read_timeout(duration_of(options.seconds));
    this->set_write_timeout(duration_of(options.seconds));
    this->set_follow_location(false);
    this->set_url_encode(false);
  }
  bool too_large() const { return too_large_; }

 private:
  bool process_socket(const typename Client::Socket& socket,
                      std::function<bool(httplib::Stream&)> exchange) override {
    ExchangeStream stream(socket.sock, socket.ssl, limits_);
    const bool done = exchange(stream);
    too_large_ = stream.too_large();
    return done;
  }
  const ExchangeStream::Limits limits_;
  bool too_large_ = false;
};

template <class Client>
HttpReply exchange(const Url& url, httplib::Request request, const HttpOptions& options) {
  HttpReply reply;
  request.content_receiver = [&](const char* bytes, size_t count, uint64_t, uint64_t) {
    if (static_cast<int64_t>(reply.body.size() + count) > options.max_bytes) return false;
    reply.body.append(bytes, count);
    return true;
  };
  const NoSigpipe no_signal;
  ExchangeWatch watch(Clock::now() + duration_of(options.seconds));
  LimitedClient<Client> client(url, options);
  client.set_socket_options([&](int socket) { watch.watch(socket); });
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  const bool sent = client.send(request, response, error);
  const bool late = watch.finish();
  if (late) return failed("no answer within " + seconds_text(options.seconds));
  if (client.too_large()) return failed(kTooLarge);
  if (!sent) return failed(reason(error, options));
  if (response.status < 100) return failed(kNotHttp);  // "HTTP/1.1 000"
  reply.status = response.status;
  reply.headers = lower_case(response.headers);
  return reply;
}

HttpReply ask(const Url& url, httplib::Request request, const HttpOptions& options) {
  const std::string wrong = header_fault(options.headers);
  if (!wrong.empty()) return failed(wrong);
  for (const auto& [name, value] : options.headers) request.set_header(name, trimmed(value));
  request.set_header("User-Agent", "laurel");
  return url.scheme == "https" ? exchange<httplib::SSLClient>(url, std::move(request), options)
                               : exchange<httplib::ClientImpl>(url, std::move(request), options);
}

httplib::Request request_of(const Url& url, const std::string& method) {
  httplib::Request request;
  request.method = method;
  request.path = url.path;
  return request;
}

}  // namespace

Url parse_url(const std::string& text, const std::string& where) {
  const auto refuse = [&](const std::string& why) {
    throw BadInput(where + ": expected http://HOST[:PORT][/PATH] or https://..., found '" +
                   printable(shortened(text, 200)) + "'" + why);
  };
  if (printable(text) != text || text.find(' ') != std::string::npos)
    refuse(": white space and control characters are written as %20 and the like");
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
    const double port = number_of<double>(place.substr(colon + 1)).value_or(-1);
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
  return ask(url, request_of(url, "GET"), options);
}

HttpReply http_post(const Url& url,
                    const std::string& body,
                    const HttpOptions& options,
                    const std::string& content_type) {
  httplib::Request request = request_of(url, "POST");
  request.set_header("Content-Type", content_type);
  request.body = body;
  return ask(url, std::move(request), options);
}

bool is_refusal(int status) {
  return status >= 300 && status < 500 && status != 408 && status != 429;
}

double retry_after(const HttpReply& reply) {
  const auto found = reply.headers.find("retry-after");
  if (found == reply.headers.end()) return -1;
  if (const auto date = parse_http_date(found->second)) {
    // From the server's own now, where it says that: its clock may be another.
    const auto own = reply.headers.find("date");
    const auto now = own == reply.headers.end() ? std::nullopt : parse_http_date(own->second);
    return std::max(0.0, static_cast<double>(*date - now.value_or(std::time(nullptr))));
  }
  const double seconds = number_of<double>(found->second).value_or(-1);
  return std::isfinite(seconds) && seconds >= 0 ? seconds : -1;
}

double wait_before_retry(const HttpReply& reply, double otherwise, double most) {
  const double asked = retry_after(reply);
  const double wait = asked < 0 ? otherwise : std::max({asked, otherwise, 1.0});
  return std::clamp(wait, 0.0, std::max(0.0, most));
}

}  // namespace data
