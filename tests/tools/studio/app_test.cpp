// The studio over HTTP, and what attacks it.

#include "tools/studio/app.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/served_studio.hpp"
#include "tools/studio/server/network.hpp"

namespace {

using nlohmann::json;

struct AppTest : tests::ServedStudio {
  int64_t ada = 0;

  void SetUp() override {
    ServedStudio::SetUp();
    ada = post("person", {{"name", "Ada"}})["person"];
  }
  data::Url url(const std::string& path) const {
    return {.scheme = "http", .host = "127.0.0.1", .port = server.port(), .path = path};
  }
  data::HttpOptions options() const {
    return {.headers = {{"Origin", "http://127.0.0.1:" + std::to_string(server.port())},
                        {"X-Laurel", "1"},
                        {"Cookie", app.guard.cookie + "=" + app.guard.session}}};
  }
  json post(const std::string& path, const json& body, int status = 200) {
    const auto reply = data::http_post(url("/api/" + path), data::to_text(body), options());
    EXPECT_EQ(reply.status, status) << reply.body;
    return data::parse_json(reply.body);
  }
  int64_t votes() { return drawn.store.database.number("SELECT count(*) FROM vote"); }

  int connected() const {
    const int place = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(place, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return place;
  }
  std::string said_to(const std::string& bytes) const {
    const int place = connected();
    send(place, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    std::string said;
    char piece[4096];
    for (ssize_t count; (count = recv(place, piece, sizeof piece, 0)) > 0;)
      said.append(piece, static_cast<size_t>(count));
    close(place);
    return said;
  }
};

TEST_F(AppTest, APairIsShownBlindAndItsAnswerIsKept) {
  auto ballot = post("queue", {{"person", ada}});
  ASSERT_EQ(ballot["queue"].size(), 2u);
  const json pair = ballot["queue"][0];
  EXPECT_TRUE(pair["prompt"].get<std::string>().starts_with("prompt "));
  EXPECT_EQ(ballot.dump().find("secret"), std::string::npos);
  EXPECT_EQ(ballot.dump().find(".png"), std::string::npos);
  const auto picture = data::http_get(url(pair["left"]), options());
  EXPECT_EQ(picture.status, 200);
  EXPECT_EQ(picture.headers.at("content-type"), "image/png");
  EXPECT_EQ(picture.body.find("secret"), std::string::npos);  // no text chunk of the file
  EXPECT_EQ(data::decode_image(picture.body, "picture").size(1), 16);
  ballot =
      post("vote",
           {{"person", ada}, {"pair", pair["pair"]}, {"answer", "right"}, {"milliseconds", 700}});
  EXPECT_EQ(ballot["recorded"], true);
  EXPECT_EQ(ballot["counts"]["answered"], 1);
  EXPECT_NE(ballot["queue"][0]["pair"], pair["pair"]);
  ballot = post("vote",
                {{"person", ada}, {"pair", pair["pair"]}, {"answer", "left"}, {"milliseconds", 1}});
  EXPECT_EQ(ballot["recorded"], false);
  const auto origin = post("reveal", {{"person", ada}, {"pair", pair["pair"]}});
  EXPECT_TRUE(origin.contains("left"));
  EXPECT_EQ(post("undo", {{"person", ada}})["queue"][0]["pair"], pair["pair"]);
  post("vote", {{"person", ada}, {"pair", pair["pair"]}, {"answer", "left"}, {"milliseconds", 1}});
  EXPECT_TRUE(studio::standing_votes(drawn.store.database).empty());  // it was revealed
}

TEST_F(AppTest, ThePageLoadsNothingFromElsewhere) {
  const auto page = data::http_get(url("/"));
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body.find("{{"), std::string::npos);
  EXPECT_EQ(page.body.find("http://"), page.body.find("http://www.w3.org/2000/svg"));
  EXPECT_EQ(page.body.find("https://"), std::string::npos);
  EXPECT_EQ(page.body.find(app.guard.token), std::string::npos);
  EXPECT_NE(page.headers.at("content-security-policy").find("script-src 'sha256-"),
            std::string::npos);
}

TEST_F(AppTest, BadRequestsChangeNothing) {
  const auto pair = post("queue", {{"person", ada}})["queue"][0]["pair"];
  const json good{{"person", ada}, {"pair", pair}, {"answer", "left"}, {"milliseconds", 1}};
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, json>>{{"person", 99},
                                                 {"person", "1 OR 1=1"},
                                                 {"pair", "x"},
                                                 {"answer", "undone"},
                                                 {"answer", 7},
                                                 {"milliseconds", "soon"}}) {
    json bad = good;
    bad[key] = value;
    post("vote", bad, 400);
  }
  json other = good;
  other["pair"] = 12345;
  EXPECT_EQ(post("vote", other)["recorded"], false);
  post("person", {{"name", ""}}, 400);
  post("person", {{"name", "\u001b[2Jx"}}, 400);
  post("nothing", json::object(), 404);
  EXPECT_EQ(data::http_post(url("/api/vote"), "[1", options()).status, 400);
  EXPECT_EQ(data::http_post(url("/api/vote"), std::string(300, '['), options()).status, 400);
  EXPECT_EQ(votes(), 0);
}

TEST_F(AppTest, PathsOfTheClientAreNeverOpened) {
  for (const char* path : {"/picture/../taste.laurel", "/picture/..%2f..%2fetc%2fpasswd",
                           "/picture/0.png", "/picture//etc/passwd", "/picture/%00",
                           "/taste.laurel", "/../../etc/passwd", "/picture/"}) {
    const auto reply = data::http_get(url(path), options());
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.body.find("root:"), std::string::npos);
  }
}

