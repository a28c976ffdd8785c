#include "data/system/http_server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <semaphore>
#include <thread>

#include "data/base/error.hpp"
#include "data/system/exchange_stream.hpp"
#include "data/system/httplib.hpp"

namespace data {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLongestPath = 1024;  // it is matched by std::regex, which recurses

std::chrono::microseconds in_microseconds(double seconds) {
  return std::chrono::microseconds(std::llround(seconds * 1e6));
}

// httplib's pool takes connections without end. This one takes as many as it has threads; the
// others wait in the system's queue.
class BoundedPool : public httplib::TaskQueue {
 public:
  explicit BoundedPool(int64_t threads) : free_(threads), pool_(static_cast<size_t>(threads)) {}
  void enqueue(std::function<void()> work) override {
    free_.acquire();
    pool_.enqueue([this, work = std::move(work)] {
      work();
      free_.release();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  std::counting_semaphore<> free_;
  httplib::ThreadPool pool_;
};

// One request of a connection, read within the limits.
class LimitedServer : public httplib::Server {
 public:
  explicit LimitedServer(const HttpServerLimits& limits) : limits_(limits) {}

 private:
  bool process_and_close_socket(int socket) override {
    // The body has a limit of its own, which is answered; the room around it is for chunks.
    ExchangeStream stream(
        socket, nullptr,
        {.read_by = Clock::now() + in_microseconds(limits_.request_seconds),
         .idle = in_microseconds(limits_.read_seconds),
         .max_bytes = 2 * static_cast<uint64_t>(limits_.body_bytes) + (uint64_t{1} << 20)});
    bool closed = true;
    const bool answered = process_request(stream, /*close_connection=*/true, closed, nullptr);
    shutdown(socket, SHUT_RDWR);
    close(socket);
    return answered;
  }
  const HttpServerLimits limits_;
};

void answer_with(httplib::Response& response, const HttpReply& reply) {
  response.status = reply.status;
  std::string type = "application/json";
  for (const auto& [name, value] : reply.headers) {
    if (name == "content-type")
      type = value;
    else
      response.set_header(name, value);
  }
  response.set_content(reply.body, type);
}

void refuse(httplib::Response& response, int status, const std::string& why) {
  answer_with(
      response,
      {.status = status, .body = "{\"error\": \"" + why + "\"}", .headers = {}, .error = ""});
}

// The Host of a request, without its port.
std::string host_of(const httplib::Request& request) {
  const std::string text = request.get_header_value("Host");
  const size_t bracket = text.rfind(']'), colon = text.rfind(':');
  if (bracket != std::string::npos) return text.substr(1, bracket - 1);
  return text.substr(0, colon);
}

bool is_this_machine(const std::string& host) {
  return is_loopback(Url{.scheme = "http", .host = host, .path = "/"});
}

// Reads the body of a request. False: it is answered with the reason why it is not taken.
bool read_body(const httplib::ContentReader& reader,
               const HttpServerLimits& limits,
               httplib::Response& response,
               std::string& body) {
  bool too_large = false;
  const bool whole = reader([&](const char* bytes, size_t count) {
    too_large = static_cast<int64_t>(body.size() + count) > limits.body_bytes;
    if (!too_large) body.append(bytes, count);
    return !too_large;
  });
  if (whole) return true;
  too_large = too_large || response.status == 413;  // httplib says so of a Content-Length
  refuse(response, too_large ? 413 : 400, too_large ? "too large" : "the body is not whole");
  return false;
}

}  // namespace

struct HttpServer::Impl {
  explicit Impl(const HttpServerLimits& limits) : server(limits) {}
  LimitedServer server;
  std::thread thread;
  int port = 0;

  void limit(const HttpServerLimits& limits, bool only_this_machine);
  void answer(const HttpHandler& handler, const HttpServerLimits& limits);
};

void HttpServer::Impl::limit(const HttpServerLimits& limits, bool only_this_machine) {
  server.new_task_queue = [workers = limits.workers] { return new BoundedPool(workers); };
  server.set_payload_max_length(static_cast<size_t>(limits.body_bytes));
  server.set_pre_routing_handler([only_this_machine](const auto& request, auto& response) {
    if (request.method != "GET" && request.method != "POST")
      refuse(response, 405, "expected GET or POST");
    else if (only_this_machine && !is_this_machine(host_of(request)))
      refuse(response, 403, "the Host of the request is another machine");
    else if (request.path.size() > kLongestPath)
      refuse(response, 414, "the path is too long");
    else if (request.is_multipart_form_data())
      refuse(response, 415, "expected a body of one part");
    else
      return httplib::Server::HandlerResponse::Unhandled;
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_exception_handler([](const auto&, auto& response, const std::exception_ptr&) {
    refuse(response, 500, "the server failed");
  });
  // Its own default would share a port that another server listens on.
  server.set_socket_options([](int socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
}

void HttpServer::Impl::answer(const HttpHandler& handler, const HttpServerLimits& limits) {
  const auto ask = [handler](const httplib::Request& request, const std::string& body) {
    return handler({request.method, request.target, body, lower_case(request.headers)});
  };
  server.Get(".*", [ask](const httplib::Request& request, httplib::Response& response) {
    answer_with(response, ask(request, ""));
  });
  server.Post(".*", [ask, limits](const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& reader) {
    std::string body;
    if (read_body(reader, limits, response, body)) answer_with(response, ask(request, body));
  });
}

HttpServer::HttpServer(const std::string& host,
                       int port,
                       HttpHandler handler,
                       const HttpServerLimits& limits)
    : impl_(std::make_unique<Impl>(limits)) {
  impl_->limit(limits, is_this_machine(host));
  impl_->answer(handler, limits);
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
