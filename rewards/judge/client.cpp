#include "rewards/judge/client.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/unicode/utf8.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr double kLongestBackoff = 60, kLongestPause = 600;  // seconds

JudgeConstraint looser(JudgeConstraint constraint) {
  return static_cast<JudgeConstraint>(static_cast<int>(constraint) + 1);
}

// That constraint, or the next whose field the server has not named as unknown.
JudgeConstraint first_taken(JudgeConstraint constraint, const ChatDialect& dialect) {
  while (dialect.left_out.count(constraint_field(constraint))) constraint = looser(constraint);
  return constraint;
}

std::string seconds_text(double seconds) { return std::to_string(std::llround(seconds)) + " s"; }

}  // namespace

JudgeClock real_clock() {
  return {.now =
              [] {
                return std::chrono::duration<double>(
                           std::chrono::steady_clock::now().time_since_epoch())
                    .count();
              },
          .sleep =
              [](double seconds) {
                std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
              }};
}

JudgeCache::JudgeCache(fs::path file) : file_(std::move(file)) {
  if (file_.empty() || !fs::exists(file_)) return;
  std::istringstream lines(data::read_file(file_));
  for (std::string text; std::getline(lines, text);) {
    const auto line = data::parse_json(text);
    if (line.is_object() && line.value("key", nlohmann::json()).is_string() &&
        line.value("reply", nlohmann::json()).is_string())
      replies_[line["key"]] = line["reply"].get<std::string>();
  }
}

const std::string* JudgeCache::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = replies_.find(key);
  return found == replies_.end() ? nullptr : &found->second;
}

void JudgeCache::add(const std::string& key, const std::string& reply) {
  const std::lock_guard lock(mutex_);
  if (!file_.empty())
    data::append_line(file_, data::to_text(nlohmann::ordered_json{{"key", key}, {"reply", reply}}));
  replies_[key] = reply;
}

JudgeClient::JudgeClient(JudgeTransport transport,
                         JudgePolicy policy,
                         JudgeClock clock,
                         JudgeCache& cache,
                         std::function<void(const std::string&)> say)
    : transport_(std::move(transport)),
      policy_(policy),
      clock_(std::move(clock)),
      cache_(cache),
      say_(std::move(say)),
      pause_(policy.pause_seconds) {}

JudgeCounts JudgeClient::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

JudgeAnswer JudgeClient::ask(const JudgeQuestion& question, JudgeSampling sampling) {
  const bool pair = question.images.size() == 2;
  const std::string key = judge_key(question, sampling);
  if (const std::string* known = cache_.find(key)) {
    const std::lock_guard lock(mutex_);
    ++counts_.cached;
    return judge_answer(*known, pair);
  }
  pause_while_unusable();
  for (ChatDialect used;;) {
    const data::HttpReply reply = exchange(question, sampling, used);
    JudgeAnswer answer;
    if (reply.status == 200)
      answer = judge_answer(reply.body, pair);
    else
      answer.problem = described(reply);
    if (answer.problem.empty()) cache_.add(key, reply.body);
    if (!answer.problem.empty() && reply.status == 200 && needs_room(reply.body, used)) continue;
    heed(answer.problem.empty(), refuses_question(reply), answer.problem);
    return answer;
  }
}

data::HttpReply JudgeClient::exchange(const JudgeQuestion& question,
                                      JudgeSampling& sampling,
                                      ChatDialect& used) {
  for (int64_t attempt = 0;;) {
    const Manner manner = wait_for_turn();
    used = manner.dialect;
    sampling.constraint =
        first_taken(std::max(sampling.constraint, manner.constraint), manner.dialect);
    const auto body = in_dialect(manner.dialect, judge_request(question, sampling));
    const data::HttpReply reply = transport_(data::to_text(body));
    spend(reply);
    if (refuses_question(reply)) {
      if (learn(reply, body, manner.dialect)) continue;
      if (sampling.constraint == JudgeConstraint::kNone) return reply;
      sampling.constraint = looser(sampling.constraint);
      continue;
    }
    if (data::is_refusal(reply.status))
      stop("the judge refuses what is asked: " + described(reply));
    if (reply.status == 200) {  // where it took a looser constraint, it is asked so from now on
      const std::lock_guard lock(mutex_);
      manner_.constraint = std::max(manner_.constraint, sampling.constraint);
    }
    if (!is_worth_a_retry(reply) || attempt >= policy_.retries) return reply;
    clock_.sleep(backoff(attempt++, reply));
  }
}

// Whether the refusal changed how this server is asked, here or in another thread meanwhile.
bool JudgeClient::learn(const data::HttpReply& refusal,
                        const nlohmann::ordered_json& body,
                        const ChatDialect& used) {
  std::string said;
  {
    const std::lock_guard lock(mutex_);
    if (manner_.dialect != used) return true;
    said = adapt(manner_.dialect, refusal, body);
  }
  if (!said.empty()) say_(said);
  return !said.empty();
}

