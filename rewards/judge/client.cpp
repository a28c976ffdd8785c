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

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr double kLongestBackoff = 60, kLongestPause = 600;

bool worth_a_retry(const data::HttpReply& reply) {
  return reply.status == 0 || (reply.status >= 400 && !data::is_refusal(reply.status));
}

std::string described(const data::HttpReply& reply) {
  return reply.status == 0
             ? reply.error
             : "status " + std::to_string(reply.status) + ": " + reply.body.substr(0, 200);
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
  const data::HttpReply reply = exchange(question, sampling);
  JudgeAnswer answer;
  if (reply.status == 200)
    answer = judge_answer(reply.body, pair);
  else
    answer.problem = described(reply);
  if (answer.problem.empty()) cache_.add(key, reply.body);
  heed(answer.problem.empty(), answer.problem);
  return answer;
}

data::HttpReply JudgeClient::exchange(const JudgeQuestion& question, JudgeSampling& sampling) {
  for (int64_t attempt = 0;;) {
    sampling.constraint = wait_for_turn();
    const data::HttpReply reply = transport_(judge_body(question, sampling));
    spend(reply);
    if (reply.status == 400 && sampling.constraint != JudgeConstraint::kNone) {
      const std::lock_guard lock(mutex_);  // another thread may have gone further already
      const auto next = static_cast<JudgeConstraint>(static_cast<int>(sampling.constraint) + 1);
      constraint_ = std::max(constraint_, next);
      continue;
    }
    if (data::is_refusal(reply.status))
      stop("the judge refuses what is asked: " + described(reply));
    if (!worth_a_retry(reply) || attempt >= policy_.retries) return reply;
    clock_.sleep(backoff(attempt++, reply));
  }
}

void JudgeClient::stop(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  stopped_ = reason;
  changed_.notify_all();
  throw JudgeStopped(reason);
}

// Takes the next place in the row of requests, within the budget. Returns the constraint in use.
JudgeConstraint JudgeClient::wait_for_turn() {
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
  const JudgeConstraint constraint = constraint_;
  if (policy_.requests_a_minute <= 0) return constraint;
  const double now = clock_.now();
  next_turn_ = std::max(next_turn_, now);
  const double wait = next_turn_ - now;
  next_turn_ += 60 / policy_.requests_a_minute;
  lock.unlock();
  if (wait > 0) clock_.sleep(wait);
  return constraint;
}

void JudgeClient::spend(const data::HttpReply& reply) {
  const auto body = data::parse_json(reply.body);
  const std::lock_guard lock(mutex_);
  counts_.rate_limited += reply.status == 429;
  if (!body.is_object()) return;
  const auto usage = body.value("usage", nlohmann::json());
  if (usage.is_object() && usage.value("total_tokens", nlohmann::json()).is_number_integer())
    counts_.tokens += usage["total_tokens"].get<int64_t>();
}

// What the server asks for, else doubling; a random half of it, so that threads do not return as
// one.
double JudgeClient::backoff(int64_t attempt, const data::HttpReply& reply) {
  const std::lock_guard lock(mutex_);
  ++counts_.retries;
  const double asked = data::retry_after(reply);
  const double grown = policy_.backoff_seconds * std::pow(2.0, static_cast<double>(attempt));
  const double longest = std::min(grown, kLongestBackoff);
  const double chosen =
      longest * (0.5 + 0.5 * std::uniform_real_distribution<double>(0, 1)(chance_));
  return std::max(std::min(asked, kLongestPause), chosen);
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

void JudgeClient::heed(bool usable, const std::string& problem) {
  const std::lock_guard lock(mutex_);
  if (usable) {
    bad_in_a_row_ = 0;
    paused_ = 0;
    pause_ = policy_.pause_seconds;
  } else {
    ++counts_.unusable;
    ++bad_in_a_row_;
    problem_ = problem;
  }
  probing_ = false;
  changed_.notify_all();
}

}  // namespace rewards
