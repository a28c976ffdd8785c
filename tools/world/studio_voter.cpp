#include "tools/world/studio_voter.hpp"

#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/system/http.hpp"

using data::BadInput;
using nlohmann::json;

namespace tools {
namespace {

constexpr int64_t kMillisecondsAPair = 4000;  // what a person takes

// A studio that was entered.
struct VisitedStudio {
  std::string origin;  // "http://127.0.0.1:7860"
  data::HttpOptions options{};

  [[noreturn]] void refuse(const std::string& path, const data::HttpReply& reply) const {
    throw BadInput("--studio: " + origin + path + ": " +
                   (reply.status == 0 ? reply.error
                                      : "status " + std::to_string(reply.status) + ", " +
                                            reply.body.substr(0, 200)));
  }
  data::HttpReply post(const std::string& path, const json& body) const {
    const auto reply =
        data::http_post(data::parse_url(origin + path, "--studio"), data::to_text(body), options);
    if (reply.status != 200) refuse(path, reply);
    return reply;
  }
  json ask(const std::string& path, const json& body) const {
    return data::parse_json_object(post(path, body).body, "--studio: " + origin + path);
  }
  at::Tensor picture(const std::string& path) const {
    const auto reply = data::http_get(data::parse_url(origin + path, "--studio"), options);
    if (reply.status != 200) refuse(path, reply);
    return data::decode_image(reply.body, origin + path);
  }
};

VisitedStudio enter_studio(const std::string& address) {
  const size_t mark = address.find("/#t=");
  if (mark == std::string::npos)
    throw BadInput(
        "--studio: expected the address that laurel printed, "
        "http://127.0.0.1:PORT/#t=.., found '" +
        address + "'");
  VisitedStudio studio{.origin = address.substr(0, mark)};
  studio.options.headers = {{"origin", studio.origin}, {"x-laurel", "1"}};
  const auto reply = studio.post("/api/enter", json{{"token", address.substr(mark + 4)}});
  const auto cookie = reply.headers.find("set-cookie");
  if (cookie == reply.headers.end())
    throw BadInput("--studio: " + studio.origin + " is no studio of laurel");
  studio.options.headers["cookie"] = cookie->second.substr(0, cookie->second.find(';'));
  return studio;
}

const char* studio_word(const std::optional<std::string>& answer) {
  static const std::map<std::string, const char*> words = {
      {"a", "left"}, {"b", "right"}, {"tie", "tie"}, {"both_bad", "both_bad"}};
  return answer ? words.at(*answer) : "skip";
}

}  // namespace

int64_t vote_at_studio(const StudioVisit& visit,
                       const SimulatedPerson& person,
                       const AnswerOptions& options,
                       world::RandomStream& chance) {
  const VisitedStudio studio = enter_studio(visit.address);
  const json who =
      studio.ask("/api/person", json{{"name", "simulated-" + std::to_string(person.number)}});
  std::map<std::string, double> tastes;  // by the picture's address
  const auto taste_of = [&](const std::string& path) {
    const auto found = tastes.find(path);
    if (found != tastes.end()) return found->second;
    const double taste =
        person_taste(person, facts_at_a_glance(studio.picture(path))).item<double>();
    return tastes[path] = taste;
  };
  json shown = studio.ask("/api/queue", json{{"person", who.at("person")}});
  int64_t answers = 0;
  while (answers < visit.votes && !shown.at("queue").empty()) {
    const json pair = shown.at("queue").at(0);
    const auto answer =
        answer_about(taste_of(pair.at("left")), taste_of(pair.at("right")), options, chance);
    shown = studio.ask("/api/vote", json{{"person", who.at("person")},
                                         {"pair", pair.at("pair")},
                                         {"answer", studio_word(answer)},
                                         {"milliseconds", kMillisecondsAPair}});
    answers += answer.has_value();
  }
  return answers;
}

}  // namespace tools
