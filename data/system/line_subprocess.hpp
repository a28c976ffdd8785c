#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

namespace data {

// A program (a command of /bin/sh) that reads lines on its standard input and writes lines to its
// standard output. It shares this program's standard error. The destructor kills it and the
// processes that it started.
class LineSubprocess {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Throws std::runtime_error when the system cannot start a process.
  explicit LineSubprocess(const std::string& command);
  ~LineSubprocess();
  LineSubprocess(const LineSubprocess&) = delete;
  LineSubprocess& operator=(const LineSubprocess&) = delete;

  // Adds the newline. False: the program does not read, or has ended.
  bool write_line(const std::string& line, Deadline deadline);
  // Without the newline. None: no complete line came before the deadline or the program's end, or
  // the line passed 16 MiB.
  std::optional<std::string> read_line(Deadline deadline);

 private:
  pid_t process_ = -1;
  int input_ = -1, output_ = -1;  // this process's ends of the pipes
  std::string pending_;
};

}  // namespace data
