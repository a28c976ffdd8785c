#pragma once

// Progress of a long job: a bar with rate and remaining time on a terminal, lines of the log (at
// most one in 10 seconds) in pipes and files.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace tools {

struct ProgressState {
  std::string title;
  std::string unit;  // of the rate: "it" gives 1.93it/s, or 2.10s/it when slower than 1it/s
  int64_t done = 0;
  int64_t total = 0;
  double seconds = 0;  // since the start
  std::string note;    // "loss=0.12": shown at the end
};

// "Sampling:  12%|███▋      | 12/100 [00:06<00:45, 1.93it/s, loss=0.12]", at most `columns`
// columns.
std::string bar_text(const ProgressState& state, size_t columns);

// "Sampling: 12/100 (12%), 1.93it/s, 00:45 left, loss=0.12"
std::string plain_text(const ProgressState& state);

// "01:02", "2:03:04"
std::string clock_text(double seconds);

class Progress {
 public:
  Progress(std::string title, int64_t total, std::string unit = "it");
  ~Progress();  // the last state stays visible
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(int64_t count = 1, const std::string& note = "");
  // A line of its own above the bar, and one that names a fault.
  void print(const std::string& line);
  void print_fault(const std::string& line);

 private:
  void above(const std::function<void()>& write);
  void show(bool last);
  ProgressState state_;
  std::chrono::steady_clock::time_point start_;
  double shown_at_ = -1, logged_at_ = 0;  // seconds since start_
  int64_t logged_ = -1;                   // the count of the last line in the log's file
  bool terminal_;
};

}  // namespace tools
