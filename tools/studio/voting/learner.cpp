#include "tools/studio/voting/learner.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <exception>

namespace studio {
namespace {

constexpr size_t kBatch = 64;  // pictures at once

bool has_decision(const std::vector<rewards::TasteAnswer>& answers) {
  return std::any_of(answers.begin(), answers.end(), [](const auto& answer) {
    return answer.b >= 0 && answer.outcome != rewards::kTied;
  });
}

}  // namespace

Learner::Learner(const Pool& pool, Look look, std::function<Known()> known)
    : pool_(pool), look_(std::move(look)), known_(std::move(known)) {
  sight_.all = static_cast<int64_t>(pool.images.size());
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Learner::~Learner() {
  thread_.request_stop();
  changed_.notify_all();
  thread_.join();
}

void Learner::wake() {
  const std::lock_guard lock(mutex_);
  awake_ = true;
  changed_.notify_all();
}

Worth Learner::worth(int64_t person) const {
  const std::lock_guard lock(mutex_);
  if (!head_) return {};
  return [head = head_, row = row_of(*head_, person)](const std::vector<Pair>& pairs) {
    const at::NoGradGuard no_grad;
    return worth_of(*head, row, pairs);
  };
}

Learner::Sight Learner::sight() const {
  const std::lock_guard lock(mutex_);
  return sight_;
}

std::shared_ptr<const Report> Learner::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

// Voting goes on without a taste where this fails: it says why on the page.
void Learner::run(const std::stop_token& stop) {
  const at::NoGradGuard no_grad;
  try {
    if (!look_at_all(stop)) return;
    while (!stop.stop_requested()) {
      {
        std::unique_lock lock(mutex_);
        if (!changed_.wait(lock, stop, [&] { return awake_; })) return;
        awake_ = false;
      }
      learn();
    }
  } catch (const std::exception& error) {
    const std::lock_guard lock(mutex_);
    sight_.fault = error.what();
  }
}

bool Learner::look_at_all(const std::stop_token& stop) {
  std::vector<Features> batches;
  for (size_t first = 0; first < pool_.images.size(); first += kBatch) {
    if (stop.stop_requested()) return false;
    const size_t end = std::min(first + kBatch, pool_.images.size());
    const auto from = pool_.images.begin();
    batches.push_back(
        look_({from + static_cast<int64_t>(first), from + static_cast<int64_t>(end)}));
    const std::lock_guard lock(mutex_);
    sight_.seen = static_cast<int64_t>(end);
  }
  features_ = joined(batches);
  return true;
}

void Learner::learn() {
  const Known known = known_();
  const auto answers = taste_answers(known.votes, kLearn, known.people, pool_, features_);
  if (!has_decision(answers)) return;
  const auto head = std::make_shared<const Head>(fit_head(answers, known.people, pool_, features_));
  const auto report = std::make_shared<const Report>(
      report_of(known.votes, known.people, answers, *head, pool_, features_));
  const std::lock_guard lock(mutex_);
  head_ = head;
  report_ = report;
}

}  // namespace studio