TEST_F(AppTest, OtherPagesReachNothing) {
  const auto pair = post("queue", {{"person", ada}})["queue"][0]["pair"];
  const std::string body =
      data::to_text(json{{"person", ada}, {"pair", pair}, {"answer", "left"}, {"milliseconds", 1}});
  auto foreign = options();
  foreign.headers["Origin"] = "http://evil.example";
  EXPECT_EQ(data::http_post(url("/api/vote"), body, foreign).status, 403);
  EXPECT_EQ(data::http_post(url("/api/vote"), body, options(), "text/plain").status, 403);
  const std::string request =
      "POST /api/vote HTTP/1.1\r\nContent-Type: application/json\r\n"
      "X-Laurel: 1\r\nCookie: " +
      app.guard.cookie + "=" + app.guard.session +
      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  const std::string rebound = said_to(
      request + "Host: evil.example:" + std::to_string(server.port()) +
      "\r\nOrigin: http://evil.example:" + std::to_string(server.port()) + "\r\n\r\n" + body);
  EXPECT_TRUE(rebound.starts_with("HTTP/1.1 403 ")) << rebound;
  EXPECT_EQ(rebound.find("Access-Control"), std::string::npos);
  auto alone = options();
  alone.headers.erase("Cookie");
  EXPECT_EQ(data::http_post(url("/api/vote"), body, alone).status, 401);
  EXPECT_EQ(votes(), 0);
}

TEST_F(AppTest, LargeRequestsAreRefused) {
  const std::string start =
      "POST /api/vote HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) + "\r\n";
  // A body of 1 GB is not read.
  EXPECT_TRUE(said_to(start + "Content-Length: 1073741824\r\n\r\n").starts_with("HTTP/1.1 413 "));
  const auto reply = data::http_post(url("/api/vote"), std::string(100'000, 'x'), options());
  EXPECT_EQ(reply.status, 413);
  const std::string header = said_to("GET / HTTP/1.1\r\nX: " + std::string(10'000'000, 'x'));
  EXPECT_TRUE(header.empty() || header.starts_with("HTTP/1.1 400 ")) << header;
  EXPECT_EQ(post("about", json::object())["pictures"], 12);
}

// LAUREL_CONNECTIONS=1000 for the long form.
TEST_F(AppTest, SlowConnectionsDoNotKeepOthersOut) {
  const char* asked = std::getenv("LAUREL_CONNECTIONS");
  std::vector<int> slow;
  for (int i = 0; i < (asked ? std::atoi(asked) : 100); ++i) {
    slow.push_back(connected());
    send(slow.back(), "GET / HT", 8, MSG_NOSIGNAL);
  }
  EXPECT_EQ(post("about", json::object())["pictures"], 12);
  for (const int place : slow) close(place);
}

}  // namespace