// Whether the answer may become usable with more room, which the server is asked for from now on.
bool JudgeClient::needs_room(const std::string& reply_body, const ChatDialect& used) {
  std::string said;
  {
    const std::lock_guard lock(mutex_);
    if (manner_.dialect.least_tokens != used.least_tokens) return true;
    said = make_room(manner_.dialect, reply_body);
  }
  if (!said.empty()) say_(said);
  return !said.empty();
}

void JudgeClient::stop(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  stopped_ = reason;
  changed_.notify_all();
  throw JudgeStopped(reason);
}

// Takes the next place in the row of requests, within the budget. Returns how it is to be asked.
JudgeClient::Manner JudgeClient::wait_for_turn() {
  std::unique_lock lock(mutex_);
  if (!stopped_.empty()) throw JudgeStopped(stopped_);
  if ((policy_.max_requests > 0 && counts_.requests >= policy_.max_requests) ||
      (policy_.max_tokens > 0 && counts_.tokens >= policy_.max_tokens)) {
    const std::string reason = "the budget is spent: " + std::to_string(counts_.requests) +
                               " requests, " + std::to_string(counts_.tokens) + " tokens";
    lock.unlock();
    stop(reason);
  }
  ++counts_.requests;
  const Manner manner = manner_;
  if (policy_.requests_a_minute <= 0) return manner;
  const double now = clock_.now();
  next_turn_ = std::max(next_turn_, now);
  const double wait = next_turn_ - now;
  next_turn_ += 60 / policy_.requests_a_minute;
  lock.unlock();
  if (wait > 0) clock_.sleep(wait);
  return manner;
}

void JudgeClient::spend(const data::HttpReply& reply) {
  const auto body = data::parse_json(reply.body);
  const std::lock_guard lock(mutex_);
  counts_.rate_limited += reply.status == 429;
  if (!body.is_object()) return;
  const auto usage = body.value("usage", nlohmann::json());
  const auto tokens =
      usage.is_object() ? usage.value("total_tokens", nlohmann::json()) : nlohmann::json();
  constexpr int64_t kMostTokens = int64_t{1} << 32;  // of an answer; more would be no count
  if (tokens.is_number_integer() && tokens >= 0)
    counts_.tokens += tokens > kMostTokens ? kMostTokens : tokens.get<int64_t>();
}

// Doubling, a random half of it, so that threads do not return as one; longer where the server asks
// for that, at most the patience with pauses.
double JudgeClient::backoff(int64_t attempt, const data::HttpReply& reply) {
  std::unique_lock lock(mutex_);
  ++counts_.retries;
  const double grown = policy_.backoff_seconds * std::pow(2.0, static_cast<double>(attempt));
  const double longest = std::min(grown, kLongestBackoff);
  const double own = longest * (0.5 + 0.5 * std::uniform_real_distribution<double>(0, 1)(chance_));
  const double wait =
      data::wait_before_retry(reply, own, std::max({own, policy_.max_pause_seconds, 1.0}));
  const bool is_news = data::retry_after(reply) >= 0 && !told_to_wait_;
  told_to_wait_ = told_to_wait_ || is_news;
  lock.unlock();
  if (is_news)
    say_("the server asks for a pause; waiting " + seconds_text(wait) + ", from now on unsaid");
  return wait;
}

// While the judge answers nonsense, one thread asks on, after growing pauses; the others wait here.
void JudgeClient::pause_while_unusable() {
  std::unique_lock lock(mutex_);
  const auto trouble = [&] { return bad_in_a_row_ >= policy_.pause_after; };
  changed_.wait(lock, [&] { return !stopped_.empty() || !trouble() || !probing_; });
  if (!stopped_.empty()) throw JudgeStopped(stopped_);
  if (!trouble()) return;
  if (paused_ >= policy_.max_pause_seconds) {
    const std::string reason = "the judge gave no usable answer for " + seconds_text(paused_) +
                               " (the last: " + problem_ +
                               "); what was judged is kept, the same command goes on from there";
    lock.unlock();
    stop(reason);
  }
  probing_ = true;
  ++counts_.pauses;
  const double wait = pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
  paused_ += wait;
  const std::string line = "paused: the last " + std::to_string(bad_in_a_row_) +
                           " answers were unusable (" + problem_ + "); trying again in " +
                           seconds_text(wait) + ". Nothing is lost; Ctrl-C stops.";
  lock.unlock();
  say_(line);
  clock_.sleep(wait);
}

void JudgeClient::heed(bool usable, bool refused, const std::string& problem) {
  bool refuses_all = false;
  {
    const std::lock_guard lock(mutex_);
    if (usable) {
      bad_in_a_row_ = refused_in_a_row_ = 0;
      paused_ = 0;
      pause_ = policy_.pause_seconds;
      ++usable_;
    } else {
      ++counts_.unusable;
      ++(refused ? refused_in_a_row_ : bad_in_a_row_);
      problem_ = problem;
      refuses_all = refused && usable_ == 0 && refused_in_a_row_ >= policy_.pause_after;
    }
    probing_ = false;
    changed_.notify_all();
  }
  if (refuses_all) stop("the judge refuses every question (the last: " + problem + ")");
}

}  // namespace rewards
