#include "data/system/http.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "tests/support/refusal.hpp"

namespace {

data::Url at_port(int port, const std::string& path = "/") {
  return data::parse_url("http://127.0.0.1:" + std::to_string(port) + path, "test");
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
  for (const char* text : {"", "localhost:80", "ftp://a", "http://", "http://a:0", "http://a:99999",
                           "http://a:1x", "http://user:secret@host/"}) {
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
  for (const int status : {400, 401, 404, 422, 499}) EXPECT_TRUE(data::is_refusal(status));
  for (const int status : {0, 200, 302, 408, 429, 500, 503}) EXPECT_FALSE(data::is_refusal(status));
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
