#include "finetune/distributed/heartbeat.hpp"

#include <chrono>
#include <cmath>
#include <sstream>

namespace finetune {
namespace {

constexpr auto kBetweenSigns = std::chrono::seconds(1);
constexpr auto kTimeToFail = std::chrono::seconds(3);
constexpr double kSilenceAfterBreak = 8;  // seconds, once a connection broke
constexpr const char *kVerdict = "verdict", *kFailed = "failed";

std::string key_of(int64_t rank) { return "sign/" + std::to_string(rank); }

double beat_time() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string seconds_text(double seconds) { return std::to_string(std::lround(seconds)) + " s"; }

std::string packed(const RankFailure& loss) {
  return std::to_string(loss.rank) + " " + std::to_string(loss.exit_code) + " " +
         std::to_string(loss.told) + " " + loss.what;
}

RankFailure unpacked(const std::string& text) {
  std::istringstream words(text);
  RankFailure loss;
  words >> loss.rank >> loss.exit_code >> loss.told;
  words.get();
  std::getline(words, loss.what, '\0');
  return loss;
}

}  // namespace

HeartbeatMonitor::HeartbeatMonitor(SharedStore store, HeartbeatOptions signs)
    : store_(std::move(store)),
      signs_(std::move(signs)),
      seen_(static_cast<size_t>(signs_.count), Seen{{}, {}, beat_time(), beat_time()}),
      looked_at_(beat_time()),
      thread_([this] { run(); }) {}

HeartbeatMonitor::~HeartbeatMonitor() { stop(); }

void HeartbeatMonitor::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::optional<RankFailure> HeartbeatMonitor::loss() const {
  const std::lock_guard lock(mutex_);
  if (loss_ || signs_.rank == 0 || beat_time() - looked_at_ <= signs_.silence) return loss_;
  return RankFailure{0, name_of(0) + " was lost: no sign of life for " +
                            seconds_text(beat_time() - looked_at_) +
                            "; it was stopped, or its machine is gone"};
}

void HeartbeatMonitor::settle(const RankFailure& loss) {
  const std::lock_guard lock(mutex_);
  if (!loss_) loss_ = loss;
}

std::string HeartbeatMonitor::name_of(int64_t rank) const {
  const auto at = static_cast<size_t>(rank);
  return "rank " + std::to_string(rank) + " of " + std::to_string(signs_.count) +
         (at < signs_.places.size() ? " (" + signs_.places[at] + ")" : "");
}

void HeartbeatMonitor::fail(const std::string& what, int exit_code) {
  std::unique_lock lock(mutex_);
  failure_ = RankFailure{signs_.rank, what, exit_code, true};
  wake_.notify_all();
  wake_.wait_for(lock, kTimeToFail, [this] { return done_; });
}

void HeartbeatMonitor::publish_failure() {
  if (signs_.rank == 0)
    store_.set(kVerdict, packed(*failure_));
  else
    store_.set(key_of(signs_.rank), std::string(kFailed) + " " + packed(*failure_));
}

// "<life> <work> <hurry>": counters that go up while the process lives, and while it works or has
// nothing to do.
std::string HeartbeatMonitor::sign() {
  ++life_;
  const int64_t works = works_;
  if (working_ == 0 || waiting_ > 0 || works != works_before_) ++work_;
  works_before_ = works;
  return std::to_string(life_) + " " + std::to_string(work_) + " " + (hurried_ ? "1" : "0");
}

// False when there is nothing more to watch.
bool HeartbeatMonitor::step() {
  bool failed = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || loss_) return false;
    failed = failure_.has_value();
  }
  try {
    if (failed) {
      publish_failure();
      return false;
    }
    store_.set(key_of(signs_.rank), sign());
    look();
  } catch (const std::exception&) {
    settle({0, name_of(0) + " was lost: the store that it keeps does not answer"});
  }
  const std::lock_guard lock(mutex_);
  looked_at_ = beat_time();
  return true;
}

void HeartbeatMonitor::run() {
  while (step()) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kBetweenSigns, [this] { return stopping_ || failure_; });
  }
  const std::lock_guard lock(mutex_);
  done_ = true;
  wake_.notify_all();
}

void HeartbeatMonitor::look() {
  if (store_.has(kVerdict)) return settle(unpacked(store_.get({kVerdict})[0]));
  std::vector<std::string> keys{key_of(0)};
  if (signs_.rank == 0) {
    for (int64_t rank = 1; rank < signs_.count; ++rank) keys.push_back(key_of(rank));
  }
  const auto signs = store_.get(keys);
  for (size_t rank = 0; rank < signs.size(); ++rank)
    look_at(static_cast<int64_t>(rank), signs[rank]);
}

// What a sign of life that does not change says; none: nothing yet.
std::optional<RankFailure> HeartbeatMonitor::silence_of(int64_t rank, const std::string& sign) {
  std::istringstream words(sign);
  std::string life, work, hurry;
  words >> life >> work >> hurry;
  hurry_seen_ = hurry_seen_ || hurry == "1" || hurried_;
  Seen& seen = seen_[static_cast<size_t>(rank)];
  const double time = beat_time(), patience = hurry_seen_
                                                  ? std::min(kSilenceAfterBreak, signs_.silence)
                                                  : signs_.silence;
  if (life != seen.life) seen.life_at = time;
  if (work != seen.work) seen.work_at = time;
  seen.life = life;
  seen.work = work;
  if (time - seen.life_at > patience) {
    return RankFailure{rank, name_of(rank) + " was lost: no sign of life for " +
                                 seconds_text(time - seen.life_at) +
                                 "; it was killed or stopped, or its machine is gone"};
  }
  if (time - seen.work_at <= signs_.silence) return std::nullopt;
  return RankFailure{rank, name_of(rank) + " was lost: it lives, but has done nothing for " +
                               seconds_text(time - seen.work_at) +
                               "; if it only needs longer, raise --rank_timeout"};
}

void HeartbeatMonitor::look_at(int64_t rank, const std::string& sign) {
  if (rank == signs_.rank) return;
  std::optional<RankFailure> found;
  if (sign.starts_with(kFailed)) {
    found = unpacked(sign.substr(std::string(kFailed).size() + 1));
    found->what = name_of(rank) + ": " + found->what;
  } else {
    found = silence_of(rank, sign);
  }
  if (!found) return;
  if (signs_.rank == 0) store_.set(kVerdict, packed(*found));
  settle(*found);
}

}  // namespace finetune
