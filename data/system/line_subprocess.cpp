#include "data/system/line_subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "data/system/no_sigpipe.hpp"

extern char** environ;

namespace data {
namespace {

constexpr size_t kLongestProgramLine = size_t{16} << 20;  // bytes

struct Pipe {
  int read = -1, write = -1;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw std::runtime_error(std::string("no pipe: ") + std::strerror(errno));
  return {ends[0], ends[1]};
}

// Waits until `end` is ready. False: the deadline has passed.
bool wait_for(int end, short events, LineSubprocess::Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd place{.fd = end, .events = events, .revents = 0};
    const int ready = poll(&place, 1, static_cast<int>(std::min<int64_t>(left.count(), 60000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// In a process group of its own, with no signal blocked.
int spawn(const std::string& command, const Pipe& input, const Pipe& output, pid_t& process) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input.read, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, output.write, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  std::string shell = "/bin/sh", option = "-c", text = command;
  char* const arguments[] = {shell.data(), option.data(), text.data(), nullptr};
  const int fault = posix_spawn(&process, shell.c_str(), &files, &attributes, arguments, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return fault;
}

}  // namespace

LineSubprocess::LineSubprocess(const std::string& command) {
  const Pipe input = make_pipe(), output = make_pipe();
  const int fault = spawn(command, input, output, process_);
  close(input.read);
  close(output.write);
  input_ = input.write;
  output_ = output.read;
  fcntl(input_, F_SETFL, fcntl(input_, F_GETFL) | O_NONBLOCK);
  if (fault != 0) {
    close(input_);
    close(output_);
    throw std::runtime_error("'" + command + "' could not be started: " + std::strerror(fault));
  }
}

LineSubprocess::~LineSubprocess() {
  close(input_);
  close(output_);
  kill(-process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool LineSubprocess::write_line(const std::string& line, Deadline deadline) {
  const NoSigpipe no_signal;
  const std::string bytes = line + "\n";
  for (size_t done = 0; done < bytes.size();) {
    if (!wait_for(input_, POLLOUT, deadline)) return false;
    const ssize_t count = write(input_, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (count > 0) done += static_cast<size_t>(count);
  }
  return true;
}

std::optional<std::string> LineSubprocess::read_line(Deadline deadline) {
  for (size_t searched = 0;;) {
    const size_t end = pending_.find('\n', searched);
    if (end != std::string::npos) {
      const std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    searched = pending_.size();
    if (searched > kLongestProgramLine || !wait_for(output_, POLLIN, deadline)) return {};
    char bytes[65536];
    const ssize_t count = read(output_, bytes, sizeof bytes);
    if (count == 0 || (count < 0 && errno != EINTR)) return {};
    if (count > 0) pending_.append(bytes, static_cast<size_t>(count));
  }
}

}  // namespace data
