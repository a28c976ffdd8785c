#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

namespace data {

// A program (a command of /bin/sh) that is spoken to in lines over its standard input and output;
// its standard error is this program's. It and what it started are killed with the object.
class LineProcess {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Throws std::runtime_error when the system cannot start a process.
  explicit LineProcess(const std::string& command);
  ~LineProcess();
  LineProcess(const LineProcess&) = delete;
  LineProcess& operator=(const LineProcess&) = delete;

  // Adds the newline. False: it does not read, or is gone.
  bool write_line(const std::string& line, Deadline deadline);
  // Without the newline. Nothing: no whole line came, because time was up or it is gone.
  std::optional<std::string> read_line(Deadline deadline);

 private:
  pid_t process_ = -1;
  int input_ = -1, output_ = -1;  // the ends that this program holds
  std::string pending_;
};

}  // namespace data
