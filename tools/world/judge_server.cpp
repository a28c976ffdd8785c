// `laurel world judge-server`: simulates a server of a vision-language model.

#include "tools/world/judge_server.hpp"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "rewards/world/simulated_judge.hpp"
#include "tools/cli/options.hpp"

namespace tools {
namespace {

struct JudgeServerConfig {
  rewards::WorldJudge judge;
  std::string host = "127.0.0.1";
  bool no_constraints = false;
  int64_t port = 8080, seed = 0, nonsense_from = 0, nonsense_until = 0;
  double rate_limited = 0, broken = 0, malformed = 0, talkative = 0, hanging = 0, hang_seconds = 5;
};

void declare(Options& options, JudgeServerConfig& s) {
  options.text("host", s.host, "address to listen on");
  options.integer("port", s.port, "port to listen on; 0: any free one", 0, 65535);
  options.integer("seed", s.seed, "seed of the faults", 0);
  options.group("judgements");
  options.number("noise", s.judge.noise, "standard deviation of a level between seeds", 0, 5);
  options.number("uncertainty", s.judge.uncertainty,
                 "standard deviation of the levels of one answer", 0.05, 5);
  options.number("position_bias", s.judge.position_bias, "log-odds in favour of the first image",
                 -10, 10);
  options.group("faults, as shares of the requests");
  options.number("rate_limited", s.rate_limited, "status 429 with Retry-After", 0, 1);
  options.number("broken", s.broken, "status 500", 0, 1);
  options.number("malformed", s.malformed, "truncated JSON", 0, 1);
  options.number("talkative", s.talkative, "a sentence without log-probabilities", 0, 1);
  options.number("hanging", s.hanging, "a delayed answer", 0, 1);
  options.number("hang_seconds", s.hang_seconds, "the delay, seconds", 0, 3600);
  options.integer("nonsense_from", s.nonsense_from, "first request with a nonsensical answer", 0);
  options.integer("nonsense_until", s.nonsense_until, "first request after these", 0);
  options.flag("no_constraints", s.no_constraints, "reject structured_outputs");
}

// The answer as a sentence, as from a server without log-probabilities.
std::string in_words(const std::string& body) {
  auto reply = data::parse_json(body);
  if (!reply.is_object() || !reply.contains("choices")) return body;
  auto& choice = reply["choices"][0];
  const std::string symbol = choice["message"]["content"];
  const bool digit = std::isdigit(static_cast<unsigned char>(symbol[0]));
  choice["message"]["content"] = digit ? "Looking closely, I would say **" + symbol + "**/5."
                                       : "The better image is " + symbol;
  choice.erase("logprobs");
  return data::to_text(reply);
}

class FaultyJudge {
 public:
  explicit FaultyJudge(const JudgeServerConfig& s)
      : s_(s), chance_(static_cast<uint64_t>(s.seed)) {}

  data::HttpReply answer(const data::HttpRequest& request) {
    auto reply = rewards::world_judge_reply(s_.judge, request);
    if (request.method != "POST" || reply.status != 200) return reply;
    const int64_t number = ++requests_;
    if (number >= s_.nonsense_from && number < s_.nonsense_until) {
      reply.body = R"({"choices":[{"message":{"content":"As a large model I love pictures."}}]})";
      return reply;
    }
    double draw = drawn();
    const auto falls_in = [&](double share) {
      const bool falls = draw >= 0 && draw < share;
      draw -= share;
      return falls;
    };
    if (falls_in(s_.rate_limited))
      return {.status = 429, .body = "slow down", .headers = {{"retry-after", "1"}}, .error = {}};
    if (falls_in(s_.broken))
      return {.status = 500, .body = "out of memory", .headers = {}, .error = {}};
    if (falls_in(s_.hanging))
      std::this_thread::sleep_for(std::chrono::duration<double>(s_.hang_seconds));
    else if (falls_in(s_.malformed))
      reply.body.resize(reply.body.size() / 2);
    else if (falls_in(s_.talkative))
      reply.body = in_words(reply.body);
    return reply;
  }

 private:
  double drawn() {
    const std::lock_guard lock(mutex_);
    return std::uniform_real_distribution<double>(0, 1)(chance_);
  }
  const JudgeServerConfig& s_;
  std::mutex mutex_;
  std::mt19937_64 chance_;
  std::atomic<int64_t> requests_{0};
};

int judge_server_command(const std::vector<std::string>& arguments) {
  JudgeServerConfig s;
  Options options("world judge-server",
                  "Simulates a server of a vision-language model, for the built-in world "
                  "(synthetic).");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  s.judge.constraints = !s.no_constraints;
  FaultyJudge judge(s);
  data::HttpServer server(s.host, static_cast<int>(s.port),
                          [&](const data::HttpRequest& request) { return judge.answer(request); });
  std::cout << "a simulated judge (synthetic) at http://" << s.host << ":" << server.port() << "/v1"
            << std::endl;
  server.wait();
  return 0;
}

}  // namespace

const Command kWorldJudgeServer{"judge-server", "a simulated vision-language server",
                                judge_server_command};

}  // namespace tools
