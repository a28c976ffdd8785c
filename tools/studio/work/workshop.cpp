#include "tools/studio/work/workshop.hpp"

#include <chrono>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/unicode/utf8.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr size_t kTailBytes = 6000, kTailLines = 14;
constexpr const char* kLog = "log.txt";
constexpr int kStoppedByGuard = 3;  // the exit code of a training (docs/guard.md)

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
      finished_(std::move(finished)) {
  for (const auto& job : jobs(store_)) {
    if (job.state == kRunning)
      add_job_event(store_, job.id, kInterrupted, "the studio was ended while it ran");
  }
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

Workshop::~Workshop() {
  watcher_.request_stop();
  watcher_.join();
  if (!child_) return;
  child_.reset();  // lets it save, and waits
  add_job_event(store_, running_, end_as_.empty() ? kInterrupted : end_as_);
}

StoredJob Workshop::job_of(int64_t id) const {
  for (const auto& job : jobs(store_)) {
    if (job.id == id) return job;
  }
  throw data::BadInput("job: expected one of this store");
}

int64_t Workshop::start(const std::string& name, const JobRequest& request) {
  if (child_) throw data::BadInput("another job runs; let it end, or stop it");
  const JobKind& kind = job_kind(name);
  const int64_t next = store_.number("SELECT coalesce(max(id), 0) + 1 FROM job");
  const std::string folder = std::string(kind.name) + "-" + std::to_string(next);
  fs::create_directories(settings_.folder / folder);
  data::Transaction transaction(store_);
  const StoredJob job{.id = add_job(store_, kind.name, data::to_text(to_json(request)), folder),
                      .kind = kind.name,
                      .folder = folder};
  launch(job, request, false);
  transaction.commit();
  return job.id;
}

void Workshop::resume(int64_t id) {
  if (child_) throw data::BadInput("another job runs; let it end, or stop it");
  const StoredJob job = job_of(id);
  if (!job_kind(job.kind).resumable || job.state == kEnded)
    throw data::BadInput("job: expected one that was paused or stopped");
  launch(job, job_request(data::parse_json(job.request)), true);
}

void Workshop::launch(const StoredJob& job, const JobRequest& request, bool resumed) {
  const fs::path folder = folder_of(job);
  std::vector<std::string> command{program_};
  const auto arguments = job_kind(job.kind).arguments(
      request, {.settings = settings_, .store = store_, .folder = folder, .resumed = resumed});
  command.insert(command.end(), arguments.begin(), arguments.end());
  end_as_.clear();
  child_ = std::make_unique<data::ChildProcess>(command, folder / kLog);
  running_ = job.id;
  add_job_event(store_, job.id, kRunning);
}

void Workshop::end(int64_t job, const char* as) {
  if (!child_ || running_ != job) throw data::BadInput("job: expected one that runs");
  end_as_ = as;
  child_->terminate();
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

void Workshop::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      const std::lock_guard lock(mutex_);
      const auto code = child_ ? child_->ended() : std::nullopt;
      if (code) settle(*code);
    }
    std::this_thread::sleep_for(kTick);
  }
}

void Workshop::settle(int exit_code) {
  child_.reset();
  const StoredJob job = job_of(running_);
  if (exit_code == 0) {
    add_job_event(store_, job.id, kEnded);
    finished_(job);
  } else if (exit_code == kStoppedByGuard) {
    add_job_event(store_, job.id, kStopped, "the guard stopped it: its reward was gamed");
  } else if (!end_as_.empty()) {
    add_job_event(store_, job.id, end_as_);
  } else {
    const std::string why = last_line(log_tail(job));
    add_job_event(store_, job.id, kFailed,
                  why.empty() ? "it ended with code " + std::to_string(exit_code) : why);
  }
}

}  // namespace studio
