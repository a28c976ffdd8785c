#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace data {

// A program with its arguments, started without a shell in a process group of its own. It reads
// nothing; what it says is appended to a file.
class ChildProcess {
 public:
  // command: the program's path, then its arguments. Throws BadInput when it cannot be started.
  ChildProcess(const std::vector<std::string>& command, const std::filesystem::path& log);
  // Asks it to end (SIGTERM) and waits until it has.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Its exit code, 128 + the signal that ended it; none while it runs.
  std::optional<int> ended();
  // Asks it to end: it saves first where it can. No effect once it has ended.
  void terminate();
  pid_t process() const { return process_; }

 private:
  pid_t process_ = -1;
  std::optional<int> exit_code_;
};

}  // namespace data
