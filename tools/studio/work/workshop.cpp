#include "tools/studio/work/workshop.hpp"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/device/memory.hpp"
#include "data/unicode/utf8.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr size_t kTailBytes = 6000, kTailLines = 14;
constexpr size_t kMostWaiting = 8;
constexpr const char* kLog = "log.txt";
constexpr int kStoppedByGuard = 3;  // the exit code of a training (docs/guard.md)
// What drawing a picture may take: the weights, which are read to twice their size where they are
// stored in half precision, and activations.
constexpr double kTimesWeights = 2, kActivations = 1e9;

// The last line that is not empty.
std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \n");
  if (end == std::string::npos) return "";
  const size_t start = text.find_last_of('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? -1 : start));
}

}  // namespace

Workshop::Workshop(data::Database& store,
                   std::mutex& mutex,
                   WorkSettings settings,
                   std::string program,
                   std::function<void(const StoredJob&)> finished)
    : store_(store),
      mutex_(mutex),
      settings_(std::move(settings)),
      program_(std::move(program)),
      finished_(std::move(finished)),
      free_memory_(data::available_memory) {
  for (const auto& job : jobs(store_)) {
    if (job.state == kRunning || job.state == kWaiting)
      add_job_event(store_, job.id, kInterrupted, "the studio was ended before it had");
  }
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

Workshop::~Workshop() {
  watcher_.request_stop();
  watcher_.join();
  for (Place* place : {&beside_, &main_}) {
    if (!*place) continue;
    (*place)->child.reset();  // lets it save, and waits
    const std::string& as = (*place)->end_as;
    add_job_event(store_, (*place)->job, as.empty() ? kInterrupted : as);
  }
  for (const auto& one : waiting_)
    add_job_event(store_, one.job, kInterrupted, "the studio was ended before it began");
}

Workshop::Running* Workshop::running(int64_t job) const {
  for (const Place* place : {&main_, &beside_}) {
    if (*place && (*place)->job == job) return place->get();
  }
  return nullptr;
}

int64_t Workshop::start(const std::string& name, const JobRequest& request) {
  const JobKind& kind = job_kind(name);
  if (!kind.beside && main_) throw data::BadInput("another job runs; let it end, or stop it");
  if (kind.beside && waiting_.size() >= kMostWaiting)
    throw data::BadInput("too many prompts wait to be drawn; let some be drawn first");
  const int64_t next = store_.number("SELECT coalesce(max(id), 0) + 1 FROM job");
  const std::string folder = std::string(kind.name) + "-" + std::to_string(next);
  fs::create_directories(settings_.folder / folder);
  data::Transaction transaction(store_);
  const StoredJob job{.id = add_job(store_, kind.name, data::to_text(to_json(request)), folder),
                      .kind = kind.name,
                      .folder = folder};
  auto commands = commands_of(job, request, false);
  const std::string why = kind.beside ? why_not_now() : "";
  if (!why.empty()) {
    add_job_event(store_, job.id, kWaiting, why);
    waiting_.push_back({job.id, std::move(commands)});
  } else {
    launch(kind.beside ? beside_ : main_, job.id, std::move(commands));
  }
  transaction.commit();
  return job.id;
}

void Workshop::resume(int64_t id) {
  if (main_) throw data::BadInput("another job runs; let it end, or stop it");
  const StoredJob job = job_of(store_, id);
  if (!job_kind(job.kind).resumable || job.state == kEnded)
    throw data::BadInput("job: expected one that was paused or stopped");
  launch(main_, id, commands_of(job, job_request(data::parse_json(job.request)), true));
}

std::deque<Command> Workshop::commands_of(const StoredJob& job,
                                          const JobRequest& request,
                                          bool resumed) {
  const auto commands = job_kind(job.kind).commands(
      request,
      {.settings = settings_, .store = store_, .folder = folder_of(job), .resumed = resumed});
  return {commands.begin(), commands.end()};
}

void Workshop::launch(Place& place, int64_t job, std::deque<Command> commands) {
  auto started = std::make_unique<Running>();
  started->job = job;
  started->next = std::move(commands);
  run_next(*started);
  add_job_event(store_, job, kRunning);
  place = std::move(started);
}

void Workshop::run_next(Running& running) {
  Command words = std::move(running.next.front());
  running.next.pop_front();
  words.insert(words.begin(), program_);
  running.child =
      std::make_unique<data::ChildProcess>(words, folder_of(job_of(store_, running.job)) / kLog);
}

// Why a job may not run beside what runs; "": it may.
std::string Workshop::why_not_now() const {
  if (beside_) return "it waits for the pictures before it";
  if (!main_) return "";
  const double needed = kTimesWeights * weights_on_disk(settings_) + kActivations;
  const double free = free_memory_();
  if (free <= 0 || free >= needed) return "";
  return "it waits until the other job ends: beside it about " + data::bytes_text(needed) +
         " of memory would be needed, " + data::bytes_text(free) + " are free";
}

void Workshop::begin_waiting() {
  if (waiting_.empty() || !why_not_now().empty()) return;
  const Waiting first = std::move(waiting_.front());
  waiting_.pop_front();
  try {
    launch(beside_, first.job, first.commands);
  } catch (const data::BadInput& error) {
    add_job_event(store_, first.job, kFailed, data::printable(error.what()));
  }
}

void Workshop::end(int64_t job, const char* as) {
  const auto waits = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const Waiting& one) { return one.job == job; });
  if (waits != waiting_.end()) {
    waiting_.erase(waits);
    add_job_event(store_, job, kStopped);
    return;
  }
  Running* found = running(job);
  if (!found) throw data::BadInput("job: expected one that runs");
  found->end_as = as;
  found->child->terminate();
}

