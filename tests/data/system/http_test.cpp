#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "data/system/http_server.hpp"
#include "tests/support/refusal.hpp"

namespace {

data::Url at_port(int port, const std::string& path = "/") {
  return data::parse_url("http://127.0.0.1:" + std::to_string(port) + path, "test");
}

// A server that answers each connection by a function of its socket.
class RawServer {
 public:
  explicit RawServer(const std::function<void(int socket)>& answer)
      : listening_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(listening_, reinterpret_cast<sockaddr*>(&address), size);
    listen(listening_, 8);
    getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer] {
      for (int one = accept(listening_, nullptr, nullptr); one >= 0;
           one = accept(listening_, nullptr, nullptr)) {
        answer(one);
        close(one);
      }
    });
  }
  ~RawServer() {
    shutdown(listening_, SHUT_RDWR);
    thread_.join();
    close(listening_);
  }
  int port() const { return port_; }

 private:
  int listening_, port_ = 0;
  std::thread thread_;
};

bool sent(int socket, const std::string& bytes) {
  return send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0;
}

// What the client says of a server that repeats `bytes` as long as they are taken.
data::HttpReply reply_to(const std::string& start,
                         const std::string& bytes,
                         int pause_ms = 0,
                         const data::HttpOptions& options = {.seconds = 0.4}) {
  const RawServer server([&](int socket) {
    char request[4096];
    if (recv(socket, request, sizeof request, 0) <= 0 || !sent(socket, start)) return;
    while (!bytes.empty() && sent(socket, bytes))
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  });
  return data::http_get(at_port(server.port()), options);
}

TEST(Http, NoServerHoldsAnExchangePastItsDeadline) {
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(reply_to("HTTP/1.1 200 OK\r\nX: ", "a", 5).error, "no answer within 0.4 s");
  EXPECT_EQ(reply_to("HTTP/1.1 200 OK\r\n\r\n", "a", 5).error, "no answer within 0.4 s");
  EXPECT_EQ(reply_to("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", 100).error,
            "no answer within 0.4 s");
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
  EXPECT_LT(spent.count(), 10);  // three times 0.4 s; the rest is a busy machine
}

TEST(Http, HeadersAndInterimAnswersAreLimited) {
  const data::HttpOptions options{.seconds = 60, .max_bytes = 1000};
  for (const auto& [start, more] : std::vector<std::pair<std::string, std::string>>{
           {"HTTP/1.1 200 OK\r\n", "X-A: bbbbbbbbbbbbbbbbbbbb\r\n"},
           {"HTTP/1.1 200 OK\r\nX: ", "bbbbbbbbbbbbbbbbbbbb"},
           {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}})
    EXPECT_EQ(reply_to(start, more, 0, options).error, "the answer is larger than is taken");
}

// cpp-httplib matches the first line by std::regex, which recurses once a character.
TEST(Http, AFirstLineOfAnyLengthIsRefused) {
  const data::HttpOptions options{.seconds = 60};
  const std::string line = "HTTP/1.1 200 " + std::string(100000, 'a');
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  for (const std::string& start : {line + "\r\n\r\n", interim + line + "\r\n\r\n", line})
    EXPECT_EQ(reply_to(start, "", 0, options).error, "the answer is larger than is taken");
  EXPECT_EQ(reply_to("HTTP/1.1 200 " + std::string(8000, 'a') + "\r\nContent-Length: 2\r\n\r\nok",
                     "", 0, options)
                .body,
            "ok");
}

