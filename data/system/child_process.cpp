#include "data/system/child_process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "data/base/error.hpp"

extern char** environ;

namespace data {
namespace {

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What posix_spawn changes in the child, freed at the end.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

// A group of its own, the default signals, no input, all output to `log`.
void set(SpawnSettings& settings, const std::filesystem::path& log) {
  posix_spawn_file_actions_addopen(&settings.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&settings.files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  posix_spawn_file_actions_adddup2(&settings.files, 1, 2);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&settings.attributes, &all);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setpgroup(&settings.attributes, 0);
  posix_spawnattr_setflags(&settings.attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command,
                           const std::filesystem::path& log) {
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  SpawnSettings settings;
  set(settings, log);
  const int error = posix_spawn(&process_, arguments[0], &settings.files, &settings.attributes,
                                arguments.data(), environ);
  if (error != 0) {
    process_ = -1;
    throw BadInput(command[0] + ": cannot be started: " + std::strerror(error));
  }
}

ChildProcess::~ChildProcess() {
  terminate();
  if (exit_code_ || process_ < 0) return;
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<int> ChildProcess::ended() {
  int status = 0;
  if (!exit_code_ && waitpid(process_, &status, WNOHANG) == process_)
    exit_code_ = exit_code_of(status);
  return exit_code_;
}

void ChildProcess::terminate() {
  if (!exit_code_ && process_ > 0) kill(process_, SIGTERM);
}

}  // namespace data
