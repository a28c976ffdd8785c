#include "tools/studio/server/guard.hpp"

#include <gtest/gtest.h>

namespace {

struct GuardTest : testing::Test {
  const studio::Guard guard = studio::make_guard(7860, {"192.168.1.5"});
  data::HttpRequest post{.method = "POST",
                         .path = "/api/vote",
                         .body = "{}",
                         .headers = {{"host", "127.0.0.1:7860"},
                                     {"origin", "http://127.0.0.1:7860"},
                                     {"content-type", "application/json"},
                                     {"x-laurel", "1"},
                                     {"sec-fetch-site", "same-origin"},
                                     {"cookie", "a=b; " + guard.cookie + "=" + guard.session}}};
  int status(const data::HttpRequest& request) {
    const auto refusal = studio::refusal_of(guard, request);
    return refusal ? refusal->status : 200;
  }
  // The status of the request with one header changed; "": left out.
  int status_with(data::HttpRequest request, const std::string& name, const std::string& value) {
    request.headers[name] = value;
    if (value.empty()) request.headers.erase(name);
    return status(request);
  }
};

TEST_F(GuardTest, TakesItsOwnPagesRequests) {
  EXPECT_EQ(status(post), 200);
  EXPECT_EQ(status_with(post, "host", "localhost:7860"), 200);
  data::HttpRequest from_phone = post;
  from_phone.headers["host"] = "192.168.1.5:7860";
  from_phone.headers["origin"] = "http://192.168.1.5:7860";
  EXPECT_EQ(status(from_phone), 200);
}

TEST_F(GuardTest, RefusesARebindingHost) {
  for (const char* host : {"evil.example:7860", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:7860.evil",
                           "localhost.evil.example:7860", "192.168.1.6:7860", ""}) {
    EXPECT_EQ(status_with(post, "host", host), 403) << host;
    data::HttpRequest get = post;
    get.method = "GET";
    get.path = "/";
    EXPECT_EQ(status_with(get, "host", host), 403) << host;
  }
}

TEST_F(GuardTest, RefusesOtherPagesRequests) {
  for (const char* origin : {"http://evil.example", "null", "https://127.0.0.1:7860",
                             "http://127.0.0.1:7861", "http://127.0.0.1:7860.evil.example", ""})
    EXPECT_EQ(status_with(post, "origin", origin), 403) << origin;
  EXPECT_EQ(status_with(post, "content-type", "text/plain"), 403);
  EXPECT_EQ(status_with(post, "content-type", "application/x-www-form-urlencoded"), 403);
  EXPECT_EQ(status_with(post, "x-laurel", ""), 403);
  EXPECT_EQ(status_with(post, "sec-fetch-site", "cross-site"), 403);
  EXPECT_EQ(status_with(post, "sec-fetch-site", "same-site"), 403);
}

TEST_F(GuardTest, NeedsTheCookie) {
  EXPECT_EQ(status_with(post, "cookie", ""), 401);
  EXPECT_EQ(status_with(post, "cookie", guard.cookie + "="), 401);
  EXPECT_EQ(status_with(post, "cookie", guard.cookie + "=" + guard.token), 401);
  EXPECT_EQ(status_with(post, "cookie", "x" + guard.cookie + "=" + guard.session), 401);
  data::HttpRequest picture = post;
  picture.method = "GET";
  picture.path = "/picture/1";
  EXPECT_EQ(status(picture), 200);
  EXPECT_EQ(status_with(picture, "cookie", ""), 401);
}

TEST_F(GuardTest, GivesTheCookieForTheTokenAlone) {
  data::HttpRequest entering = post;
  entering.path = "/api/enter";
  entering.headers.erase("cookie");
  EXPECT_EQ(status(entering), 200);
  entering.body = "{\"token\": \"" + guard.token + "\"}";
  const auto reply = studio::enter(guard, entering);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("set-cookie"),
            guard.cookie + "=" + guard.session + "; Path=/; HttpOnly; SameSite=Strict");
  for (const std::string& body :
       {std::string("{}"), std::string("[]"), std::string("{\"token\": 1}"),
        "{\"token\": \"" + guard.session + "\"}", std::string("{\"token\": \"\"}")}) {
    entering.body = body;
    EXPECT_EQ(studio::enter(guard, entering).status, 403) << body;
  }
}

TEST_F(GuardTest, SecretsAreNew) {
  const auto other = studio::make_guard(7860, {});
  EXPECT_NE(guard.token, other.token);
  EXPECT_NE(guard.session, other.session);
  EXPECT_EQ(guard.token.size(), 32u);
}

TEST_F(GuardTest, EveryAnswerForbidsWhatThePageDoesNotNeed) {
  const auto reply = studio::guarded(studio::refused(404, "a \"quoted\" why"), "abc=", "def=");
  const std::string policy = reply.headers.at("content-security-policy");
  EXPECT_TRUE(policy.starts_with("default-src 'none'; ")) << policy;
  EXPECT_NE(policy.find("script-src 'sha256-abc='; style-src 'sha256-def='; "), std::string::npos);
  EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(reply.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(reply.headers.at("cache-control"), "no-store");
  EXPECT_FALSE(reply.headers.contains("access-control-allow-origin"));
  EXPECT_EQ(reply.body, R"({"error":"a \"quoted\" why"})");
}

}  // namespace