TEST(Http, AnAnswerMustBeHttp) {
  EXPECT_NE(reply_to("SSH-2.0-OpenSSH_9.2 it is\r\n\r\n", "").error.find("not HTTP"),
            std::string::npos);
  EXPECT_NE(reply_to("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "").error.find("broke"),
            std::string::npos);
  EXPECT_NE(reply_to("HTTP/1.1 000 OK\r\n\r\n", "").error.find("not HTTP"), std::string::npos);
}

TEST(Http, RedirectsAreNotFollowed) {
  EXPECT_EQ(
      reply_to("HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\nContent-Length: 0\r\n\r\n",
               "")
          .status,
      302);
}

TEST(Http, AHeaderOfTwoLinesIsNotSent) {
  const auto reply = data::http_get(at_port(1), {.headers = {{"authorization", "a\r\nb: c"}}});
  EXPECT_NE(reply.error.find("header authorization"), std::string::npos) << reply.error;
}

TEST(Http, WaitsAsLongAsAskedWithinBounds) {
  const auto wait = [](const std::string& asked, double own, double most) {
    return data::wait_before_retry(
        {.status = 429,
         .body = "",
         .headers = {{"retry-after", asked}, {"date", "Sun, 06 Nov 1994 08:49:37 GMT"}},
         .error = ""},
        own, most);
  };
  EXPECT_EQ(wait("7", 1, 60), 7);
  EXPECT_EQ(wait("0", 0.2, 60), 1);
  EXPECT_EQ(wait("1e300", 1, 60), 60);
  EXPECT_EQ(wait("soon", 0.2, 60), 0.2);
  EXPECT_EQ(wait("5", 1, 0.3), 0.3);
  EXPECT_EQ(wait("Sun, 06 Nov 1994 08:49:41 GMT", 1, 60), 4);
  EXPECT_EQ(wait("Sun, 06 Nov 1994 08:40:00 GMT", 0.2, 60), 1);
  EXPECT_EQ(data::wait_before_retry({}, 0.2, 60), 0.2);
}

int connected_to(const data::HttpServer& server) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(server.port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int place = socket(AF_INET, SOCK_STREAM, 0);
  connect(place, reinterpret_cast<sockaddr*>(&address), sizeof address);
  return place;
}

// Sends a byte every 5 ms until the server hangs up.
void trickle(int place) {
  char byte = 0;
  while (recv(place, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
    sent(place, "a");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  close(place);
}

// What a server of ours says to these bytes; "" when it only hangs up.
std::string said_to(const data::HttpServer& server, const std::string& bytes) {
  const int place = connected_to(server);
  sent(place, bytes);
  std::string said;
  char piece[4096];
  for (ssize_t count = recv(place, piece, sizeof piece, 0); count > 0;
       count = recv(place, piece, sizeof piece, 0))
    said.append(piece, static_cast<size_t>(count));
  close(place);
  return said;
}

data::HttpReply pong(const data::HttpRequest& request) {
  return {.status = 200, .body = "pong " + request.body, .headers = {}, .error = ""};
}

TEST(HttpServer, RefusesWhatItDoesNotTake) {
  const data::HttpServer server("127.0.0.1", 0, pong, {.read_seconds = 0.3, .body_bytes = 10});
  const std::string host = "Host: 127.0.0.1:1\r\n";
  const auto status = [&](const std::string& bytes) { return said_to(server, bytes).substr(9, 3); };
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + "\r\n"), "200");
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nab"), "200");
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "Content-Length: 11\r\n\r\n"), "413");
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nb\r\n" +
                   std::string(11, 'a') + "\r\n"),
            "413");
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), "403");
  EXPECT_EQ(status("GET / HTTP/1.1\r\n\r\n"), "403");
  EXPECT_EQ(status("PUT / HTTP/1.1\r\n" + host + "\r\n"), "405");
  EXPECT_EQ(status("hello\r\n\r\n"), "400");
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + "X: " + std::string(9000, 'a') + "\r\n\r\n"),
            "400");
}

TEST(HttpServer, LongLinesEndNothing) {
  const data::HttpServer server("127.0.0.1", 0, pong);
  const std::string host = "Host: 127.0.0.1:1\r\n";
  const auto status = [&](const std::string& bytes) {
    const std::string said = said_to(server, bytes);
    return said.empty() ? "" : said.substr(9, 3);
  };
  const auto path = [&](size_t length) {
    return status("GET /" + std::string(length, 'a') + " HTTP/1.1\r\n" + host + "\r\n");
  };
  EXPECT_EQ(path(1000), "200");
  EXPECT_EQ(path(8000), "414");
  EXPECT_EQ(path(100000), "");
  EXPECT_EQ(status(std::string(100000, 'a')), "");
  std::string ranges = "Range: bytes=0-0";
  while (ranges.size() < 8000) ranges += ", 0-0";
  status("GET / HTTP/1.1\r\n" + host + ranges + "\r\n\r\n");
  std::string headers;
  while (headers.size() < 300000) headers += "X: " + std::string(1000, 'a') + "\r\n";
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + headers + "\r\n"), "400");
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host +
                   "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 2\r\n\r\nab"),
            "415");
  EXPECT_EQ(data::http_get(at_port(server.port())).body, "pong ");
}

TEST(HttpServer, HeadersThatTrickleAreDropped) {
  const data::HttpServer server("127.0.0.1", 0, pong, {.workers = 1, .request_seconds = 0.3});
  const auto started = std::chrono::steady_clock::now();
  const int place = connected_to(server);
  sent(place, "GET / HTTP/1.1\r\nX: ");
  trickle(place);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
  EXPECT_LT(spent.count(), 20);  // the 8,192 bytes of a line would take 40 s
  EXPECT_EQ(data::http_get(at_port(server.port())).body, "pong ");
}

