#pragma once

// A client that a long run can be left to: it waits its turn, tries again, keeps to a budget, and
// stops asking while the judge answers nonsense. Several threads may use one.

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <random>
#include <string>

#include "data/system/http.hpp"
#include "rewards/judge/chat_dialect.hpp"
#include "rewards/judge/question.hpp"

namespace rewards {

struct JudgePolicy {
  int64_t retries = 5;           // of a request after 429, 5xx, or no answer
  double backoff_seconds = 1;    // before the first retry; doubles, with chance; at most a minute
  double requests_a_minute = 0;  // 0: as many as the threads ask
  int64_t max_requests = 0;      // in all, retries counted; 0: no limit
  int64_t max_tokens = 0;        // that the server counts (usage.total_tokens); 0: no limit
  int64_t pause_after = 20;      // unusable answers in a row
  double pause_seconds = 30;     // before one question tries again; doubles, at most ten minutes
  double max_pause_seconds = 3600;  // of pauses in a row; then the run ends
};

// Time, so that a test need not wait.
struct JudgeClock {
  std::function<double()> now;        // seconds
  std::function<void(double)> sleep;  // seconds
};
JudgeClock real_clock();

using JudgeTransport = std::function<data::HttpReply(const std::string& body)>;

// Raw replies by their key (judge_key), in a JSONL file that is appended to: what was answered once
// is never asked again.
class JudgeCache {
 public:
  explicit JudgeCache(
      std::filesystem::path file);  // reads it; a line that was cut off is passed over
  const std::string* find(const std::string& key) const;
  void add(const std::string& key, const std::string& reply);

 private:
  std::filesystem::path file_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> replies_;
};

struct JudgeCounts {
  int64_t requests = 0, retries = 0, rate_limited = 0, unusable = 0, cached = 0, tokens = 0,
          pauses = 0;
};

// Why the run cannot go on.
class JudgeStopped : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class JudgeClient {
 public:
  JudgeClient(JudgeTransport transport,
              JudgePolicy policy,
              JudgeClock clock,
              JudgeCache& cache,
              std::function<void(const std::string& line)> say);

  // From the cache, or from the server. An unusable reply of the server is an answer with a
  // problem; so is a question that it refuses (400, a filter of contents), after it was asked
  // without each parameter that the server names as unknown. Throws JudgeStopped when the budget is
  // spent, the judge stayed unusable throughout the pauses, or the server refuses whatever is asked
  // (401, 403, 404, or the first `pause_after` questions).
  JudgeAnswer ask(const JudgeQuestion& question, JudgeSampling sampling);
  JudgeCounts counts() const;

 private:
  // What is known of the server.
  struct Manner {
    ChatDialect dialect;
    JudgeConstraint constraint = JudgeConstraint::kStructuredOutputs;  // the first not refused
  };
  data::HttpReply exchange(const JudgeQuestion& question,
                           JudgeSampling& sampling,
                           ChatDialect& used);
  Manner wait_for_turn();
  bool learn(const data::HttpReply& refusal,
             const nlohmann::ordered_json& body,
             const ChatDialect& used);
  bool needs_room(const std::string& reply_body, const ChatDialect& used);
  [[noreturn]] void stop(const std::string& reason);
  void spend(const data::HttpReply& reply);
  void pause_while_unusable();
  void heed(bool usable, bool refused, const std::string& problem);
  double backoff(int64_t attempt, const data::HttpReply& reply);

  JudgeTransport transport_;
  JudgePolicy policy_;
  JudgeClock clock_;
  JudgeCache& cache_;
  std::function<void(const std::string&)> say_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937_64 chance_{1};
  JudgeCounts counts_;
  Manner manner_;
  bool told_to_wait_ = false;  // and said so
  int64_t usable_ = 0;
  double next_turn_ = 0;
  int64_t bad_in_a_row_ = 0, refused_in_a_row_ = 0;
  bool probing_ = false;  // one thread tries, the others wait
  double paused_ = 0;     // seconds of pauses in a row
  double pause_ = 0;      // length of the next
  std::string problem_;   // the latest
  std::string stopped_;   // why the run cannot go on
};

}  // namespace rewards