std::string Workshop::log_tail(const StoredJob& job) const {
  const fs::path file = folder_of(job) / kLog;
  std::error_code error;
  if (!fs::exists(file, error)) return "";
  std::string text = data::read_file(file);
  if (text.size() > kTailBytes) text.erase(0, text.size() - kTailBytes);
  size_t from = text.size();
  for (size_t line = 0; line <= kTailLines && from != std::string::npos; ++line)
    from = from == 0 ? std::string::npos : text.rfind('\n', from - 1);
  return data::printable(from == std::string::npos ? text : text.substr(from + 1), "\n\t");
}

double Workshop::memory_of(int64_t job) const {
  const Running* found = running(job);
  return found ? data::resident_memory(found->child->process()) : 0;
}

void Workshop::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      const std::lock_guard lock(mutex_);
      watch(main_);
      watch(beside_);
      begin_waiting();
    }
    std::this_thread::sleep_for(kTick);
  }
}

void Workshop::watch(Place& place) {
  const auto code = place ? place->child->ended() : std::nullopt;
  if (!code) return;
  const bool goes_on = *code == 0 && !place->next.empty() && place->end_as.empty();
  if (!goes_on) return settle(place, *code);
  try {
    run_next(*place);
  } catch (const data::BadInput& error) {
    add_job_event(store_, place->job, kFailed, data::printable(error.what()));
    place = nullptr;
  }
}

void Workshop::settle(Place& place, int exit_code) {
  const Place ended = std::move(place);
  const StoredJob job = job_of(store_, ended->job);
  if (exit_code == 0 && ended->next.empty()) {
    add_job_event(store_, job.id, kEnded);
    finished_(job);
  } else if (exit_code == kStoppedByGuard) {
    add_job_event(store_, job.id, kStopped, "the guard stopped it: its reward was gamed");
  } else if (!ended->end_as.empty()) {
    add_job_event(store_, job.id, ended->end_as);
  } else {
    const std::string why = last_line(log_tail(job));
    add_job_event(store_, job.id, kFailed,
                  why.empty() ? "it ended with code " + std::to_string(exit_code) : why);
  }
}

}  // namespace studio
