#pragma once

// A test in several processes: the test's own binary once more for each rank, with the test alone
// and torchrun's variables. The test asks `is_rank()` which part it is to play.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tests {

using Variables = std::vector<std::pair<std::string, std::string>>;

inline bool is_rank() { return std::getenv("LAUREL_TEST_FOLDER") != nullptr; }
// Where the ranks of a test and the test itself leave files for each other.
inline std::filesystem::path rank_folder() { return std::getenv("LAUREL_TEST_FOLDER"); }
inline int this_rank() { return std::atoi(std::getenv("RANK")); }

inline int free_port() {
  const int socket_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(socket_);
  return ntohs(address.sin_port);
}

// Starts a program with more variables; its output goes to `log`.
inline pid_t start_process(const std::vector<std::string>& words,
                           const Variables& variables,
                           const std::filesystem::path& log) {
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(output, 1);
    dup2(output, 2);
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(output);
  return child;
}

inline Variables launch_variables(int rank, int count, int port) {
  return {{"RANK", std::to_string(rank)},        {"WORLD_SIZE", std::to_string(count)},
          {"LOCAL_RANK", std::to_string(rank)},  {"MASTER_ADDR", "127.0.0.1"},
          {"MASTER_PORT", std::to_string(port)}, {"OMP_NUM_THREADS", "1"}};
}

// The running test as `count` ranks; the logs are <folder>/rank-<r>.log.
inline std::vector<pid_t> start_ranks(int count,
                                      const std::filesystem::path& folder,
                                      const Variables& more = {}) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string filter =
      std::string("--gtest_filter=") + test->test_suite_name() + "." + test->name();
  std::filesystem::create_directories(folder);
  const int port = free_port();
  std::vector<pid_t> processes;
  for (int rank = 0; rank < count; ++rank) {
    Variables variables = launch_variables(rank, count, port);
    variables.emplace_back("LAUREL_TEST_FOLDER", folder.string());
    variables.insert(variables.end(), more.begin(), more.end());
    processes.push_back(start_process({"/proc/self/exe", filter}, variables,
                                      folder / ("rank-" + std::to_string(rank) + ".log")));
  }
  return processes;
}

// Exit codes, 128 + the signal of those that were killed. What has not ended after `seconds` is
// killed.
inline std::vector<int> wait_for(const std::vector<pid_t>& processes, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  std::vector<int> codes;
  for (const pid_t process : processes) {
    int status = 0;
    while (waitpid(process, &status, WNOHANG) == 0) {
      if (Clock::now() > end) kill(process, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  return codes;
}

inline std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// What the ranks of a test have said, one after another.
inline std::string logs_of(const std::filesystem::path& folder) {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".log") all += text_of(entry.path());
  }
  return all;
}

}  // namespace tests