TEST(HttpServer, SlowClientsAreDropped) {
  const data::HttpServer server("127.0.0.1", 0, pong,
                                {.workers = 1, .read_seconds = 0.1, .request_seconds = 0.3});
  EXPECT_EQ(said_to(server, ""), "");  // says nothing, and would block the only worker
  EXPECT_EQ(said_to(server, "GET / HT"), "");
  const std::string half =
      said_to(server, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_TRUE(half.starts_with("HTTP/1.1 400 ")) << half;
  EXPECT_EQ(data::http_get(at_port(server.port())).body, "pong ");
}

TEST(HttpServer, ABodyThatTricklesIsDropped) {
  const data::HttpServer server("127.0.0.1", 0, pong, {.request_seconds = 0.3});
  const auto started = std::chrono::steady_clock::now();
  const int place = connected_to(server);
  sent(place, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n");
  trickle(place);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
  EXPECT_LT(spent.count(), 20);  // the body alone would take 50 s
}

TEST(HttpServer, ExpectationsAreMet) {
  const data::HttpServer server("127.0.0.1", 0, pong);
  const std::string said = said_to(server,
                                   "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                                   "Content-Length: 2\r\n\r\nab");
  EXPECT_TRUE(said.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")) << said;
  EXPECT_TRUE(said.ends_with("pong ab")) << said;
}

TEST(Url, IsTakenApart) {
  const auto url = data::parse_url("https://example.org/v1/chat?x=1", "--url");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "example.org");
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.path, "/v1/chat?x=1");
  EXPECT_FALSE(data::is_loopback(url));
  const auto six = data::parse_url("http://[::1]:8080", "--url");
  EXPECT_EQ(six.host, "::1");
  EXPECT_EQ(six.port, 8080);
  EXPECT_EQ(six.path, "/");
  EXPECT_TRUE(data::is_loopback(six));
  EXPECT_TRUE(data::is_loopback(data::parse_url("http://localhost", "")));
  EXPECT_FALSE(data::is_loopback(data::parse_url("http://127.evil.org", "")));
}

TEST(Url, OtherTextsAreRefused) {
  for (const char* text :
       {"", "localhost:80", "ftp://a", "http://", "http://a:0", "http://a:99999", "http://a:1x",
        "http://user:secret@host/", "http://a/b c", "http://a/\r\nx: y"}) {
    EXPECT_NE(refusal([&] { data::parse_url(text, "--url"); }).find("--url: expected http://"),
              std::string::npos)
        << text;
  }
}

TEST(Http, BodyStatusAndHeadersGoBothWays) {
  const data::HttpServer server("127.0.0.1", 0, [](const data::HttpRequest& request) {
    EXPECT_EQ(request.headers.at("content-type"), "application/json");
    EXPECT_EQ(request.headers.at("authorization"), "Bearer k");
    return data::HttpReply{.status = 429,
                           .body = request.method + " " + request.path + " " + request.body,
                           .headers = {{"retry-after", "2.5"}},
                           .error = ""};
  });
  const auto reply = data::http_post(at_port(server.port(), "/a?b=c"), R"({"x":1})",
                                     {.headers = {{"authorization", "Bearer k"}}});
  EXPECT_EQ(reply.error, "");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.body, R"(POST /a?b=c {"x":1})");
  EXPECT_EQ(data::retry_after(reply), 2.5);
  EXPECT_EQ(data::retry_after({}), -1);
}

TEST(Http, AServerThatIsSlowOrGoneIsAnError) {
  int port = 0;
  {
    const data::HttpServer server("127.0.0.1", 0, [](const data::HttpRequest&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      return data::HttpReply{.status = 200, .body = "{}", .headers = {}, .error = ""};
    });
    port = server.port();
    const auto late = data::http_get(at_port(port), {.seconds = 0.1});
    EXPECT_EQ(late.status, 0);
    EXPECT_EQ(late.error, "no answer within 0.1 s");
    EXPECT_EQ(data::http_get(at_port(port), {.seconds = 5}).status, 200);
  }
  const auto gone = data::http_get(at_port(port));
  EXPECT_EQ(gone.status, 0);
  EXPECT_EQ(gone.error, "connection refused");
}

TEST(Http, AnAnswerBeyondTheLimitIsDropped) {
  const data::HttpServer server("127.0.0.1", 0, [](const data::HttpRequest&) {
    return data::HttpReply{
        .status = 200, .body = std::string(5000, 'x'), .headers = {}, .error = ""};
  });
  EXPECT_EQ(data::http_get(at_port(server.port())).body.size(), 5000u);
  const auto reply = data::http_get(at_port(server.port()), {.max_bytes = 100});
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.error, "the answer is larger than is taken");
}

TEST(Http, ARefusalIsNotWorthAsking) {
  for (const int status : {302, 400, 401, 404, 422, 499}) EXPECT_TRUE(data::is_refusal(status));
  for (const int status : {0, 200, 408, 429, 500, 503}) EXPECT_FALSE(data::is_refusal(status));
}

TEST(Http, ATakenPortIsSaid) {
  const data::HttpServer server("127.0.0.1", 0, [](const data::HttpRequest&) {
    return data::HttpReply{.status = 200, .body = "", .headers = {}, .error = ""};
  });
  EXPECT_NE(refusal([&] {
              const data::HttpServer second("127.0.0.1", server.port(), {});
            }).find("cannot be taken"),
            std::string::npos);
}

}  // namespace
